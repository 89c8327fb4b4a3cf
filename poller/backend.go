//go:build linux

package poller

import (
	"fmt"
	"os"
	"strings"
)

// Backend executes the entries of one loop's table and looks for its events. It
// never waits: a loop that has nothing to do waits by Epoll.Park.
// All backends give the same results; they differ in how often they cross into
// the kernel. pollertest.Conformance is their common specification.
type Backend interface {
	// Tick runs Entries[:n] as Run does, looks which descriptors are ready,
	// harvests, and returns how many of Events are valid. It does not wait for
	// any. Waking is not an event. An error says what the loop is to report; the
	// results are valid all the same. The entries behind n stay as a Run has left
	// them. Only the loop's driver calls it.
	Tick(n int) (int, error)

	// Run runs Entries[:n] and does not wait: in order, as far as one
	// descriptor can tell, and a chain as Link says. Never while Tick runs.
	Run(n int)

	// Call runs one entry, at once, outside the table. Safe from any
	// goroutine at any time.
	Call(e *Entry)

	// Counts is what Tick and Run have done so far; Call is not in it. Never
	// while either runs.
	Counts() *Counts

	// Close frees what the backend itself holds: not the epoll, not the memory.
	Close() error
}

// Factory makes backends of one kind.
type Factory interface {
	Name() string
	// Probe says whether Open would work here, and if not, why.
	Probe() Probe
	// Open makes the backend of one loop, over its epoll and memory.
	Open(ep *Epoll, sh *Shared) (Backend, error)
}

// EnvBackend names the environment variable that chooses the backend where the
// program leaves it to auto.
const EnvBackend = "ESCA_BACKEND"

// factories in the order in which auto tries them: most aggregation first.
var factories = []Factory{kmodFactory{}, uringFactory{}, Direct}

// Probes probes every backend, in the order in which auto tries them.
func Probes() []Probe {
	var ps []Probe
	for _, f := range factories {
		ps = append(ps, f.Probe())
	}
	return ps
}

// Choose returns the backend that name stands for: its own name, or "auto" or
// "" for what ESCA_BACKEND says, and without that the first that probes as
// available. why is one line for a log. A backend asked for by name is not
// replaced by another: if it is not available, the error says why.
func Choose(name string) (f Factory, why string, err error) {
	from := "option"
	if name == "" || name == "auto" {
		if name, from = os.Getenv(EnvBackend), EnvBackend; name == "" {
			name = "auto"
		}
	}
	if name == "auto" {
		return auto(factories)
	}
	for _, f := range factories {
		if f.Name() == name {
			if p := f.Probe(); p.Status != Available {
				return nil, "", fmt.Errorf("backend %w (set by %s; auto takes one that works)", p.Err(), from)
			}
			return f, fmt.Sprintf("backend %s (set by %s)", name, from), nil
		}
	}
	return nil, "", fmt.Errorf("backend %q (set by %s) is not known: use auto or one of %s", name, from, strings.Join(names(), ", "))
}

func auto(fs []Factory) (Factory, string, error) {
	var not []string
	for _, f := range fs {
		p := f.Probe()
		if p.Status == Available {
			why := "backend " + f.Name()
			if len(not) > 0 {
				why += " (" + strings.Join(not, "; ") + ")"
			}
			return f, why, nil
		}
		not = append(not, p.String())
	}
	return nil, "", fmt.Errorf("no backend works here: %s", strings.Join(not, "; "))
}

func names() (ns []string) {
	for _, f := range factories {
		ns = append(ns, f.Name())
	}
	return ns
}
