//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	qhttp3 "github.com/quic-go/quic-go/http3"
)

// overQUIC returns a client of HTTP/3 that asks for the certificate of name.
func overQUIC(t *testing.T, name string) *http.Client {
	t.Helper()
	tr := &qhttp3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name}, DisableCompression: true}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// fetched asks for path over HTTP/3.
func (p *process) fetched(t *testing.T, c *http.Client, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest("GET", "https://"+p.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s: %v; it said %s", path, err, p.said())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: after %d bytes: %v", path, len(b), err)
	}
	return resp, b
}

// launchHTTP3 starts escahttp with a certificate of CN one, and HTTP/3.
func launchHTTP3(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return launchQUIC(t, env, append([]string{"--http3"}, args...)...)
}

// launchQUIC is launchHTTP3 where something else asks for it. The number of the port that TCP
// has got may be taken by somebody else over UDP: it is tried again then.
func launchQUIC(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	d := t.TempDir()
	certificate(t, d, "one")
	for try := 0; ; try++ {
		p := launchWith(t, env, append([]string{"--tls-cert=" + d + "/c", "--tls-key=" + d + "/k"}, args...)...)
		taken := false
		eventually(t, "it serves", func() bool {
			taken = strings.Contains(p.said(), "is in use by another program")
			return taken || strings.Contains(p.said(), " and HTTP/3, ")
		})
		if !taken || try == 5 {
			p.await(t)
			return p
		}
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// Files come over HTTP/3 as they do otherwise: whole, in ranges, or not at all where the
// client has them; also in the sandbox.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	files := map[string][]byte{}
	for _, n := range []int{0, 1, 1200, 4096, 70_000, 1 << 20, 9 << 20, 50 << 20} {
		name := fmt.Sprintf("/%d.bin", n)
		files[name] = random(n)
		put(t, d+"/site"+name, files[name])
	}
	text := bytes.Repeat([]byte("compressible "), 1000)
	put(t, d+"/site/text.txt", text)
	put(t, d+"/log", nil)
	p := launchHTTP3(t, nil, "--sandbox=required", "--access-log="+d+"/log", d+"/site")
	c := overQUIC(t, "one")
	for name, want := range files {
		resp, b := p.fetched(t, c, name)
		if resp.Proto != "HTTP/3.0" || resp.StatusCode != 200 || sha256.Sum256(b) != sha256.Sum256(want) || resp.ContentLength != int64(len(want)) {
			t.Errorf("%s: %s %s, %d bytes, Content-Length %d", name, resp.Proto, resp.Status, len(b), resp.ContentLength)
		}
		tag := resp.Header.Get("Etag")
		if resp, b := p.fetched(t, c, name, "If-None-Match", tag); resp.StatusCode != 304 || len(b) > 0 || resp.Header.Get("Etag") != tag {
			t.Errorf("%s, if it is another than %s: %s, %d bytes, %v", name, tag, resp.Status, len(b), resp.Header)
		}
		if len(want) < 4096 {
			continue
		}
		resp, b = p.fetched(t, c, name, "Range", "bytes=100-4000")
		if resp.StatusCode != 206 || !bytes.Equal(b, want[100:4001]) || resp.Header.Get("Content-Range") != fmt.Sprintf("bytes 100-4000/%d", len(want)) {
			t.Errorf("%s, a range: %s, %d bytes, %v", name, resp.Status, len(b), resp.Header)
		}
		if resp, b := p.fetched(t, c, name, "Range", "bytes=0-0,10-19"); resp.StatusCode != 206 || !bytes.Contains(b, want[10:20]) {
			t.Errorf("%s, two ranges: %s, %d bytes", name, resp.Status, len(b))
		}
	}
	for _, coding := range []string{"br", "gzip", "zstd"} {
		if resp, b := p.fetched(t, c, "/text.txt", "Accept-Encoding", coding); resp.Header.Get("Content-Encoding") != coding || len(b) >= len(text) {
			t.Errorf("%s: %v, %d bytes", coding, resp.Header, len(b))
		}
	}
	resp, err := c.Head("https://" + p.addr + "/70000.bin")
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Length") != "70000" {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
	if resp, b := p.fetched(t, c, "/no/such"); resp.StatusCode != 404 || !bytes.Contains(b, []byte("Not Found")) {
		t.Errorf("%s, %q", resp.Status, b)
	}
	resp, err = c.Post("https://"+p.addr+"/text.txt", "text/plain", strings.NewReader("x"))
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v, %v", resp, err)
	}
	for _, path := range []string{"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"} {
		if resp, _ := p.fetched(t, c, path); resp.StatusCode == 200 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	eventually(t, "the access log has it", func() bool {
		b, _ := os.ReadFile(d + "/log")
		return strings.Contains(string(b), "127.0.0.1 - - ") && strings.Contains(string(b), `"GET /no/such HTTP/1.1" 404 `) && strings.Contains(string(b), fmt.Sprintf(" 200 %d\n", 50<<20))
	})
}

// Who comes over TCP with TLS is told of HTTP/3, in HTTP/1.1 and HTTP/2; nobody else is, and
// without --http3 nobody listens there.
func TestHTTP3IsAnnounced(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/a.txt", []byte("contents"))
	p := launchHTTP3(t, nil, "--listen=http://127.0.0.1:0", d)
	_, port, _ := net.SplitHostPort(p.addr)
	cfg := &tls.Config{InsecureSkipVerify: true}
	one := &http.Transport{TLSClientConfig: cfg.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	two := &http.Transport{TLSClientConfig: cfg.Clone(), ForceAttemptHTTP2: true}
	defer one.CloseIdleConnections()
	defer two.CloseIdleConnections()
	for proto, rt := range map[string]http.RoundTripper{"HTTP/1.1": one, "HTTP/2.0": two} {
		resp, b := p.fetched(t, &http.Client{Transport: rt, Timeout: time.Minute}, "/a.txt")
		if want := `h3=":` + port + `"; ma=86400`; resp.Proto != proto || string(b) != "contents" || resp.Header.Get("Alt-Svc") != want {
			t.Errorf("%s: %q, %v, want Alt-Svc: %s", resp.Proto, b, resp.Header, want)
		}
	}
	plain := *p
	if i := strings.Index(p.said(), "http://"); i < 0 {
		t.Fatalf("it said %s", p.said())
	} else {
		plain.addr, _, _ = strings.Cut(p.said()[i+len("http://"):], "/")
	}
	if resp, _ := plain.get(t, "/a.txt"); resp.Header.Get("Alt-Svc") != "" {
		t.Errorf("without TLS: %v", resp.Header)
	}
	own := launchHTTP3(t, nil, "--header=** Alt-Svc: clear", d)
	if resp, _ := own.fetched(t, &http.Client{Transport: two}, "/a.txt"); resp.Header.Get("Alt-Svc") != "clear" {
		t.Errorf("with one of its own: %v", resp.Header)
	}
	certificate(t, d, "one")
	off := launch(t, nil, nil, "--tls-cert="+d+"/c", "--tls-key="+d+"/k", d)
	if resp, _ := off.fetched(t, &http.Client{Transport: two}, "/a.txt"); resp.Header.Get("Alt-Svc") != "" {
		t.Errorf("without --http3: %v", resp.Header)
	}
	if pc, err := net.ListenPacket("udp", off.addr); err != nil {
		t.Errorf("without --http3 somebody has the UDP port: %v", err)
	} else {
		pc.Close()
	}
}

// Hosts have files and certificates of their own over HTTP/3 as well, and a renewed one is
// taken; so is what the configuration says then.
func TestHTTP3HostsAndReload(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("of all"))
	put(t, d+"/other/a.txt", []byte("of another"))
	certificate(t, d+"/", "one")
	os.Mkdir(d+"/2", 0o755)
	certificate(t, d+"/2", "two.example")
	put(t, d+"/conf.toml", []byte("header = '** X-Version: 1'"))
	p := launchHTTP3(t, nil, "--config="+d+"/conf.toml", "--host=two.example "+d+"/other "+d+"/2/c "+d+"/2/k", d+"/site")
	for name, want := range map[string]string{"one": "of all", "two.example": "of another"} {
		resp, b := p.fetched(t, overQUIC(t, name), "/a.txt", "Host", name)
		if cn := resp.TLS.PeerCertificates[0].Subject.CommonName; string(b) != want || cn != name {
			t.Errorf("%s: %q, certificate %s", name, b, cn)
		}
	}
	kept := overQUIC(t, "one")
	p.fetched(t, kept, "/a.txt")
	certificate(t, d+"/2", "three")
	put(t, d+"/conf.toml", []byte("header = '** X-Version: 2'"))
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "three is presented", func() bool {
		resp, _ := p.fetched(t, overQUIC(t, "two.example"), "/a.txt")
		return resp.TLS.PeerCertificates[0].Subject.CommonName == "three"
	})
	eventually(t, "the configuration is the new one, on a connection that is kept", func() bool {
		resp, _ := p.fetched(t, kept, "/a.txt")
		return resp.Header.Get("X-Version") == "2"
	})
	put(t, d+"/conf.toml", []byte("http3 = false"))
	p.Process.Signal(syscall.SIGHUP)
	eventually(t, "it says what takes a restart", func() bool {
		return strings.Contains(p.said(), "--http3: a change of that takes a restart") || strings.Contains(p.said(), "reloaded")
	})
}

// Addresses are the client's own, or what a trusted proxy says that they are: in the log, and
// for who may have what.
func TestHTTP3Addresses(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("contents"))
	put(t, d+"/site/denied/a.txt", []byte("contents"))
	put(t, d+"/log", nil)
	p := launchHTTP3(t, nil, "--trusted-proxies=127.0.0.0/8", "--deny=/denied/** 192.0.2.0/24", "--https-redirect", "--security-headers", "--access-log="+d+"/log", d+"/site")
	c := overQUIC(t, "one")
	for _, tt := range []struct {
		path, from string
		status     int
	}{
		{"/a.txt", "192.0.2.7", 200}, {"/denied/a.txt", "192.0.2.7", 403}, {"/denied/a.txt", "198.51.100.1", 200}, {"/denied/a.txt", "", 200},
	} {
		resp, _ := p.fetched(t, c, tt.path, "X-Forwarded-For", tt.from)
		if resp.StatusCode != tt.status || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s from %q: %s, %v", tt.path, tt.from, resp.Status, resp.Header)
		}
	}
	eventually(t, "the log has the addresses", func() bool {
		b, _ := os.ReadFile(d + "/log")
		return strings.Contains(string(b), "\n198.51.100.1 - - ") && strings.Contains(string(b), "\n127.0.0.1 - - ")
	})
}

// half begins to fetch path, and returns what finishes it.
func (p *process) half(t *testing.T, c *http.Client, path string) (finish func() ([]byte, error)) {
	t.Helper()
	resp, err := c.Get("https://" + p.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 100_000)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	return func() ([]byte, error) {
		defer resp.Body.Close()
		rest, err := io.ReadAll(resp.Body)
		return append(first, rest...), err
	}
}

// A stop lets an answer over HTTP/3 end; one that takes too long is cut off, and its client
// told.
func TestHTTP3Stops(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	want := random(20 << 20)
	put(t, d+"/big", want)
	p := launchHTTP3(t, nil, d)
	finish := p.half(t, overQUIC(t, "one"), "/big")
	p.Process.Signal(syscall.SIGTERM)
	eventually(t, "it is stopping", func() bool { return strings.Contains(p.said(), "stopping: ") })
	if b, err := finish(); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := p.ended(t); err != nil {
		t.Errorf("%v; it said %s", err, p.said())
	}
	p = launchHTTP3(t, nil, "--shutdown-timeout=100ms", d)
	finish = p.half(t, overQUIC(t, "one"), "/big")
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	if !strings.Contains(p.said(), "stopped after 100ms: 1 connections were cut off") {
		t.Errorf("it said %s", p.said())
	}
	if b, err := finish(); err == nil {
		t.Errorf("%d bytes of %d, and no error", len(b), len(want))
	}
}

// Another process takes the place of this one, and the UDP socket; an answer that was begun
// is finished by who has begun it, and no datagram gets lost between the two.
func TestHTTP3Upgrade(t *testing.T) {
	for _, sandbox := range []string{"off", "required"} {
		t.Run("sandbox "+sandbox, func(t *testing.T) {
			t.Parallel()
			d := t.TempDir()
			want := random(20 << 20)
			put(t, d+"/site/big", want)
			put(t, d+"/conf.toml", []byte("header = '** X-Version: 1'"))
			m := newManager(t)
			p := launchHTTP3(t, []string{m.env()}, "--sandbox="+sandbox, "--config="+d+"/conf.toml", d+"/site")
			pid := m.ready()
			finish := p.half(t, overQUIC(t, "one"), "/big")
			put(t, d+"/conf.toml", []byte("header = '** X-Version: 2'"))
			syscall.Kill(pid, syscall.SIGUSR2)
			next := m.ready()
			for next == pid { // it has read its configuration again
				next = m.ready()
			}
			t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
			// As long as the one before has something to finish, it is the one that reads: it
			// refuses who comes.
			ask := func() error {
				_, err := overQUIC(t, "one").Get("https://" + p.addr + "/conf.toml")
				return err
			}
			eventually(t, "connections are refused", func() bool {
				var no *quic.TransportError
				return errors.As(ask(), &no) && no.ErrorCode == quic.ConnectionRefused
			})
			for range 20 {
				if ask() == nil {
					t.Error("both processes read from the socket")
					break
				}
			}
			if b, err := finish(); err != nil || !bytes.Equal(b, want) {
				t.Errorf("what was begun: %d bytes, %v", len(b), err)
			}
			eventually(t, "the process before ends", func() bool { return endedPID(pid) })
			resp, b := p.fetched(t, overQUIC(t, "one"), "/big")
			if !bytes.Equal(b, want) || resp.Header.Get("X-Version") != "2" {
				t.Errorf("then: %d bytes, %v", len(b), resp.Header)
			}
			syscall.Kill(next, syscall.SIGTERM)
			eventually(t, "the next one ends", func() bool { return endedPID(next) })
		})
	}
}

// The next process knows the UDP socket of an address, also if it has fewer by its configuration.
func TestHTTP3UpgradeToOtherAddresses(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("contents"))
	put(t, d+"/conf.toml", []byte("listen = ['http://127.0.0.1:0', 'localhost:0']"))
	m := newManager(t)
	p := launchHTTP3(t, []string{m.env()}, "--config="+d+"/conf.toml", d+"/site")
	pid := m.ready()
	put(t, d+"/conf.toml", []byte("listen = ['localhost:0']"))
	syscall.Kill(pid, syscall.SIGUSR2)
	failed := false
	eventually(t, "the upgrade is over", func() bool {
		failed = strings.Contains(p.said(), "the upgrade has failed")
		return failed || strings.Contains(p.said(), "upgraded: another")
	})
	if failed {
		t.Fatal(p.said())
	}
	next := m.ready()
	for next == pid { // it has read its configuration again
		next = m.ready()
	}
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	eventually(t, "the process before ends", func() bool { return endedPID(pid) })
	if _, b := p.fetched(t, overQUIC(t, "one"), "/a.txt"); string(b) != "contents" {
		t.Errorf("%q", b)
	}
	syscall.Kill(next, syscall.SIGTERM)
	eventually(t, "the next one ends", func() bool { return endedPID(next) })
}

// A client may have so many connections, and one more is cut off.
func TestHTTP3ConnectionsOfOneClient(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/a.txt", []byte("contents"))
	p := launchHTTP3(t, nil, "--max-conns-per-ip=2", d)
	first, second := overQUIC(t, "one"), overQUIC(t, "one")
	p.fetched(t, first, "/a.txt")
	p.fetched(t, second, "/a.txt")
	if resp, err := overQUIC(t, "one").Get("https://" + p.addr + "/a.txt"); err == nil {
		t.Errorf("the third gets %s", resp.Status)
	}
	eventually(t, "it says why", func() bool { return strings.Contains(p.said(), "--max-conns-per-ip=2 allows") })
	p.fetched(t, first, "/a.txt")
}

// A UDP socket of systemd's is used; where there is none, it says what to write.
func TestHTTP3BySystemd(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("contents"))
	certificate(t, d, "one")
	var ln *net.TCPListener
	var pc *net.UDPConn
	eventually(t, "a port is free for both", func() (ok bool) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln = l.(*net.TCPListener)
		c, err := net.ListenPacket("udp4", l.Addr().String())
		if err != nil {
			l.Close()
			return false
		}
		pc = c.(*net.UDPConn)
		return true
	})
	defer ln.Close()
	defer pc.Close()
	stream, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	datagram, err := pc.File()
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	args := []string{"--http3", "--addr=systemd:web", "--tls-cert=" + d + "/c", "--tls-key=" + d + "/k", d + "/site"}
	passing := func(names string, files ...*os.File) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec "$0" "$@"`, len(files), names), program()}, args...)...)
		cmd.ExtraFiles = files
		return cmd
	}
	p := launchCmd(t, passing("web:web", stream, datagram), nil)
	p.await(t)
	if _, b := p.fetched(t, overQUIC(t, "one"), "/a.txt"); string(b) != "contents" {
		t.Errorf("%q", b)
	}
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
	p = launchCmd(t, passing("web", stream), nil)
	port := ln.Addr().(*net.TCPAddr).Port
	if err := p.ended(t); err == nil || !strings.Contains(p.said(), fmt.Sprintf("add ListenDatagram=%d to its .socket unit", port)) {
		t.Errorf("%v; it said %s", err, p.said())
	}
}

// curl gets a file, where it has been built with HTTP/3.
func TestHTTP3Curl(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("curl", "--version").Output(); err != nil || !strings.Contains(string(out), "HTTP3") {
		missing(t, "curl-http3", "a curl with HTTP/3 in what curl --version lists (Debian 12's has none); quic-go's client asks the same in the other tests")
	}
	d := t.TempDir()
	want := random(5 << 20)
	put(t, d+"/big", want)
	p := launchHTTP3(t, nil, d)
	b, err := exec.Command("curl", "--http3-only", "-sk", "https://"+p.addr+"/big").Output()
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
