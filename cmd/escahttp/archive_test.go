//go:build linux

package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
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
