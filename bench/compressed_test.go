//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What is compressed is compared with what it was made of, also where its length
// was not known when it was sent.
func TestCompressedAnswers(t *testing.T) {
	text := textPage()
	small := zipped(text)
	if len(text) != pageSize || len(small) > pageSize/2 || len(small) < pageSize/8 {
		t.Errorf("%d bytes become %d", len(text), len(small))
	}
	l := load{path: "/", body: text, gzip: true}
	if !strings.Contains(l.request("h"), "\r\n"+acceptGzip+"\r\n\r\n") {
		t.Errorf("the request is %q", l.request("h"))
	}
	const coded = "Content-Encoding: gzip\r\n"
	chunked := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", coded, len(small), small)
	for _, tc := range []struct{ name, response, want string }{
		{"right", ok(string(small), coded), ""},
		{"chunked", chunked, ""},
		{"not compressed", ok(string(text)), "not compressed"},
		{"spoilt", ok(string(small[:len(small)-9]), coded), "what is compressed"},
		{"of something else", ok(string(zipped(bytes.ToUpper(text))), coded), "byte"},
	} {
		a, err := checkAnswers(answering(t, tc.response), l)
		if tc.want == "" && (err != nil || a.size != int64(len(tc.response))) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %d bytes, %v, want %q", tc.name, a.size, err, tc.want)
		}
	}
	l.gzip = false
	if _, err := checkAnswers(answering(t, chunked), l); err == nil {
		t.Error("an answer of unknown length is right where nothing is compressed")
	}
}
