package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/server"
	"github.com/escahttp/esca/server/internal/http1"
)

// stream is one request, and its answer. It is also what handlers get as ctx.Conn: its
// addresses, deadlines and TLS state are good, Close breaks the answer off, and the rest is
// an error.
type stream struct {
	sv  *serving
	p   *peer
	num uint64 // of the connection's requests
	r   *http.Request
	w   writer
	in  http1.Request
	out http1.Answer

	late    bool    // the handler goes on, although its time is up
	first   [1]byte // of the body, where it was looked for one
	hasOne  bool    // and it is not read yet
	readAll error   // what a further look would report

	closed atomic.Bool // the handler has closed it

	mu       sync.Mutex
	returned bool // the handler has, or its time is up
	over     bool // nobody serves it any more
	writeAt  time.Time
	ctx      context.Context // nil: nobody has asked for it
	cancel   context.CancelCauseFunc
}

// writer is what quic-go answers by.
type writer interface {
	http.ResponseWriter
	http3.HTTPStreamer
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

var (
	errNoHijack  = errors.New("esca: an HTTP/3 stream cannot be hijacked: have the client speak HTTP/1.1")
	errNotForYou = errors.New("esca: ctx.Conn of an HTTP/3 request is one of many streams: read the request's body, and set the response's")
	errClosed    = errors.New("esca: the handler has closed the HTTP/3 stream")
)

// Read is not for handlers.

func (st *stream) Read([]byte) (int, error) { return 0, errNotForYou }
func (st *stream) LocalAddr() net.Addr      { return st.p.LocalAddr() }
func (st *stream) RemoteAddr() net.Addr     { return st.p.RemoteAddr() }

// Handshake does nothing: there has been one.
func (st *stream) Handshake() error { return nil }

// ConnectionState returns that of the connection.
func (st *stream) ConnectionState() tls.ConnectionState { return *st.r.TLS }

// Write takes interim answers, as ctx.EarlyHints writes.
func (st *stream) Write(p []byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.returned || !bytes.HasPrefix(p, []byte("HTTP/1.1 1")) {
		return 0, errNotForYou
	}
	return st.out.Write(p)
}

// Close has what is still to be sent fail.
func (st *stream) Close() error {
	st.closed.Store(true)
	return nil
}

// SetDeadline sets both deadlines.
func (st *stream) SetDeadline(t time.Time) error {
	st.SetReadDeadline(t)
	return st.SetWriteDeadline(t)
}

// SetReadDeadline sets when the rest of the request's body must have come.
func (st *stream) SetReadDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over {
		return net.ErrClosed
	}
	return st.w.SetReadDeadline(t)
}

// SetWriteDeadline sets when the client must have taken the answer.
func (st *stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over {
		return net.ErrClosed
	}
	st.writeAt = t
	return st.w.SetWriteDeadline(t)
}

// failure is err as fasthttp, and who asks whether it is a timeout, know it.
func (st *stream) failure(op string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &net.OpError{Op: op, Net: "udp", Source: st.LocalAddr(), Addr: st.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	return err
}

// Receive, Trailers, Answered, Respond, Send and Flush are for what st is to fasthttp.

// Receive reads the body; io.EOF: that was all.
func (st *stream) Receive(p []byte) (int, error) {
	if st.hasOne && len(p) > 0 {
		st.hasOne = false
		p[0] = st.first[0]
		return 1, nil
	}
	for st.readAll == nil {
		n, err := st.r.Body.Read(p)
		if errors.Is(err, os.ErrDeadlineExceeded) { // which may be moved
			return n, st.failure("read", err)
		}
		st.readAll = err
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, st.readAll
}

// look finds out whether there is a body, of a request that does not say so and is not of
// those that have one as a rule: its end most often has come with its head.
func (st *stream) look(within time.Duration) (ended bool) {
	if within > 0 {
		st.w.SetReadDeadline(time.Now().Add(within))
	}
	n, err := st.Receive(st.first[:])
	st.hasOne = n > 0
	return err == io.EOF
}

// Trailers are the fields behind the body.
func (st *stream) Trailers() []hpack.HeaderField {
	return appendFields(nil, st.r.Trailer)
}

// Answered reports whether the answer is complete.
func (st *stream) Answered() bool { return st.out.Complete }

// Respond sends a head, or trailers.
func (st *stream) Respond(fields func(add func(name, value string)), _ bool) error {
	if err := st.broken(); err != nil {
		return err
	}
	h, status := st.w.Header(), 0
	fields(func(name, value string) {
		name = http.CanonicalHeaderKey(name)
		switch {
		case name == ":status":
			status, _ = strconv.Atoi(value)
		case st.out.Begun:
			h.Add(http.TrailerPrefix+name, value)
		default:
			h.Add(name, value)
		}
	})
	if status < 100 { // trailers, which go when all is over
		return nil
	}
	if status >= 200 { // of what fasthttp does not say, nothing is to be said
		for _, name := range [...]string{"Date", "Content-Type", "Content-Length"} {
			if _, ok := h[name]; !ok {
				h[name] = nil
			}
		}
	}
	st.w.WriteHeader(status)
	if status < 200 {
		clear(h)
	}
	return nil
}

// stallPiece is what a client has to take in the time that it has.
const stallPiece = 32 << 10

// Send sends some of the body, as the client takes it.
func (st *stream) Send(p []byte, _ bool) error {
	if st.sv.stall <= 0 {
		return st.send(p)
	}
	for len(p) > 0 {
		piece := p[:min(len(p), stallPiece)]
		p = p[len(piece):]
		st.mu.Lock()
		at := time.Now().Add(st.sv.stall)
		if !st.writeAt.IsZero() && st.writeAt.Before(at) {
			at = st.writeAt
		}
		st.w.SetWriteDeadline(at)
		st.mu.Unlock()
		if err := st.send(piece); err != nil {
			return err
		}
	}
	return nil
}

func (st *stream) send(p []byte) error {
	if err := st.broken(); err != nil {
		return err
	}
	_, err := st.w.Write(p)
	return st.failure("write", err)
}

// Flush has what was sent be on its way. What fails is reported by what is sent next.
func (st *stream) Flush(bool) {
	if st.out.Begun {
		st.w.FlushError()
	}
}

// broken is why nothing more is sent.
func (st *stream) broken() error {
	if st.closed.Load() {
		return errClosed
	}
	return nil
}

// RequestContext is for server.Context.
func (st *stream) RequestContext() context.Context {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ctx == nil {
		st.ctx, st.cancel = context.WithCancelCause(st.sv.base)
		if st.over {
			st.cancel(nil)
		} else {
			cancel := st.cancel
			context.AfterFunc(st.r.Context(), func() { cancel(server.ErrClientGone) })
		}
	}
	return st.ctx
}

// reset resets the stream, of whose answer nothing final is sent.
func (st *stream) reset() {
	if s, err := st.w.HTTPStream(); err == nil {
		s.CancelRead(quic.StreamErrorCode(http3.ErrCodeInternalError))
		s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeInternalError))
	}
}

// end is called when nobody serves st any more, but for a handler that is late, and may be
// reading.
func (st *stream) end() {
	if !st.late {
		st.in.Release()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.over, st.returned = true, true
	if st.cancel != nil {
		st.cancel(nil)
	}
}
