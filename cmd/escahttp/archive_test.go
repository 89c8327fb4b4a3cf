//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Archives arrive whole at curl, by HTTP/1.1, 1.0 and 2, and other programs can read them.
func TestArchives(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "localhost")
	content := bytes.Repeat([]byte("some text\n"), 30_000)
	put(t, d+"/site/docs/a.txt", content)
	put(t, d+"/site/docs/ü/b.txt", []byte("b"))
	put(t, d+"/site/docs/secret/x", []byte("x"))
	put(t, d+"/site/docs/inner/x", []byte("x"))
	put(t, d+"/site/docs/.env", []byte("x"))
	config := d + "/c.toml"
	put(t, config, []byte("root = \""+d+"/site\"\narchive = true\narchive-size = 1\ndeny = [\"/docs/secret/** 127.0.0.1\"]\nallow = [\"/docs/ 127.0.0.1\", \"/docs/inner/** 10.0.0.0/8\"]\n"))
	p := launch(t, nil, nil, "--config="+config)
	secure := launch(t, nil, nil, "--config="+config, "--tls-cert="+d+"/c", "--tls-key="+d+"/k")
	for _, args := range [][]string{{p.addr}, {p.addr, "-0"}, {"https://" + secure.addr, "-k", "--http1.1"}, {"https://" + secure.addr, "-k", "--http2"}} {
		file := t.TempDir() + "/f"
		if out, err := exec.Command(have(t, "curl"), append([]string{"-sSf", "--max-time", "60", "-o", file, args[0] + "/docs/?format=zip"}, args[1:]...)...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v, %s", args, err, out)
		}
		out, err := exec.Command(have(t, "python3"), "-c", "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nprint(' '.join(sorted(z.namelist())), len(z.read('docs/a.txt')))", file).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != "docs/ docs/a.txt docs/ü/ docs/ü/b.txt 300000" {
			t.Errorf("%q: %v, %s", args, err, got)
		}
	}
	p.answers(t, []ask{
		{"/docs/?format=tar.zst", []string{"-I"}, 200, "", []string{"Content-Type", "application/zstd", "Content-Disposition", `attachment; filename="docs.tar.zst"`, "Content-Length", ""}},
		{"/docs/secret/?format=zip", nil, 403, "*", nil},
		{"/docs/", nil, 404, "*", nil},
	})
	put(t, d+"/site/docs/large", make([]byte, 1<<20))
	p.answers(t, []ask{{"/docs/?format=zip", nil, 403, "<!doctype html><title>Forbidden", nil}})
}

// Who asks for an archive and takes nothing of it keeps others from theirs for --write-timeout,
// and no longer.
func TestArchivesThatNobodyTakes(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	certificate(t, d, "localhost")
	content := make([]byte, 32<<20) // which no format makes smaller, and no buffer of the kernel takes
	rand.NewChaCha8([32]byte{}).Read(content)
	put(t, d+"/site/large/f", content)
	put(t, d+"/site/small/f", []byte("f"))
	encrypted := []string{"--tls-cert=" + d + "/c", "--tls-key=" + d + "/k"}
	for _, tt := range []struct {
		name string
		args []string
		ask  func(t *testing.T, addr, path string) // and take nothing
	}{
		{"HTTP/1.1", nil, func(t *testing.T, addr, path string) {
			io.WriteString(stalledClient(t, addr), "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		}},
		{"TLS", encrypted, func(t *testing.T, addr, path string) {
			io.WriteString(tls.Client(stalledClient(t, addr), &tls.Config{InsecureSkipVerify: true}), "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		}},
		// The connection lives, and takes whatever comes.
		{"HTTP/2", encrypted, func(t *testing.T, addr, path string) {
			c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			io.WriteString(c, http2.ClientPreface)
			f := http2.NewFramer(c, c)
			f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			var head bytes.Buffer
			enc := hpack.NewEncoder(&head)
			for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "h"}} {
				enc.WriteField(h)
			}
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
			go io.Copy(io.Discard, c)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, nil, nil, append(tt.args, "--archive", "--write-timeout=2s", d+"/site")...)
			small := func() int {
				var c net.Conn = connect(t, p.addr)
				defer c.Close()
				if tt.args != nil {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				resp, _, err := exchange(c, "/small/?format=zip")
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode
			}
			eventually(t, "all places are taken", func() bool {
				tt.ask(t, p.addr, "/large/?format=zip")
				return small() == 503
			})
			eventually(t, "they are free again", func() bool { return small() == 200 })
		})
	}
}

func TestHelpIsGrouped(t *testing.T) {
	out, err := escahttp("serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, title := range []string{"Addresses", "TLS and hosts", "Operations", "Files", "Folders and paths", "Compression", "Access", "Header fields", "Times and limits"} {
		i := strings.Index(string(out), "\n"+title+":\n")
		if i <= at {
			t.Errorf("%s is not where it should be in %s", title, out)
		}
		at = i
	}
}
