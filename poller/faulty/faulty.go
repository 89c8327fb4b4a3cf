//go:build linux

// Package faulty wraps a backend and makes it as unhelpful as the kernel may
// be: short sends, EAGAIN, EINTR, ENOBUFS and ECONNRESET, short receives, events
// that come late or in another order, accepts that fail. What happens is drawn
// from a seed, so a failure can be had again:
//
//	f := faulty.New(seed, poller.Direct)
//	defer func() { if t.Failed() { t.Log(f) } }()
//
// It stays within what the kernel's contract allows. In particular it hides no
// edge for good: whatever it withholds is registered anew (epoll_ctl MOD), so
// that the kernel reports it once more, if it is still so and the descriptor
// still there. And a fault that makes no progress does not hit the same
// descriptor twice running.
//
//	faulty.go   the factory: rates, seed, log
//	backend.go  the backend: tables, looks, events withheld and reordered
//	inject.go   the entries: what is done to a call instead of running it
//	dice.go     what is drawn, and the memory of what was done
package faulty

import (
	"fmt"
	"strings"
	"sync"

	"github.com/escahttp/esca/poller"
)

// Rates are the probabilities of the faults, each from 0 to 1.
type Rates struct {
	ShortSend float64 // a send, sendmsg, sendmmsg or sendfile moves only a part
	Again     float64 // it fails with EAGAIN
	Interrupt float64 // it fails with EINTR; so does a receive outside a harvest
	NoBuffers float64 // it fails with ENOBUFS
	Reset     float64 // a send or receive fails with ECONNRESET, and the connection is dead
	ShortRecv float64 // a harvest receives only a part; the rest is a later event
	Withhold  float64 // an event comes one Tick later
	Shuffle   float64 // the events of a Tick come in another order
	Accept    float64 // an accept fails with ECONNABORTED or EMFILE
	Loss      float64 // a message of a sendmmsg is taken and never arrives; not by default
}

// DefaultRates injects a fault of each kind into some percent of the calls.
func DefaultRates() Rates {
	return Rates{
		ShortSend: 0.05, Again: 0.03, Interrupt: 0.02, NoBuffers: 0.01, Reset: 0.002,
		ShortRecv: 0.05, Withhold: 0.05, Shuffle: 0.2, Accept: 0.02,
	}
}

// Option changes what New returns.
type Option func(*Factory)

// WithRates replaces the default rates.
func WithRates(r Rates) Option { return func(f *Factory) { f.rates = r } }

// Factory makes faulty backends.
type Factory struct {
	inner poller.Factory
	seed  uint64
	rates Rates

	mu      sync.Mutex
	opened  uint64
	log     []string
	dropped int
}

var _ poller.Factory = (*Factory)(nil)

// New wraps the backends of inner. Each backend that is opened draws from a
// seed of its own, derived from seed and from how many were opened before.
func New(seed uint64, inner poller.Factory, opts ...Option) *Factory {
	f := &Factory{inner: inner, seed: seed, rates: DefaultRates()}
	for _, o := range opts {
		o(f)
	}
	return f
}

// Name is "faulty" and what it wraps.
func (f *Factory) Name() string { return "faulty-" + f.inner.Name() }

// Probe says what the probe of the wrapped backend says.
func (f *Factory) Probe() poller.Probe {
	p := f.inner.Probe()
	p.Name = f.Name()
	return p
}

// maxLog is how many lines the log keeps.
const maxLog = 2000

func (f *Factory) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.log) == maxLog {
		f.log = append(f.log[:0], f.log[maxLog/2:]...)
		f.dropped += maxLog / 2
	}
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

// Log returns what was injected, one line each, oldest first; of very many
// faults only the latest.
func (f *Factory) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// String is the seed and the log, for a test that has failed.
func (f *Factory) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("faulty: seed %d, %d faults:\n%s", f.seed, f.dropped+len(f.log), strings.Join(f.log, "\n"))
}
