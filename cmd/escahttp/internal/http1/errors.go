package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Error answers a request that could not be read. It is a
// fasthttp.Server.ErrorHandler; the connection is closed after it.
func (e *End) Error(ctx *fasthttp.RequestCtx, err error) {
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain) && plain.Conn != nil:
		e.speakTLS(ctx, plain)
		return
	case gone(err) || unfinished(ctx):
		return // there is nobody to answer
	}
	e.fail(ctx, statusOf(err))
}

// Expect answers a request whose client waits to be asked for the body, at once:
// nothing that is served here depends on one. It is a
// fasthttp.Server.ExpectHandler.
func (e *End) Expect(ctx *fasthttp.RequestCtx) int {
	e.Serve(ctx)
	return ctx.Response.StatusCode()
}

func statusOf(err error) int {
	var timeout net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		return fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return fasthttp.StatusRequestEntityTooLarge
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return fasthttp.StatusRequestTimeout
	}
	return fasthttp.StatusBadRequest
}

// gone reports whether the client is not there any more.
func gone(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// unfinished reports whether a TLS handshake is not complete, so that nothing can
// be said.
func unfinished(ctx *fasthttp.RequestCtx) bool {
	state := ctx.TLSConnectionState()
	return state != nil && !state.HandshakeComplete
}

// speakTLS answers a request without TLS where TLS is spoken, in the clear. What
// does not look like a request is not answered.
func (e *End) speakTLS(ctx *fasthttp.RequestCtx, plain tls.RecordHeaderError) {
	if !beginsRequest(plain.RecordHeader[:]) {
		return
	}
	const status = fasthttp.StatusBadRequest
	page := slices.Concat(static.Page(status), []byte("<p>This port speaks TLS: the address begins with https.</p>\n"))
	if _, err := fmt.Fprintf(plain.Conn, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
		status, fasthttp.StatusMessage(status), len(page), page); err == nil {
		ending := e.start(ctx, status)
		ending.finish(int64(len(page)))
	}
}

// beginsRequest reports whether b, the first bytes of a connection, begin with a
// method.
func beginsRequest(b []byte) bool {
	method, _, _ := bytes.Cut(b, []byte{' '})
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(method) >= 3
}
