//go:build linux && (amd64 || arm64)

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/server/internal/http1"
)

// stream is one request of HTTP/2, and its answer. It is also what handlers get as
// ctx.Conn: its addresses and deadlines are good, reading and writing is not for them.
type stream struct {
	c   *h2conn
	id  uint32
	num uint64 // of the connection's requests
	ln  *h2line
	in  http1.Request
	out http1.Answer
	rest

	handled bool // a handler has had it
	goAway  bool // and wants no more requests on its connection

	// With the connection's mu.
	cond       sync.Cond // body, window, or closed
	body       []byte    // received, and from bodyAt on not read
	bodyAt     int
	received   int64
	trailers   []hpack.HeaderField
	inflow     inflow
	wants      int64 // bytes that wait for the client to take them
	window     int64 // what the client takes; below zero: it has changed its mind
	remoteDone bool  // the client has sent all
	localDone  bool  // and we have
	closed     bool
	returned   bool // the handler has, or its time is up
	over       bool // nobody serves it any more
	readAt     time.Time
	writeAt    time.Time
	ctx        context.Context // nil: nobody has asked for it
	cancel     context.CancelCauseFunc
}

// tlsStream is a stream of a connection with TLS.
type tlsStream struct{ *stream }

// ConnectionState returns that of the connection.
func (t tlsStream) ConnectionState() tls.ConnectionState {
	state, _ := tlsStateOf(t.c.nc)
	return state
}

// Handshake does nothing: there has been one.
func (t tlsStream) Handshake() error { return nil }

func (st *stream) conn() net.Conn {
	if st.c.h.sv.tls != nil {
		return tlsStream{st}
	}
	return st
}

// streamOf returns the stream that nc is; nil: it is none.
func streamOf(nc net.Conn) *stream {
	switch nc := nc.(type) {
	case *stream:
		return nc
	case tlsStream:
		return nc.stream
	}
	return nil
}

var (
	errNoHijack  = errors.New("esca: an HTTP/2 stream cannot be hijacked: have the client speak HTTP/1.1, or use server.WithHTTP2(false)")
	errNotForYou = errors.New("esca: ctx.Conn of an HTTP/2 request is one of many streams: read the request's body, and set the response's")
	errReset     = errors.New("esca: the HTTP/2 stream was reset by its client")
)

// Read is not for handlers.

func (st *stream) Read([]byte) (int, error) { return 0, errNotForYou }
func (st *stream) LocalAddr() net.Addr      { return st.c.nc.LocalAddr() }
func (st *stream) RemoteAddr() net.Addr     { return st.c.nc.RemoteAddr() }

// Write takes interim answers, as ctx.EarlyHints writes.
func (st *stream) Write(p []byte) (int, error) {
	st.c.mu.Lock()
	returned := st.returned
	st.c.mu.Unlock()
	if returned || !bytes.HasPrefix(p, []byte("HTTP/1.1 1")) {
		return 0, errNotForYou
	}
	return st.out.Write(p)
}

// Close resets the stream.
func (st *stream) Close() error {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if !st.closed {
		st.c.resetStream(st.id, http2.ErrCodeCancel)
		st.c.flushLocked()
	}
	return nil
}

// SetDeadline sets both deadlines.
func (st *stream) SetDeadline(t time.Time) error {
	st.SetReadDeadline(t)
	return st.SetWriteDeadline(t)
}

// SetReadDeadline sets when the rest of the request's body must have come.
func (st *stream) SetReadDeadline(t time.Time) error { return st.setDeadline(&st.readAt, t) }

// SetWriteDeadline sets when the client must have taken the answer.
func (st *stream) SetWriteDeadline(t time.Time) error { return st.setDeadline(&st.writeAt, t) }

func (st *stream) setDeadline(at *time.Time, t time.Time) error {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if st.over {
		return net.ErrClosed
	}
	*at = t
	if st.rest.on {
		st.timeRest()
	}
	st.cond.Broadcast()
	return nil
}

func (st *stream) isClosed() bool {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	return st.closed
}

// reason is why a closed stream is it.
func (st *stream) reason() error {
	if st.c.err != nil {
		return st.c.err
	}
	return errReset
}

// wait waits for news of the stream, and reports false if at has passed. With mu.
func (st *stream) wait(at time.Time) bool {
	if at.IsZero() {
		st.cond.Wait()
		return true
	}
	left := time.Until(at)
	if left <= 0 {
		return false
	}
	t := time.AfterFunc(left, func() {
		st.c.mu.Lock()
		st.cond.Broadcast()
		st.c.mu.Unlock()
	})
	st.cond.Wait()
	t.Stop()
	return true
}

func (st *stream) timeout(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Source: st.LocalAddr(), Addr: st.RemoteAddr(), Err: os.ErrDeadlineExceeded}
}

// Trailers, Answered, Receive, Respond, Send and Flush are for what st is to fasthttp.

func (st *stream) Trailers() []hpack.HeaderField { return st.trailers }
func (st *stream) Answered() bool                { return st.out.Complete }

// Receive reads the body; io.EOF: that was all.
func (st *stream) Receive(p []byte) (int, error) {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case st.bodyAt < len(st.body):
			n := copy(p, st.body[st.bodyAt:])
			if st.bodyAt += n; st.bodyAt == len(st.body) {
				st.body, st.bodyAt = st.body[:0], 0
			}
			had := len(c.out)
			if c.giveBack(st, n); len(c.out) > had {
				c.flushLocked()
			}
			return n, nil
		case st.closed:
			return 0, st.reason()
		case st.remoteDone:
			return 0, io.EOF
		}
		if len(c.out) > 0 && !c.writing { // the client may be waiting for a 100
			c.flushLocked()
			continue // what was waited for may have come meanwhile
		}
		if !st.wait(st.readAt) {
			return 0, st.timeout("read")
		}
	}
}

// Respond sends a head. last: and nothing behind it.
func (st *stream) Respond(fields func(add func(name, value string)), last bool) error {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeRoom()
	var w stalling
	defer w.end(c)
	for st.rest.on && !st.closed { // these are trailers, which come behind it
		if err := st.waitForClient(&w, 0); err != nil {
			return err
		}
		c.makeRoom()
	}
	if st.closed {
		return st.reason()
	}
	c.block.Reset()
	fields(func(name, value string) { c.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) })
	b := c.block.Bytes()
	first := true
	for first || len(b) > 0 {
		part := b[:min(len(b), c.frame)]
		b = b[len(part):]
		if first {
			c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: part, EndStream: last, EndHeaders: len(b) == 0})
		} else {
			c.fr.WriteContinuation(st.id, len(b) == 0, part)
		}
		first = false
	}
	if last {
		st.sentAll()
	}
	return nil
}

// Send sends p, as the client takes it; last: and nothing behind it. What is small is kept for the client
// (h2rest.go), and the rest waits.
func (st *stream) Send(p []byte, last bool) error {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var w stalling
	defer w.end(c)
	for len(p) > 0 || last {
		c.makeRoom()
		if st.closed {
			return st.reason()
		}
		n := 0
		if !st.rest.on {
			n = c.frameOf(st, len(p))
		}
		if n == 0 && (len(p) > 0 || st.rest.on) {
			if c.keepRest(st, p, last) {
				return nil
			}
			if err := st.waitForClient(&w, len(p)); err != nil {
				return err
			}
			continue
		}
		w.stalls = time.Time{}
		end := last && n == len(p)
		c.data(st, p[:n], end)
		p = p[n:]
		if end {
			st.sentAll()
		}
		if len(p) == 0 {
			return nil
		}
	}
	return nil
}

// Flush has what was sent be on its way. more: the rest of an answer of known length is to come, for which it waits
// while the driver is in the handler: if that does not come at once, another takes the driver's place, and flushes.
func (st *stream) Flush(more bool) {
	if ln := st.ln; !more || ln == nil || !ln.busy || st.c.driver.Load() != ln {
		st.c.flush()
	}
}

// stalling is a wait for the client to take more.
type stalling struct {
	waited bool
	stalls time.Time // when it has taken nothing for too long; zero: never
}

func (w *stalling) end(c *h2conn) {
	if w.waited {
		c.wake() // for what the stream did not take
	}
}

// waitForClient waits until st may send some of n bytes, or what is kept of it has been sent. It may return
// early. With mu.
func (st *stream) waitForClient(w *stalling, n int) error {
	c := st.c
	c.replace(st.ln, st.ln.seq.Load()) // or nobody would hear the client ask for more
	kept := len(st.rest.left)
	c.sendRests()
	c.flushLocked()
	if len(st.rest.left) < kept || min(st.window, c.window) > 0 || st.closed {
		return nil
	}
	if w.waited {
		c.wake()
	}
	w.waited = true
	switch {
	case st.rest.on: // which has a limit of its own, that moves as the client takes some
		w.stalls = time.Time{}
	case w.stalls.IsZero() && c.h.stall > 0:
		w.stalls = time.Now().Add(c.h.stall)
	}
	st.wants = int64(n)
	c.wanting++
	inTime := st.wait(earlier(st.restEnds(), w.stalls))
	c.wanting--
	st.wants = 0
	if !inTime {
		c.resetStream(st.id, http2.ErrCodeCancel)
		c.flushLocked()
		return st.timeout("write")
	}
	return nil
}

// frameOf is how much of n bytes st may send in a frame now.
func (c *h2conn) frameOf(st *stream, n int) int {
	return int(max(min(int64(n), st.window, c.window, int64(c.frame)), 0))
}

// data adds a frame of st's body; end: the last. With mu.
func (c *h2conn) data(st *stream, p []byte, end bool) {
	var head [9]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(p))<<8|uint32(http2.FrameData))
	if end {
		head[4] = byte(http2.FlagDataEndStream)
	}
	binary.BigEndian.PutUint32(head[5:], st.id)
	c.makeLarger(len(head) + len(p))
	c.out = append(append(c.out, head[:]...), p...)
	st.window -= int64(len(p))
	c.window -= int64(len(p))
}

// earlier is the earlier of two deadlines, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sentAll is called when the answer is in the connection's hands. With mu.
func (st *stream) sentAll() {
	st.localDone = true
	if st.goAway {
		st.c.away = st.c.away || st.sendGoAway()
	}
	if st.remoteDone {
		st.c.closeStream(st, nil)
	}
}

func (st *stream) sendGoAway() bool {
	st.c.fr.WriteGoAway(st.c.last, http2.ErrCodeNo, nil)
	return true
}

func (st *stream) answered() bool { return st.localDone }

// context returns the context of the request.
func (st *stream) context() context.Context {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if st.ctx == nil {
		st.ctx, st.cancel = context.WithCancelCause(st.c.h.sv.base)
		switch {
		case st.over || st.localDone:
			st.cancel(nil)
		case st.closed:
			st.cancel(ErrClientGone)
		}
	}
	return st.ctx
}

// endContext ends it. With mu.
func (st *stream) endContext(why error) {
	if st.cancel != nil {
		st.cancel(why)
	}
}
