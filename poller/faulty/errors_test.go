//go:build linux

package faulty_test

import (
	"errors"
	"testing"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/faulty"
)

// complaining says something with each Tick, whose results are as good as ever.
type complaining struct{ poller.Factory }

var errComplaint = errors.New("direct from now on")

func (c complaining) Open(ep *poller.Epoll, sh *poller.Shared) (poller.Backend, error) {
	b, err := c.Factory.Open(ep, sh)
	return complainer{b}, err
}

type complainer struct{ poller.Backend }

func (c complainer) Tick(n int) (int, error) {
	m, err := c.Backend.Tick(n)
	return m, errors.Join(errComplaint, err)
}

func TestErrorsLoseNoEvents(t *testing.T) {
	l := open(t, faulty.New(1, complaining{poller.Direct}, faulty.WithRates(faulty.Rates{})))
	a, b := l.pair()
	l.watch(a, poller.MaskIn)
	write(t, b, "x")
	if n, err := l.b.Tick(0); n != 1 || !errors.Is(err, errComplaint) || l.sh.Events[0].N != 1 {
		t.Errorf("Tick = %d, %v: %+v", n, err, l.sh.Events[0])
	}
}
