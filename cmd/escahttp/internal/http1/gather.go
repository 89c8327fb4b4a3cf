package http1

import (
	"errors"
	"sync/atomic"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// mostGathered bounds what is read of a file without a size for a client that
// knows no chunks.
const mostGathered = 16 << 20

// allGathered bounds that for all such clients together, until they have taken it.
var allGathered int64 = 4 * mostGathered

var (
	errTooLong = errors.New("is too long to be gathered")
	errTooMany = errors.New("too much is gathered already")
)

// gathering counts what is in memory for clients that know no chunks.
type gathering struct{ n atomic.Int64 }

// gather reads a body whose length shows only when it is sent into a, and returns how
// much of g that takes.
func (g *gathering) gather(a *static.Answer) (n int64, err error) {
	if g.n.Add(mostGathered) > allGathered {
		g.n.Add(-mostGathered)
		return 0, errTooMany
	}
	var body static.Body
	var all gathered
	body.Take(a)
	defer body.Close()
	_, err = body.WriteTo(&all)
	if err != nil {
		all = nil
	}
	n = int64(cap(all))
	g.n.Add(n - mostGathered)
	a.Text, a.Parts = all, nil
	return n, err
}

func (g *gathering) give(n int64) { g.n.Add(-n) }

type gathered []byte

func (g *gathered) Write(p []byte) (int, error) {
	if len(*g)+len(p) > mostGathered {
		return 0, errTooLong
	}
	*g = append(*g, p...)
	return len(p), nil
}
