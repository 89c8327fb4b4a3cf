package http1

import (
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/accesslog"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Refuse answers a connection that is one too many of its client. Over TLS
// nothing can be said before a handshake.
func (e *End) Refuse(c net.Conn) {
	if _, encrypted := c.(interface{ Handshake() error }); encrypted {
		return
	}
	const status = fasthttp.StatusTooManyRequests
	page := static.Page(status)
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
		status, fasthttp.StatusMessage(status), len(page), page)
	if err == nil && e.Observe != nil {
		e.Observe(status, int64(len(page)), 0)
	}
	if err == nil && e.Log != nil {
		e.Log.Start(&accesslog.Record{Peer: c.RemoteAddr(), Time: time.Now(), Status: status}).Finish(int64(len(page)))
	}
}
