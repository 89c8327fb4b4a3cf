package http1

import (
	"errors"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// mostGathered bounds what is read of a file without a size for a client that
// knows no chunks.
const mostGathered = 16 << 20

// gather reads a body whose length shows only when it is sent into a; false if
// that cannot be done.
func gather(a *static.Answer) bool {
	var body static.Body
	var all gathered
	body.Take(a)
	defer body.Close()
	_, err := body.WriteTo(&all)
	a.Text, a.Parts = all, nil
	return err == nil
}

type gathered []byte

func (g *gathered) Write(p []byte) (int, error) {
	if len(*g)+len(p) > mostGathered {
		return 0, errors.New("is too long to be gathered")
	}
	*g = append(*g, p...)
	return len(p), nil
}
