//go:build !linux

package poller

// Probes has nothing to probe here: this system has no loops.
func Probes() []Probe { return nil }
