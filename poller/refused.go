//go:build linux

package poller

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// refusable is what a backend is made of that the kernel may refuse while it is
// used: direct, and something better until then. What is refused of a table, or of a
// harvest, is called directly. A lack passes, and the next table finds the better
// way again; anything else, as a seccomp filter that comes later, is for good, and
// the next Tick says so.
type refusable struct {
	direct
	refused bool  // for good
	again   int   // how often, running, there was a lack
	report  error // what the next Tick says
}

func newRefusable(ep *Epoll, sh *Shared) refusable {
	return refusable{direct: *newDirect(ep, sh)}
}

// againMost is how often, running, a lack may show. One that does not pass is a
// refusal: each time costs a crossing, and nobody would learn of it.
const againMost = 8

// entered takes in how the kernel has answered to the backend of that name.
func (r *refusable) entered(name string, err error) {
	if err == nil {
		r.again = 0
		return
	}
	if r.again++; !mayPass(err) || r.again > againMost {
		r.refused = true
		r.report = fmt.Errorf("backend %s is refused (%w): backend direct from now on", name, err)
	}
}

// mayPass reports whether what failed with err may work with the next table. Not at
// once: that would be to wait, in a busy loop, for memory that direct calls do not
// need.
func mayPass(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EINTR)
}

// told is what a Tick returns: its own results, and once that the backend was
// refused, be it by a Run before.
func (r *refusable) told(m int, err error) (int, error) {
	if r.report != nil {
		r.report, err = nil, errors.Join(r.report, err)
	}
	return m, err
}
