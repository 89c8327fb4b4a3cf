package http1

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"
)

// body is a Source.
type body struct {
	io.Reader
	trailers []hpack.HeaderField
}

func (b body) Receive(p []byte) (int, error) { return b.Read(p) }
func (b body) Trailers() []hpack.HeaderField { return b.trailers }
func (b body) Answered() bool                { return false }

// reading is what fasthttp reads of a request; false: it is none.
func reading(fs *fasthttp.Server, t Target, fields []hpack.HeaderField, in string) (*fasthttp.Request, bool, error) {
	var q Request
	if !q.Begin(fs, body{Reader: strings.NewReader(in)}, t, fields, in == "") {
		q.Release()
		return nil, false, nil
	}
	var req fasthttp.Request
	br := bufio.NewReader(&q)
	err := req.Read(br)
	if err == nil {
		if rest, _ := io.ReadAll(br); len(rest) > 0 {
			return &req, true, io.ErrShortBuffer
		}
	}
	q.Release()
	return &req, true, err
}

// Whatever is asked for, fasthttp reads it as it was meant, or not at all: what is in a field
// or a pseudo field never is a line, or another request, in HTTP/1.1. Names and values are
// such as the parsers of HTTP/2 and HTTP/3 let through.
func FuzzRequest(f *testing.F) {
	for _, s := range [][]string{
		{"GET", "https", "x", "/", "a", "b", ""},
		{"POST", "https", "x:1", "/a?b=c", "content-length", "5", "hello"},
		{"POST", "http", "x", "/", "transfer-encoding", "chunked", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n"},
		{"GET / HTTP/1.1\r\nX: y", "https", "x", "/", "a", "b", ""},
		{"GET", "https", "x\r\nX: y", "/ HTTP/1.1\r\n\r\nGET /", "host", "x", ""},
		{"CONNECT", "", "x:1", "", "a", "b", "tunnel"},
		{"OPTIONS", "https", "x", "*", "cookie", "a=b", ""},
		{"PUT", "https", "x", "/", "trailer", "a", "body"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5], s[6])
	}
	f.Fuzz(func(t *testing.T, method, scheme, host, path, name, value, in string) {
		if strings.ContainsAny(name+value, "\r\n\x00") || strings.ContainsAny(name, ": \t") || name == "" || strings.ToLower(name) != name {
			return
		}
		want := Target{Method: method, Scheme: scheme, Host: host, Path: path}
		req, ok, err := reading(&fasthttp.Server{}, want, []hpack.HeaderField{{Name: name, Value: value}}, in)
		if !ok || err != nil {
			return
		}
		if want.Host == "" && name == "host" {
			want.Host = value
		}
		if want.Method == "CONNECT" {
			want.Path = want.Host
		}
		h := &req.Header
		if string(h.Method()) != want.Method || string(h.RequestURI()) != want.Path || string(h.Host()) != strings.TrimSpace(want.Host) {
			t.Errorf("%q %q %q, want %q", h.Method(), h.RequestURI(), h.Host(), want)
		}
		if got := req.Body(); len(got) > 0 && string(got) != in {
			t.Errorf("body %q, want %q", got, in)
		}
	})
}
