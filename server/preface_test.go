package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// readFrom reads a preface: a line that says who the client is, or nothing.
func readFrom(c net.Conn) (net.Addr, error) {
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := c.Read(b); err != nil {
			return nil, err
		}
	}
	text := strings.TrimSpace(string(line))
	if text == "" {
		return nil, nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(a), nil
}

func prefaced(fs *fasthttp.Server) served {
	s := server.New(fs)
	s.Preface(readFrom)
	return s
}

// prefacedEach runs test on loops, and on a listener that fasthttp serves.
func prefacedEach(t *testing.T, test func(t *testing.T, st stack, loops bool)) {
	for _, st := range append(escas(), stack{name: "fasthttp", listen: func(network, addr string) (net.Listener, error) {
		ln, err := net.Listen(network, addr)
		return struct{ net.Listener }{ln}, err
	}}) {
		st.server = prefaced
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			test(t, st, st.name != "fasthttp")
		})
	}
}

const client1, client2 = "198.51.100.7:4711", "198.51.100.8:4711"

// What comes in front of the first request is read, however it comes, and says who the
// client is.
func TestPreface(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tt := range []struct {
		name   string
		pieces []string // each is sent when the answers to those before have come
		peer   string   // "": the connection's own; "-": nothing is answered
		states string
	}{
		{"together", []string{client1 + "\n" + get}, client1, "new active idle closed"},
		{"with two requests", []string{client1 + "\n" + get + get}, client1, "new active idle active idle closed"},
		{"before", []string{client1 + "\n", get, get}, client1, "new active idle active idle closed"},
		{"in pieces", []string{"198.51.", "100.7:4711", "\nGET / HT", "TP/1.1\r\nHost: x\r\n\r\n"}, client1, "new active idle closed"},
		{"of the proxy itself", []string{"\n" + get}, "", "new active idle closed"},
		{"none", []string{get}, "-", ""},
		{"half", []string{"198.51."}, "-", ""},
		{"nothing", nil, "-", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prefacedEach(t, func(t *testing.T, st stack, loops bool) {
				fs := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString(ctx.RemoteAddr().String()) }}
				seen := watchStates(fs)
				r := st.start(t, fs)
				c := r.dial(t)
				want := tt.peer
				if want == "" {
					want = c.LocalAddr().String()
				}
				for _, p := range tt.pieces {
					c.send("%s", p)
					for range strings.Count(p, "\r\n\r\n") {
						if tt.peer == "-" {
							break
						}
						_, body := c.response()
						expect(t, "the peer", body, want)
					}
				}
				c.closeWrite()
				expect(t, "what is left", c.rest(), "")
				if !loops {
					return
				}
				if tt.states != "" {
					seen.until(t, fasthttp.StateClosed)
					expect(t, "states", seen.only(t), tt.states)
				}
				r.stop(t)
				if tt.states == "" && len(seen.all()) > 0 {
					t.Errorf("the hook was told of %v", seen.all())
				}
			})
		})
	}
}

// TLS comes behind it, and a limit of connections is about the clients.
func TestPrefaceTLSAndLimits(t *testing.T) {
	srv, cl := serverTLS(t)
	prefacedEach(t, func(t *testing.T, st stack, loops bool) {
		if !loops {
			return
		}
		fs := &fasthttp.Server{TLSConfig: srv.Clone(), MaxConnsPerIP: 1, Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString(ctx.RemoteAddr().String()) }}
		r := st.start(t, fs)
		dial := func(from string) (*client, error) {
			c := r.dial(t)
			c.send("%s\n", from)
			tc := tls.Client(c.Conn, cl)
			c.Conn, c.br = tc, bufio.NewReader(tc)
			return c, tc.Handshake()
		}
		for _, from := range []string{client1, client2} {
			c, err := dial(from)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "the peer", c.get("/"), from)
			expect(t, "the peer", c.get("/"), from)
		}
		if _, err := dial(client1); err == nil {
			t.Error("one connection too many is served")
		}
	})
}

// One that never comes ends with the time for a request, without an answer.
func TestPrefaceLate(t *testing.T) {
	prefacedEach(t, func(t *testing.T, st stack, _ bool) {
		r := st.start(t, &fasthttp.Server{Handler: echoPath, ReadTimeout: short})
		for _, begin := range []string{"", "198.51."} {
			c := r.dial(t)
			c.send("%s", begin)
			expect(t, "the answer", c.rest(), "")
		}
		// And a request that does not come behind it, as it would without.
		c := r.dial(t)
		c.send("%s\n", client1)
		c.rest()
	})
}

// A shutdown waits for who has connected and not yet said who it is.
func TestPrefaceShutdown(t *testing.T) {
	st := esca("", conn.WithLoops(1))
	st.server = prefaced
	r := st.start(t, &fasthttp.Server{Handler: echoPath})
	began := time.Now()
	c := r.dial(t)
	d := r.dial(t)
	d.send("%s\n", client2)
	expect(t, "before", d.get("/a"), "/a") // so that c is accepted, too
	go r.stop(t)
	d.rest() // it is idle, and closed
	c.send("%s\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", client1)
	switch b, err := io.ReadAll(c.br); {
	case err != nil && !errors.Is(err, net.ErrClosed):
		t.Error(err)
	case time.Since(began) > 4*time.Second: // it may not have counted as new any more
	case !strings.Contains(string(b), "/b"):
		t.Errorf("it is answered %q", b)
	}
}

// Who has not yet said who he is counts among those that are served at once: one too many
// is not waited for.
func TestPrefacesThatDoNotCome(t *testing.T) {
	st := esca("", conn.WithLoops(1))
	st.server = prefaced
	r := st.start(t, &fasthttp.Server{Handler: echoPath, Concurrency: 2})
	c, silent := r.dial(t), r.dial(t)
	c.send("%s\n", client1)
	expect(t, "of the first", c.get("/a"), "/a")
	one := r.dial(t)
	if text := one.rest(); text != "" && !strings.Contains(text, " 503 ") {
		t.Errorf("one too many is answered %q", text)
	}
	silent.send("%s\n", client2)
	expect(t, "of the second", silent.get("/b"), "/b")
}
