package http1

import (
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

var _ fasthttp.BodyWriterTo = (*exchange)(nil)

// SupportsBodyWriteTo has fasthttp call WriteTo, also for a body whose length
// shows only when it is sent.
func (x *exchange) SupportsBodyWriteTo() bool { return true }

// WriteTo sends the body.
func (x *exchange) WriteTo(w io.Writer) (int64, error) { return x.body.WriteTo(w) }

// Read is there because a body stream has to have it.
func (x *exchange) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Close ends the exchange. fasthttp calls it once, when the body is sent or given
// up.
func (x *exchange) Close() error {
	x.ending.finish(x.body.Sent())
	x.body.Close()
	x.release()
	return nil
}
