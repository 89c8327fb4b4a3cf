//go:build linux && (amd64 || arm64)

package server

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
)

// requestContext is the Context of a request.
type requestContext struct {
	context.Context
	cancel context.CancelCauseFunc
	num    uint64 // of its connection's requests
}

// contextOf returns the context of ctx's request; nil: it is not ours.
func contextOf(ctx *fasthttp.RequestCtx) context.Context {
	nc := ctx.Conn()
	if st := streamOf(nc); st != nil {
		return st.context()
	}
	var ss *session
	switch nc := nc.(type) {
	case *tlsConn:
		ss = nc.ss
	case *conn.Conn:
		ss, _ = conn.BurstOf(nc).Context().(*session)
	}
	if ss == nil {
		return nil
	}
	return ss.context(ctx.ConnRequestNum())
}

// context returns the context of the connection's request of that number, which is the
// present one, unless a handler that has timed out asks.
func (ss *session) context(num uint64) context.Context {
	for {
		had := ss.asked.Load()
		if had != nil && had.num == num {
			return had
		}
		rc := &requestContext{num: num}
		rc.Context, rc.cancel = context.WithCancelCause(ss.sv.base)
		if num != ss.requests.Load() {
			rc.cancel(nil)
			return rc
		}
		if !ss.asked.CompareAndSwap(had, rc) {
			rc.cancel(nil)
			continue
		}
		if had != nil { // of a handler that has asked after the end of its request
			had.cancel(nil)
		}
		ss.b.OnPeerEnd(ss.sv.tls != nil, func() { rc.cancel(ErrClientGone) })
		return rc
	}
}

// endRequest ends the context of the present request, if there is one.
func (ss *session) endRequest() {
	if ss.asked.Load() != nil {
		ss.b.OnPeerEnd(false, nil)
		ss.endContext(nil)
	}
}

// endContext is endRequest for who holds the loop's lock.
func (ss *session) endContext(why error) {
	if rc := ss.asked.Swap(nil); rc != nil {
		rc.cancel(why)
	}
}
