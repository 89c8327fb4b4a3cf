//go:build linux && !amd64

package poller

import "fmt"

// kmodFactory is of the backend of the kernel module, which is for x86-64 only.
type kmodFactory struct{}

func (kmodFactory) Name() string { return "kmod" }
func (kmodFactory) Probe() Probe {
	return Probe{Name: "kmod", Status: Unavailable, Reason: "the module is for x86-64"}
}
func (k kmodFactory) Open(*Epoll, *Shared) (Backend, error) {
	return nil, fmt.Errorf("backend %w", k.Probe().Err())
}
