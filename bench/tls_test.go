//go:build linux

package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// secureServer is a server with one handler, and a certificate of a workshop's.
func secureServer(t *testing.T, h2 bool, h http.HandlerFunc) string {
	t.Helper()
	cert, key, err := (&workshop{dir: t.TempDir(), made: map[string]error{}}).certificate()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(h2)
	srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		h(w, r)
	})}
	t.Cleanup(func() { srv.Close() })
	go srv.ServeTLS(ln, cert, key)
	return ln.Addr().String()
}

// Connections are new, or resumed, as is asked for; what else they are is wrong,
// as is another answer.
func TestHandshake(t *testing.T) {
	const body = "Hello, World!"
	said := body
	addr := secureServer(t, true, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(said)) })
	l := load{path: "/", conns: 3, body: []byte(body), tls: true, close: true}
	a, err := checkAnswers(addr, l)
	if err != nil {
		t.Fatal(err)
	}
	g := generation{Addr: addr, Conns: 3, Close: true, TLS: true, Duration: 100 * time.Millisecond, Asks: []ask{{[]byte(l.request(addr)), a.size, l.body}}}
	for _, g.Resume = range []bool{false, true} {
		got, err := handshake(g)
		if err != nil || got.Requests == 0 || got.Errors+got.Wrong > 0 || got.P50 == 0 {
			t.Errorf("resumed %v: %+v, %v", g.Resume, got, err)
		}
		if err := got.check([]answer{a}, l); err != nil {
			t.Error(err)
		}
	}
	h := &handshakes{generation: g, tls: clientTLS()}
	if _, err := h.once(true); err != errWrongAnswer {
		t.Errorf("a new connection where a resumed one is asked for: %v", err)
	}
	h.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, want := range []error{nil, errWrongAnswer} {
		if _, err := h.once(false); err != want {
			t.Errorf("connection %d, where new ones are asked for: %v", i, err)
		}
	}
	said = strings.ToUpper(body)
	g.Resume = false
	if got, err := handshake(g); err != nil || got.Requests > 0 || got.Wrong == 0 {
		t.Errorf("wrong answers: %+v, %v", got, err)
	}
	g.Resume = true
	if _, err := handshake(g); err == nil || !strings.Contains(err.Error(), "to be resumed") {
		t.Errorf("nothing to resume: %v", err)
	}
}
