package http1

import (
	"bufio"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// A request counts as plain only if it has none of the fields that matter,
// however they are written.
func TestPlainRequests(t *testing.T) {
	for header, want := range map[string]bool{
		"Host: h\r\n": true, "Host: h\r\nUser-Agent: If-Match\r\nAccept: */*\r\n": true, "A: b\r\n c\r\n": true, "Referer: x\r\nInformation: y\r\n": true,
		"Host: h\r\nRange: bytes=0-1\r\n": false, "Host: h\r\nrAnGe: bytes=0-1\r\n": false, "Range: bytes=0-1\r\nHost: h\r\n": false,
		"Host: h\r\nif-none-match: *\r\n": false, "Host: h\r\nIF-MODIFIED-SINCE: x\r\nA: b\r\n": false, "Host: h\nIf-Range: x\r\n": false,
		"Host: h\r\nA: b\r\nIf-Unmodified-Since: x\r\n": false, "": false,
	} {
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReader(strings.NewReader("GET / HTTP/1.0\r\n" + header + "\r\n"))); err != nil {
			t.Fatalf("%q: %v", header, err)
		}
		if got, _ := looked(h.RawHeaders()); got != want {
			t.Errorf("%q: plain %v", header, got)
		}
	}
}

// Accept-Encoding is looked for wherever it may be, however it is written.
func TestRequestsThatAccept(t *testing.T) {
	for header, want := range map[string]bool{
		"Host: h\r\n": false, "Host: h\r\nAccept: */*\r\nAccept-Language: en\r\n": false, "Host: h\r\nAccept-Encoding: br\r\n": true,
		"aCCEPT-eNCODING: br\r\nHost: h\r\n": true, "Host: Accept-Encoding\r\n": false, "Ac: x\r\n": false, "": true,
	} {
		if _, got := looked([]byte(header)); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}
