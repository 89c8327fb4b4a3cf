package server

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"
)

// ErrClientGone is the cause (context.Cause) of the end of a Context whose client has
// gone.
var ErrClientGone = errors.New("esca: the client has gone")

// Context returns a context of the request that ctx has: it is done when the client has
// gone, when the request has ended, that is when its answer is written, body stream and
// all, and when the server begins to stop. context.Cause tells which: ErrClientGone,
// context.Canceled or http.ErrServerClosed. It has no values and no deadline.
//
// That the client has gone is what net/http takes for it: a read of the connection
// would report the end of the stream or an error now. So a client that ends its side
// of the connection behind its request, and waits for the answer, has gone (HTTP has no
// half-closed clients, RFC 9112, 9.6); one that has sent another request behind this one
// has not as long as that is not read, unless the connection has failed. Over TLS the end of
// the TCP stream counts, whatever was sent before it. Over HTTP/2 and
// HTTP/3 it is the reset of the stream, or the end of the connection. It is seen by the connection's loop:
// where a loop cannot be taken from a handler (conn.WithSteals) not before that
// has returned, otherwise within a millisecond, or eleven if handlers have
// been quick so far.
//
// Nothing is read ahead, and who does not ask pays nothing. To be called by the handler,
// or by a goroutine that it waits for; the result may go anywhere, and is the same for
// each call. Of a ctx that is not served by a Server, or of one that fasthttp itself
// serves, it is done only when that stops.
func Context(ctx *fasthttp.RequestCtx) context.Context {
	if r, ok := ctx.Conn().(interface{ RequestContext() context.Context }); ok { // package http3's
		return r.RequestContext()
	}
	if c := contextOf(ctx); c != nil {
		return c
	}
	return untilStop{ctx.Done()}
}

// untilStop is a context that ends with a server.
type untilStop struct{ done <-chan struct{} }

func (u untilStop) Deadline() (time.Time, bool) { return time.Time{}, false }
func (u untilStop) Done() <-chan struct{}       { return u.done }
func (u untilStop) Value(any) any               { return nil }

func (u untilStop) Err() error {
	select {
	case <-u.done:
		return context.Canceled
	default:
		return nil
	}
}
