package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

const upgrade = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"

// hijacking serves fs with a handler that hands connections to f.
func hijacking(fs *fasthttp.Server, f fasthttp.HijackHandler) *fasthttp.Server {
	fs.Handler = func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/upgrade" {
			echoPath(ctx)
			return
		}
		ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
		ctx.HijackSetNoResponse(ctx.QueryArgs().Has("silent"))
		ctx.Hijack(f)
	}
	return fs
}

func TestHijack(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*fasthttp.Server)
	}{
		{"default", func(*fasthttp.Server) {}},
		{"ReduceMemoryUsage", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }},
		{"StreamRequestBody", func(fs *fasthttp.Server) { fs.StreamRequestBody = true }},
		{"timeouts", func(fs *fasthttp.Server) { // which end with the hijack
			fs.ReadTimeout, fs.WriteTimeout, fs.IdleTimeout = short, short, short
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, st stack) {
				clock := st.start(t, &fasthttp.Server{Handler: echoPath, ReadTimeout: 2 * short})
				again := make(chan bool)
				fs := hijacking(&fasthttp.Server{}, func(c net.Conn) {
					r := bufio.NewReader(c)
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							if err != io.EOF {
								t.Errorf("hijacker reads: %v", err)
							}
							break
						}
						fmt.Fprintf(c, "> %s", line)
					}
					again <- true
				})
				tt.set(fs)
				seen := watchStates(fs)
				r := st.start(t, fs)
				for _, before := range []string{"", get} { // hijack by the first, and by the second request
					c := r.dial(t)
					c.send("%s%sleft\nov", before, upgrade)
					if before != "" {
						c.response()
					}
					expect(t, "status", c.head().StatusCode, 101)
					expectLine(t, c.br, "> left\n")
					clock.dial(t).rest() // longer than any timeout
					c.send("er\n")
					expectLine(t, c.br, "> over\n")
					big := strings.Repeat("b", 1<<20) + "\n"
					go io.WriteString(c, big)
					expectLine(t, c.br, "> "+big)
					c.closeWrite()
					wait(t, again, "the hijacker to see the end")
					expect(t, "rest", c.rest(), "")
				}
				r.stop(t)
				for _, seq := range seen.all() {
					if !strings.HasSuffix(seq, "active hijacked ") {
						t.Errorf("states %s", seq)
					}
				}
			})
		})
	}
}

func expectLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if line, err := r.ReadString('\n'); err != nil || line != want {
		t.Fatalf("got %.50q, %v; want %.50q", line, err, want)
	}
}

func TestHijackSetNoResponse(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		fs := hijacking(&fasthttp.Server{}, func(c net.Conn) { io.WriteString(c, "all mine") })
		c := st.start(t, fs).dial(t)
		c.send("GET /upgrade?silent HTTP/1.1\r\nHost: x\r\n\r\n")
		expect(t, "received", c.rest(), "all mine")
	})
}

// A hijacked connection is closed when its handler returns, unless
// KeepHijackedConns; then by whom it was given to.
func TestHijackKept(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		kept := make(chan net.Conn, 1)
		fs := hijacking(&fasthttp.Server{KeepHijackedConns: true}, func(c net.Conn) { kept <- c })
		r := st.start(t, fs)
		c := r.dial(t)
		c.send("%sleft over\n", upgrade)
		c.head()
		h := wait(t, kept, "the hijacked connection")
		r.stop(t) // does not wait for it, nor close it
		hr := bufio.NewReader(h)
		expectLine(t, hr, "left over\n")
		c.send("more\n")
		expectLine(t, hr, "more\n")
		io.WriteString(h, "answer\n")
		expectLine(t, c.br, "answer\n")
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		expect(t, "rest", c.rest(), "")
		if _, err := h.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	})
}

// A hijacked connection is a net.Conn with deadlines, used by any goroutine.
func TestHijackedConn(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		got := make(chan error, 1)
		proceed := make(chan bool)
		fs := hijacking(&fasthttp.Server{}, func(c net.Conn) {
			if c.RemoteAddr() == nil || c.LocalAddr() == nil {
				t.Error("no address")
			}
			c.SetReadDeadline(time.Now().Add(short))
			_, err := c.Read(make([]byte, 1))
			got <- err
			c.SetReadDeadline(time.Time{})
			pushed := make(chan bool)
			go func() {
				defer close(pushed)
				for i := range 100 {
					fmt.Fprintf(c, "push %d\n", i)
				}
			}()
			io.Copy(io.Discard, io.LimitReader(c, 1<<20))
			<-pushed
			<-proceed
			got <- c.Close() // which the server does, after the handler
			io.WriteString(c, "still open\n")
		})
		c := st.start(t, fs).dial(t)
		c.send("%s", upgrade)
		c.head()
		expectErr(t, "read", wait(t, got, "the deadline"), os.ErrDeadlineExceeded)
		go c.Write(make([]byte, 1<<20))
		for i := range 100 {
			expectLine(t, c.br, fmt.Sprintf("push %d\n", i))
		}
		proceed <- true
		if err := wait(t, got, "Close"); err != nil {
			t.Error(err)
		}
		expect(t, "rest", c.rest(), "still open\n")
	})
}
