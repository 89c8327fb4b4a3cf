package http1

import (
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"
)

// What can stand in the first lines of HTTP/1.1 is taken, and nothing else.
func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		t    Target
		host string // a field's
		good bool
	}{
		{Target{"GET", "https", "x", "/"}, "", true},
		{Target{"GET", "http", "x:80", "/a?b=%20"}, "", true},
		{Target{"OPTIONS", "https", "x", "*"}, "", true},
		{Target{"GET", "https", "x", "*"}, "", false},
		{Target{"GET", "https", "", "/"}, "x", true},
		{Target{"GET", "https", "x", "/"}, "x", true},
		{Target{"GET", "https", "x", "/"}, "y", false},
		{Target{"GET", "ftp", "x", "/"}, "", false},
		{Target{"GET", "", "x", "/"}, "", false},
		{Target{"", "https", "x", "/"}, "", false},
		{Target{"GE T", "https", "x", "/"}, "", false},
		{Target{"GET\r", "https", "x", "/"}, "", false},
		{Target{"GET", "https", "x", ""}, "", false},
		{Target{"GET", "https", "x", "a"}, "", false},
		{Target{"GET", "https", "x", "http://y/"}, "", false},
		{Target{"GET", "https", "x", "/ HTTP/1.1"}, "", false},
		{Target{"GET", "https", "x", "/\tx"}, "", false},
		{Target{"GET", "https", "x", "/\r\nX: y"}, "", false},
		{Target{"GET", "https", "x", "/\x00"}, "", false},
		{Target{"GET", "https", "x", "/\x7f"}, "", false},
		{Target{"GET", "https", "x y", "/"}, "", false},
		{Target{"GET", "https", "x\r\nX: y", "/"}, "", false},
		{Target{"GET", "https", "x/y", "/"}, "", false},
		{Target{"CONNECT", "", "x:1", ""}, "", true},
		{Target{"CONNECT", "", "", ""}, "", false},
		{Target{"CONNECT", "https", "x:1", ""}, "", false},
		{Target{"CONNECT", "", "x:1", "/"}, "", false},
	} {
		var fields []hpack.HeaderField
		if tt.host != "" {
			fields = append(fields, hpack.HeaderField{Name: "host", Value: tt.host})
		}
		var q Request
		if good := q.Begin(&fasthttp.Server{}, body{}, tt.t, fields, true); good != tt.good {
			t.Errorf("%q, Host %q: %v", tt.t, tt.host, good)
		}
		q.Release()
	}
}
