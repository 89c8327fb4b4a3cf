//go:build linux && !amd64

package poller

import "fmt"

// Kmod is the backend of the kernel module, which is for x86-64 only.
var Kmod Factory = noKmod{}

type noKmod struct{}

func (noKmod) Name() string { return "kmod" }
func (noKmod) Probe() Probe {
	return Probe{Name: "kmod", Status: Unavailable, Reason: "the module is for x86-64"}
}
func (k noKmod) Open(*Epoll, *Shared) (Backend, error) {
	return nil, fmt.Errorf("backend %w", k.Probe().Err())
}
