//go:build linux

package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// What would never end as a request has its answer at once, and not when the time for
// it is up.
func TestRequestsWithoutAnEnd(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/a.txt", []byte("hi"))
	p := launch(t, nil, nil, "--read-timeout=0", d)
	for _, request := range []string{
		"GET /a.txt HTTP/1.1\nHost: h\n\n", "GET /a.txt HTTP/1.0\n\n", "GET /a.txt HTTP/1.1\r\nHost: h\n\n",
		"GET /a.txt HTTP/1.1\nHost: h\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x00\x00\x00",
	} {
		c := connect(t, p.addr)
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, request)
		if line, err := c.r.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 400 ") {
			t.Errorf("%q: %q, %v", request, line, err)
		}
	}
}
