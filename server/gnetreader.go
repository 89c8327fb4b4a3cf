//go:build linux && (amd64 || arm64)

package server

import (
	"io"

	"github.com/panjf2000/gnet/v2"
)

// gnetReader is what OnTraffic has not read of a connection, or of a datagram.
type gnetReader struct{ in []byte }

var _ gnet.Reader = (*gnetReader)(nil)

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
