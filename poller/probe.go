package poller

import "fmt"

// Status is the answer of a probe.
type Status int

// The answers. Inconclusive means that the probe itself could not be carried
// out; it is never cached and never taken for a yes.
const (
	Available Status = iota
	Unavailable
	Inconclusive
)

// String returns the word for s.
func (s Status) String() string {
	switch s {
	case Available:
		return "available"
	case Unavailable:
		return "unavailable"
	}
	return "inconclusive"
}

// Probe says whether a backend works on this machine and in this process.
type Probe struct {
	Name   string
	Status Status
	Reason string // why not; empty if available
}

// String is "direct: available" or "name: unavailable: reason".
func (p Probe) String() string {
	if p.Reason == "" {
		return fmt.Sprintf("%s: %s", p.Name, p.Status)
	}
	return fmt.Sprintf("%s: %s: %s", p.Name, p.Status, p.Reason)
}

// ProbeError is a Probe that did not answer Available.
type ProbeError struct{ Probe }

// Error is the probe's line.
func (e *ProbeError) Error() string { return e.Probe.String() }

// Err returns nil if the backend is available, otherwise a *ProbeError.
func (p Probe) Err() error {
	if p.Status == Available {
		return nil
	}
	return &ProbeError{p}
}
