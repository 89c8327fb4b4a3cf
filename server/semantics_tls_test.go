package server_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/nettest"
)

// serverTLS returns the configurations of a server and of a client that trusts it.
func serverTLS(t testing.TB) (srv, client *tls.Config) {
	t.Helper()
	certPEM, keyPEM, err := fasthttp.GenerateTestCertificate("esca.test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: pool, ServerName: "esca.test"}
}

// segments hands a connection's writes on a few bytes at a time.
type segments struct {
	net.Conn
	size int
}

func (s segments) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.Conn.Write(p[n:min(n+s.size, len(p))])
		n += m
	}
	return n, err
}

// dialTLS connects through writes of the given size.
func (r *running) dialTLS(t *testing.T, cfg *tls.Config, size int) *client {
	t.Helper()
	return rawClient(t, tls.Client(segments{r.dial(t).Conn, size}, cfg))
}

// TLS lives as long as its connection, through any number of idle gaps and
// records in any number of segments.
func TestTLS(t *testing.T) {
	srv, cfg := serverTLS(t)
	for _, tt := range []struct {
		name    string
		size    int
		version uint16
		set     func(*fasthttp.Server)
	}{
		{"1.3", 1 << 20, tls.VersionTLS13, func(*fasthttp.Server) {}},
		{"1.2", 1 << 20, tls.VersionTLS12, func(*fasthttp.Server) {}},
		{"in segments", 500, tls.VersionTLS13, func(*fasthttp.Server) {}},
		{"byte by byte", 1, tls.VersionTLS13, func(*fasthttp.Server) {}},
		{"ReduceMemoryUsage", 1 << 20, tls.VersionTLS13, func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }},
		{"timeouts", 1 << 20, tls.VersionTLS13, func(fs *fasthttp.Server) {
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = generous, generous, generous
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				fs := &fasthttp.Server{TLSConfig: srv.Clone(), Handler: func(ctx *fasthttp.RequestCtx) {
					cs := ctx.TLSConnectionState()
					if !ctx.IsTLS() || cs == nil || cs.Version != tt.version {
						t.Errorf("IsTLS %v, state %+v", ctx.IsTLS(), cs)
					}
					fmt.Fprintf(ctx, "%d %s", ctx.ConnRequestNum(), ctx.PostBody())
				}}
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				ccfg := cfg.Clone()
				ccfg.MaxVersion = tt.version
				c := r.dialTLS(t, ccfg, tt.size)
				body := strings.Repeat("0123456789abcdef", 4096) // four full records
				if tt.size == 1 {
					body = body[:2000]
				}
				for i := range 20 {
					c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					_, got := c.response()
					if want := fmt.Sprintf("%d %s", i+1, body); got != want {
						t.Fatalf("request %d: got %d bytes, want %d", i, len(got), len(want))
					}
					seen.until(t, fasthttp.StateIdle)
				}
				// A pipeline in one record, and one in two.
				c.send("%s", get+get+get[:7])
				c.send("%s", get[7:])
				for range 3 {
					c.response()
				}
				if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
					t.Error(err)
				}
				expect(t, "rest", c.rest(), "") // and so with a close_notify
				seen.until(t, fasthttp.StateClosed)
				if got := seen.only(t); !strings.HasSuffix(got, "idle active idle closed") {
					t.Errorf("states %s", got)
				}
			})
		})
	}
}

func TestTLSTimeouts(t *testing.T) {
	srv, cfg := serverTLS(t)
	onEach(t, func(t *testing.T, st stack) {
		fs := &fasthttp.Server{TLSConfig: srv.Clone(), Handler: echoPath, ReadTimeout: 2 * short, IdleTimeout: short}
		seen := watchStates(fs)
		r := st.start(t, fs)
		expect(t, "without a handshake", r.dial(t).rest(), "")
		seen.until(t, fasthttp.StateClosed)

		c := r.dialTLS(t, cfg, 1<<20)
		c.send("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n")
		c.response()
		expect(t, "idle", c.rest(), "")

		c = r.dialTLS(t, cfg, 1<<20)
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
		expect(t, "half a body", maskDate(c.rest()), answer("408 Request Timeout", "Request timeout"))
	})
}

func TestTLSRefusesPlaintext(t *testing.T) {
	srv, _ := serverTLS(t)
	onEach(t, func(t *testing.T, st stack) {
		log := new(lines)
		fs := &fasthttp.Server{TLSConfig: srv.Clone(), Handler: echoPath, Logger: log}
		seen := watchStates(fs)
		r := st.start(t, fs)
		c := r.dial(t)
		c.send("%s", get)
		c.closeWrite()
		c.rest()
		seen.until(t, fasthttp.StateClosed)
		r.stop(t)
		expect(t, "states", seen.only(t), "new closed")
		if got := log.String(); !strings.HasSuffix(got, ": tls: first record does not look like a TLS handshake") {
			t.Errorf("logged %q", got)
		}
	})
}

func TestTLSHijack(t *testing.T) {
	srv, cfg := serverTLS(t)
	onEach(t, func(t *testing.T, st stack) {
		r := st.start(t, hijacking(&fasthttp.Server{TLSConfig: srv.Clone()}, func(c net.Conn) { io.Copy(c, c) }))
		c := r.dialTLS(t, cfg, 1<<20)
		c.get("/first")
		c.send("%sleft over\n", upgrade)
		expect(t, "status", c.head().StatusCode, 101)
		expectLine(t, c.br, "left over\n")
		body := noise(1 << 20)
		go c.Write(body)
		got := make([]byte, len(body))
		if _, err := io.ReadFull(c.br, got); err != nil || !bytes.Equal(got, body) {
			t.Errorf("echo: %v", err)
		}
		c.Conn.(*tls.Conn).CloseWrite()
		expect(t, "rest", c.rest(), "")
	})
}

// Other networks than TCP over IPv4.
func TestNetworks(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			if network == "tcp6" && !nettest.SupportsIPv6() {
				t.Skip("the machine has no IPv6")
			}
			onEach(t, func(t *testing.T, st stack) {
				addr := map[string]string{"unix": tempSocket(t), "tcp": "localhost:0", "tcp6": "[::1]:0"}[network]
				fs := &fasthttp.Server{MaxConnsPerIP: 100, Handler: func(ctx *fasthttp.RequestCtx) {
					fmt.Fprintf(ctx, "%s %s %s %d", ctx.LocalAddr().Network(), ctx.LocalAddr(), ctx.RemoteIP(), len(ctx.PostBody()))
				}}
				seen := watchStates(fs)
				r := st.startOn(t, fs, network, addr)
				c := r.dial(t)
				ip := map[string]string{"unix": "0.0.0.0", "tcp": "127.0.0.1", "tcp6": "::1"}[network]
				if network == "tcp" {
					ip = c.RemoteAddr().(*net.TCPAddr).IP.String()
				}
				for range 3 {
					c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("u", 100000))
					_, got := c.response()
					expect(t, "answer", got, fmt.Sprintf("%s %s %s 100000", map[bool]string{true: "unix", false: "tcp"}[network == "unix"], r.addr, ip))
					seen.until(t, fasthttp.StateIdle)
				}
				c.closeWrite()
				expect(t, "rest", c.rest(), "")
			})
		})
	}
}
