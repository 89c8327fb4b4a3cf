//go:build linux && (amd64 || arm64)

package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/escahttp/esca/server"
)

// Which protocol is spoken follows from the options, the configuration and the client.
func TestH2Offer(t *testing.T) {
	srv, cfg := serverTLS(t)
	for _, tt := range []struct {
		name   string
		opts   []server.Option
		set    func(*fasthttp.Server)
		client []string // what it offers
		want   string
	}{
		{"by default", nil, nil, []string{"h2", "http/1.1"}, "h2"},
		{"HTTP/1.1 only", nil, nil, []string{"http/1.1"}, "http/1.1"},
		{"no ALPN", nil, nil, nil, ""},
		{"off", []server.Option{server.WithHTTP2(false)}, nil, []string{"h2", "http/1.1"}, ""},
		{"off, and listed", []server.Option{server.WithHTTP2(false)}, func(fs *fasthttp.Server) { fs.TLSConfig.NextProtos = []string{"h2", "http/1.1"} }, []string{"h2", "http/1.1"}, "http/1.1"},
		{"on", []server.Option{server.WithHTTP2(true)}, nil, []string{"h2", "http/1.1"}, "h2"},
		{"own list without", nil, func(fs *fasthttp.Server) { fs.TLSConfig.NextProtos = []string{"http/1.1"} }, []string{"h2", "http/1.1"}, "http/1.1"},
		{"own list with", nil, func(fs *fasthttp.Server) { fs.TLSConfig.NextProtos = []string{"http/1.1", "h2"} }, []string{"h2"}, "h2"},
		{"old TLS", nil, func(fs *fasthttp.Server) {
			fs.TLSConfig.MaxVersion = tls.VersionTLS11
			fs.TLSConfig.MinVersion = tls.VersionTLS10
		}, []string{"h2", "http/1.1"}, ""},
		{"forbidden ciphers", nil, func(fs *fasthttp.Server) {
			fs.TLSConfig.MaxVersion, fs.TLSConfig.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		}, []string{"h2", "http/1.1"}, ""},
		{"by client", nil, func(fs *fasthttp.Server) {
			own := fs.TLSConfig.Clone()
			own.NextProtos = []string{"h2"}
			fs.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
		}, []string{"h2"}, "h2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := &fasthttp.Server{TLSConfig: srv.Clone(), Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello") }}
			if tt.set != nil {
				tt.set(fs)
			}
			st := esca("")
			st.server = func(fs *fasthttp.Server) served { return server.New(fs, tt.opts...) }
			r := &h2Running{scheme: "https", tls: cfg, running: st.start(t, fs)}
			ccfg := cfg.Clone()
			ccfg.NextProtos, ccfg.MinVersion = tt.client, tls.VersionTLS10
			c := tls.Client(r.dial(t).Conn, ccfg)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			expect(t, "protocol", c.ConnectionState().NegotiatedProtocol, tt.want)
			if tt.want == "h2" {
				f := r.frames(t)
				expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
				return
			}
			fmt.Fprint(c, get)
			resp, err := http.ReadResponse(rawClient(t, c).br, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
}

// A fs.NextProto("h2") of one's own is served, and not by us.
func TestH2NextProtoIsKept(t *testing.T) {
	srv, cfg := serverTLS(t)
	fs := &fasthttp.Server{TLSConfig: srv, Handler: func(*fasthttp.RequestCtx) {}}
	fs.NextProto("h2", func(c net.Conn) error { _, err := io.WriteString(c, "own"); return err })
	r := h2Stack.start(t, fs)
	cfg.NextProtos = []string{"h2"}
	c := rawClient(t, tls.Client(r.dial(t).Conn, cfg))
	expect(t, "answer", c.rest(), "own")
}

// In the clear, both protocols come in on one port, whole or byte by byte.
func TestH2C(t *testing.T) {
	for _, set := range []func(*fasthttp.Server){
		func(*fasthttp.Server) {}, func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }, func(fs *fasthttp.Server) { fs.ReadTimeout = generous },
	} {
		fs := &fasthttp.Server{Handler: echoPath}
		set(fs)
		r := &h2Running{scheme: "http", running: h2Stack.start(t, fs)}
		for _, size := range []int{1, 5, 1000} {
			for range 3 {
				c := rawClient(t, segments{r.dial(t).Conn, size})
				c.send("POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
				_, got := c.response()
				expect(t, "answer", got, "/one")
				expect(t, "answer", c.get("/two"), "/two")
				c = rawClient(t, segments{r.dial(t).Conn, size})
				c.send("PRI /x HTTP/1.1\r\nHost: x\r\n\r\n")
				_, got = c.response()
				expect(t, "answer to a method PRI", got, "/x")

				nc := segments{r.dial(t).Conn, size}
				nc.SetDeadline(time.Now().Add(generous))
				io.WriteString(nc, http2.ClientPreface)
				fr := http2.NewFramer(nc, nc)
				fr.WriteSettings()
				f, err := fr.ReadFrame()
				if _, ok := f.(*http2.SettingsFrame); !ok {
					t.Fatalf("%v, %v", f, err)
				}
				nc.Close()
			}
		}
		c := r.dial(t)
		c.send("PRI * HT")
		c.closeWrite()
		c.rest()
	}
	// Without the option the preface is no request.
	r := onOneLoop.start(t, &fasthttp.Server{Handler: echoPath})
	c := r.dial(t)
	c.send(http2.ClientPreface)
	if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("answered %q", got)
	}
}

// Handlers know their connection.
func TestH2Identity(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		var ids [2]uint64
		fs := &fasthttp.Server{}
		fs.Handler = func(ctx *fasthttp.RequestCtx) {
			fmt.Fprintf(ctx, "%d %d %s %s %v %v %v", ctx.ConnID(), ctx.ConnRequestNum(), ctx.LocalAddr(), ctx.RemoteAddr(), ctx.IsTLS(), ctx.Time().Before(ctx.ConnTime()), ctx.Conn().RemoteAddr())
			if cs := ctx.TLSConnectionState(); cs != nil && (cs.NegotiatedProtocol != "h2" || !cs.HandshakeComplete) {
				t.Errorf("TLS state %+v", cs)
			}
			if _, err := ctx.Conn().Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "HTTP/2") {
				t.Errorf("reading ctx.Conn: %v", err)
			}
			ctx.Logger().Printf("logged")
			ctx.SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(1, 2, 3, 4)})
		}
		log := new(lines)
		fs.Logger = log
		r := start(fs)
		for i := range ids {
			f := r.frames(t)
			for n := 1; n <= 3; n++ {
				id := f.open(true, "GET", "/")
				got := string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data())
				if n == 1 {
					fmt.Sscan(got, &ids[i])
				}
				me := f.LocalAddr()
				expect(t, "identity", got, fmt.Sprintf("%d %d %s %s %v false %v", ids[i], n, r.addr, me, r.tls != nil, me))
			}
			if !strings.Contains(log.String(), f.LocalAddr().String()) {
				t.Errorf("logged %q", log.String())
			}
		}
		if ids[0] == ids[1] {
			t.Error("two connections have the same ID")
		}
	})
}

// A client's certificate is in the TLS state.
func TestH2ClientCertificate(t *testing.T) {
	srv, cfg := serverTLS(t)
	cfg.Certificates = srv.Certificates
	srv.ClientAuth = tls.RequireAnyClientCert
	r := &h2Running{scheme: "https", tls: cfg, running: h2Stack.start(t, &fasthttp.Server{TLSConfig: srv, Handler: func(ctx *fasthttp.RequestCtx) {
		fmt.Fprint(ctx, len(ctx.TLSConnectionState().PeerCertificates))
	}})}
	f := r.frames(t)
	id := f.open(true, "GET", "/")
	expect(t, "certificates", string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data()), "1")
}

// Hijacking is refused, with a line in the log, and the connection goes on.
func TestH2HijackIsRefused(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		log := new(lines)
		r := start(&fasthttp.Server{Logger: log, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/" {
				ctx.HijackSetNoResponse(true)
				ctx.Hijack(func(net.Conn) { t.Error("hijacked") })
			}
		}})
		f := r.frames(t)
		expect(t, "status", f.status(f.open(true, "GET", "/")), "505")
		expect(t, "status", f.status(f.open(true, "GET", "/x")), "200")
		if got := log.String(); !strings.Contains(got, "cannot be hijacked") || !strings.Contains(got, "WithHTTP2(false)") {
			t.Errorf("logged %q", got)
		}
	})
}

// What ends a connection of HTTP/1.1 behind an answer ends one of HTTP/2 with GOAWAY.
func TestH2GoAway(t *testing.T) {
	for name, set := range map[string]func(*fasthttp.Server){
		"MaxRequestsPerConn": func(fs *fasthttp.Server) { fs.MaxRequestsPerConn = 3 },
		"SetConnectionClose": func(fs *fasthttp.Server) {
			fs.Handler = func(ctx *fasthttp.RequestCtx) {
				if ctx.ConnRequestNum() == 3 {
					ctx.SetConnectionClose()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
				fs := &fasthttp.Server{Handler: echoPath}
				set(fs)
				f := start(fs).frames(t)
				for i := range 3 {
					id := f.open(true, "GET", "/")
					if i == 2 {
						expect(t, "GOAWAY", f.goAwayOrHead(id), http2.ErrCodeNo)
						break
					}
					expect(t, "status", f.status(id), "200")
				}
				f.closed()
			})
		})
	}
}

// goAwayOrHead waits for both.
func (f *frames) goAwayOrHead(id uint32) (code http2.ErrCode) {
	f.t.Helper()
	head, away := false, false
	for !head || !away {
		switch fr := f.until("a GOAWAY and a head", func(http2.Frame) bool { return true }).(type) {
		case *http2.GoAwayFrame:
			away, code = true, fr.ErrCode
			expect(f.t, "last stream", fr.LastStreamID, id)
		case *http2.MetaHeadersFrame:
			head = true
			expect(f.t, "status", fr.PseudoValue("status"), "200")
		}
	}
	return code
}

func TestH2Timeouts(t *testing.T) {
	const short = 300 * time.Millisecond
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		t.Run("a body that does not come", func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				for _, byHead := range []bool{false, true} {
					fs := &fasthttp.Server{ReadTimeout: 3 * short, IdleTimeout: generous, StreamRequestBody: stream, Handler: func(ctx *fasthttp.RequestCtx) {
						if stream {
							if _, err := io.ReadAll(ctx.RequestBodyStream()); err == nil {
								t.Error("no error")
							}
							ctx.SetStatusCode(408)
						}
					}}
					if byHead {
						fs.ReadTimeout = generous
						fs.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
							return fasthttp.RequestConfig{ReadTimeout: short}
						}
					}
					f := start(fs).frames(t)
					id := f.open(false, "POST", "/")
					f.WriteData(id, false, []byte("some"))
					expect(t, "status", f.status(id), "408")
				}
			}
		})
		t.Run("an idle connection", func(t *testing.T) {
			r := start(&fasthttp.Server{IdleTimeout: short, Handler: echoPath})
			f := r.frames(t)
			expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
			expect(t, "GOAWAY", f.goAway(), http2.ErrCodeNo)
			f.closed()
		})
		t.Run("no preface", func(t *testing.T) {
			r := start(&fasthttp.Server{ReadTimeout: short, Handler: echoPath})
			f := r.frames(t)
			f.Close()
			nc := r.dial(t).Conn
			if r.tls != nil {
				cfg := r.tls.Clone()
				cfg.NextProtos = []string{"h2"}
				nc = tls.Client(nc, cfg)
			}
			io.WriteString(nc, "PRI * HTTP")
			io.Copy(io.Discard, nc)
		})
		t.Run("an answer that is not taken", func(t *testing.T) {
			r := start(&fasthttp.Server{WriteTimeout: short, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, 1<<20)) }})
			f := r.frames(t)
			expect(t, "reset", f.reset(f.open(true, "GET", "/")), http2.ErrCodeCancel)
			expect(t, "status", f.status(f.open(true, "HEAD", "/")), "200")
		})
		t.Run("a handler's own", func(t *testing.T) {
			r := start(&fasthttp.Server{StreamRequestBody: true, Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetReadDeadline(time.Now().Add(short))
				_, err := io.ReadAll(ctx.RequestBodyStream())
				fmt.Fprint(ctx, err != nil)
			}})
			f := r.frames(t)
			id := f.open(false, "POST", "/")
			expect(t, "answer", string(f.until("data", ofType(http2.FrameData, id)).(*http2.DataFrame).Data()), "true")
			expect(t, "reset", f.reset(id), http2.ErrCodeNo)
		})
	})
}

// A shutdown lets streams finish, and no more begin.
func TestH2Shutdown(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		begun, release := make(chan bool), make(chan bool)
		r := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/wait" {
				begun <- true
				<-ctx.Done()
				<-release
			}
		}})
		idle := r.frames(t)
		expect(t, "status", idle.status(idle.open(true, "GET", "/")), "200")
		f := r.frames(t)
		id := f.open(true, "GET", "/wait")
		wait(t, begun, "the handler")
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(context.Background()) }()
		expect(t, "GOAWAY of an idle connection", idle.goAway(), http2.ErrCodeNo)
		idle.closed()
		expect(t, "GOAWAY", f.goAway(), http2.ErrCodeNo)
		f.open(true, "GET", "/wait") // in vain
		release <- true
		expect(t, "status", f.status(id), "200")
		f.closed()
		f.Close() // what it has sent in vain is read away until it does
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
	})
}

// The hook sees a connection, not its streams.
func TestH2ConnState(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		fs := &fasthttp.Server{Handler: echoPath}
		seen := watchStates(fs)
		f := start(fs).frames(t)
		for range 2 {
			expect(t, "status", f.status(f.open(true, "GET", "/")), "200")
			seen.until(t, fasthttp.StateIdle)
		}
		f.Close()
		seen.until(t, fasthttp.StateClosed)
		expect(t, "states", strings.TrimSpace(seen.only(t)), "new active idle active idle closed")
	})
}

// Interim answers come before the final one.
func TestH2Interim(t *testing.T) {
	onH2(t, func(t *testing.T, start func(*fasthttp.Server) *h2Running) {
		f := start(&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Add("Link", "</x>; rel=preload")
			if err := ctx.EarlyHints(); err != nil {
				t.Error(err)
			}
			ctx.WriteString("x")
		}}).frames(t)
		id := f.open(true, "GET", "/")
		head := f.until("a head", ofType(http2.FrameHeaders, id)).(*http2.MetaHeadersFrame)
		if head.PseudoValue("status") != "103" || head.RegularFields()[0].Value != "</x>; rel=preload" {
			t.Errorf("got %v", head.Fields)
		}
		expect(t, "status", f.status(id), "200")
		id = f.open(false, "POST", "/", "expect", "100-continue", "content-length", "1")
		expect(t, "status", f.status(id), "100")
		f.WriteData(id, true, []byte("x"))
		expect(t, "status", f.status(id), "103")
		expect(t, "status", f.status(id), "200")
	})
}
