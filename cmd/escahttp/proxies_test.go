//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The client is who trusted proxies say it is: in the log, in rules, and for the way to TLS.
func TestRealAddress(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("a"))
	put(t, d+"/site/admin/index.html", []byte("admin"))
	put(t, d+"/site/secret.html", []byte("admin"))
	rules := []string{"--allow=/admin/** 203.0.113.0/24", "--allow=/secret.html 203.0.113.0/24", "--deny=198.51.100.66", "--clean-urls", "--rewrite=/way/** /admin/$1"}
	trusting := launch(t, nil, nil, append(rules, "--trusted-proxies=127.0.0.1", "--access-log="+d+"/log", "--security-headers", d+"/site")...)
	not := launch(t, nil, nil, append(rules, "--access-log="+d+"/log2", d+"/site")...)
	const evil, insider = "X-Forwarded-For: 198.51.100.66", "X-Forwarded-For: 1.1.1.1, 203.0.113.5"
	trusting.answers(t, []ask{
		{"/a.txt", []string{"-H", evil}, 403, "*", nil},
		{"/a.txt", []string{"-H", insider, "-H", "X-Forwarded-Proto: https"}, 200, "a", []string{"Strict-Transport-Security", "max-age=31536000"}},
		{"/admin/", []string{"-H", insider}, 200, "admin", nil},
		{"/admin/", nil, 403, "*", nil},
		{"/admin/index.html", nil, 403, "*", nil},
		{"/admin/nope", nil, 403, "*", nil},
		{"/secret", nil, 403, "*", nil},         // secret.html
		{"/way/", nil, 403, "*", nil},           // by way of a rewrite
		{"/secret.html.gz", nil, 403, "*", nil}, // coded
		{"/secret", []string{"-H", insider}, 200, "admin", nil},
	})
	not.answers(t, []ask{
		{"/a.txt", []string{"-H", evil}, 200, "a", nil},
		{"/admin/", []string{"-H", insider}, 403, "*", nil},
	})
	for name, want := range map[string]string{"/log": "203.0.113.5 - - [", "/log2": "127.0.0.1 - - ["} {
		eventually(t, "the log says who", func() bool {
			b, _ := os.ReadFile(d + name)
			return strings.Contains(string(b), want)
		})
	}
}

// Debian's HAProxy says who the client is, by both versions of the PROXY protocol, over TCP
// and over a unix socket, and with TLS inside.
func TestPROXYFromHAProxy(t *testing.T) {
	t.Parallel()
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("needs haproxy: apt-get install haproxy")
	}
	d := t.TempDir()
	certificate(t, d, "localhost")
	content := repeat('a', 100_000)
	put(t, d+"/site/a.txt", content)
	log, socket := d+"/log", d+"/socket"
	p := launch(t, nil, nil, "--proxy-protocol", "--trusted-proxies=127.0.0.1", "--access-log="+log, "--listen=unix:"+socket, "--admin-addr=127.0.0.1:0", d+"/site")
	secure := launch(t, nil, nil, "--proxy-protocol", "--trusted-proxies=127.0.0.1", "--access-log="+log, "--tls-cert="+d+"/c", "--tls-key="+d+"/k", d+"/site")
	var cfg strings.Builder
	cfg.WriteString("defaults\n mode tcp\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n")
	var files []*os.File
	var urls []string
	for i, b := range []string{p.addr + " send-proxy", p.addr + " send-proxy-v2", "unix@" + socket + " send-proxy-v2", secure.addr + " send-proxy-v2"} {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		defer f.Close()
		files = append(files, f)
		scheme := "http://"
		if strings.HasPrefix(b, secure.addr) {
			scheme = "https://"
		}
		urls = append(urls, scheme+ln.Addr().String())
		fmt.Fprintf(&cfg, "listen l%d\n bind fd@%d\n server s %s\n", i, 3+i, b)
	}
	name := filepath.Join(d, "haproxy.cfg")
	put(t, name, []byte(cfg.String()))
	cmd := exec.Command(haproxy, "-db", "-q", "-f", name)
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for i, url := range urls {
		from := fmt.Sprintf("127.0.0.%d", 70+i)
		r, b := p.curl(t, url+"/a.txt", "--interface", from, "-k", "--http1.1")
		if r.StatusCode != http.StatusOK || len(b) != len(content) {
			t.Errorf("%s: %s, %d bytes", url, r.Status, len(b))
		}
		eventually(t, "the log says who", func() bool {
			b, _ := os.ReadFile(log)
			return strings.Contains(string(b), from+" - - [")
		})
	}
	if _, _, err := p.try("/a.txt"); err == nil {
		t.Error("a request without a header is answered")
	}
	// On the loops: those count what they accept.
	if _, b := p.curl(t, p.admin(t)+"/metrics"); !regexp.MustCompile(`(?m)^escahttp_accepted_total [1-9]`).Match(b) {
		t.Errorf("the loops have accepted nothing: %s", b)
	}
	eventually(t, "it says why", func() bool { return strings.Contains(p.said(), "it does not begin with a PROXY header") })
}

// Who says nothing is let go of when --read-timeout is over, whether it is trusted or not, and however it
// trickles.
func TestSilentProxies(t *testing.T) {
	t.Parallel()
	p := launch(t, nil, nil, "--proxy-protocol", "--trusted-proxies=127.0.0.1", "--read-timeout=300ms", t.TempDir())
	for _, from := range []string{"127.0.0.1", "127.0.0.9"} {
		for _, trickles := range []string{"", "PROXY TCP4 198.51"} {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, trickles)
			c.SetDeadline(time.Now().Add(time.Minute))
			if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %q: it gets %q, %v", from, trickles, b, err)
			}
		}
	}
}
