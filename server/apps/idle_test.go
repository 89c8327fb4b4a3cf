//go:build linux && (amd64 || arm64)

package apps_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// An idle connection that its peer resets, or ends, is closed without a word: no
// error handler, no log line.
func TestIdleConnectionsEndSilently(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"reset": func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"end":   func(c *net.TCPConn) { c.Close() },
		"half":  func(c *net.TCPConn) { c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			onAll(t, func(t *testing.T, start func(*fasthttp.Server) *running) {
				states := make(chan fasthttp.ConnState, 100)
				r := start(&fasthttp.Server{
					LogAllErrors: true,
					Logger:       failing{t},
					Handler:      func(*fasthttp.RequestCtx) {},
					ErrorHandler: func(_ *fasthttp.RequestCtx, err error) { t.Errorf("the error handler was called: %v", err) },
					ConnState:    func(_ net.Conn, s fasthttp.ConnState) { states <- s },
				})
				c, err := net.Dial("tcp4", r.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				br := bufio.NewReader(c)
				for range 3 {
					io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
					if _, err := http.ReadResponse(br, nil); err != nil {
						t.Fatal(err)
					}
					for s := range states {
						if s == fasthttp.StateIdle {
							break
						}
					}
				}
				end(c.(*net.TCPConn))
				if s := <-states; s != fasthttp.StateClosed {
					t.Errorf("after idle: %v", s)
				}
			})
		})
	}
}

type failing struct{ t *testing.T }

func (f failing) Printf(format string, args ...any) { f.t.Errorf(format, args...) }
