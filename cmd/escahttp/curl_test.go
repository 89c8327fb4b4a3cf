//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// curl has curl ask p for a path, and returns what it has received. It is the client that
// people use; where it is missing the test is skipped, and fails if ESCA_REQUIRE names curl.
func (p *process) curl(t *testing.T, path string, args ...string) (*http.Response, []byte) {
	t.Helper()
	name, err := exec.LookPath("curl")
	if err != nil {
		if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ",curl,") {
			t.Fatal("curl is not installed, and ESCA_REQUIRE names it: apt-get install curl")
		}
		t.Skip("needs curl: apt-get install curl")
	}
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + p.addr + path
	}
	cmd := exec.Command(name, append([]string{"-sS", "-i", "--raw", "--path-as-is", "--max-time", "60", url}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl %q: %v, %s; it said %s", cmd.Args, err, stderr.String(), p.said())
	}
	r := bufio.NewReader(bytes.NewReader(out))
	method := http.MethodGet
	for i, a := range args {
		switch {
		case a == "-I" || a == "--head":
			method = http.MethodHead
		case a == "-X":
			method = args[i+1]
		}
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("curl %q: %v: %q", cmd.Args, err, out)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("curl %q: %v", cmd.Args, err)
	}
	return resp, b
}

// decodes has curl fetch a path, and decode it.
func (p *process) decodes(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-sS", "--compressed", "--max-time", "60", "http://" + p.addr + path}, args...)...).Output()
	if err != nil {
		t.Fatalf("curl --compressed: %v, %s", err, out)
	}
	return out
}
