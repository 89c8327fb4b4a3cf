//go:build linux && (amd64 || arm64)

package server

import (
	"io"

	"github.com/panjf2000/gnet/v2"
)

// gnetReader is what OnTraffic has not read of a connection, or of a datagram. It lies in
// the loop's memory while OnTraffic runs, and in memory of its own (owned) from one to the
// next. What was read is never written over in there: it is good until the callback
// returns.
type gnetReader struct {
	in    []byte
	owned bool
}

var _ gnet.Reader = (*gnetReader)(nil)

// feed appends b, which is in the loop's memory, to what is unread.
func (r *gnetReader) feed(b []byte) {
	if len(r.in) == 0 {
		r.in, r.owned = b, false
		return
	}
	r.in = append(r.in, b...) // owned, as it has lasted
}

// keep gives what is still unread memory of its own.
func (r *gnetReader) keep() {
	switch {
	case len(r.in) == 0:
		r.in, r.owned = nil, false
	case !r.owned:
		const least = 512
		r.in, r.owned = append(make([]byte, 0, max(2*len(r.in), least)), r.in...), true
	}
}

// Read implements gnet.Reader.
func (r *gnetReader) Read(p []byte) (int, error) {
	n := copy(p, r.in)
	r.in = r.in[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}

// Next implements gnet.Reader.
func (r *gnetReader) Next(n int) ([]byte, error) {
	b, err := r.Peek(n)
	r.in = r.in[len(b):]
	return b, err
}

// Peek implements gnet.Reader.
func (r *gnetReader) Peek(n int) ([]byte, error) {
	switch {
	case n > len(r.in):
		return nil, io.ErrShortBuffer
	case n <= 0:
		n = len(r.in)
	}
	return r.in[:n:n], nil
}

// Discard implements gnet.Reader.
func (r *gnetReader) Discard(n int) (int, error) {
	if n <= 0 || n > len(r.in) {
		n = len(r.in)
	}
	r.in = r.in[n:]
	return n, nil
}

// InboundBuffered implements gnet.Reader.
func (r *gnetReader) InboundBuffered() int { return len(r.in) }

// WriteTo implements gnet.Reader.
func (r *gnetReader) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.in)
	r.in = r.in[n:]
	return int64(n), err
}
