//go:build race && linux && (amd64 || arm64)

package conn

import (
	"syscall"

	"github.com/escahttp/esca/poller"
)

// In builds with the race detector, package syscall has every Write happen before
// every later Read, of whatever descriptors: who has received something has the right
// to take for granted what was done before it was sent. The backends make their calls
// without package syscall, so for each of them something harmless goes through its
// Read and Write, or a program whose client and server share a process, as in every
// test, would be reported for what it may do.

// nothing is a descriptor that reads of no bytes succeed on.
var nothing = func() int {
	var fds [2]int
	if syscall.Pipe2(fds[:], syscall.O_CLOEXEC) != nil {
		return -1 // then reports come, as they did without
	}
	syscall.Close(fds[1])
	return fds[0]
}()

func sent()     { syscall.Write(-1, nil) }
func received() { syscall.Read(nothing, nil) }

// ordered is a backend whose calls the race detector knows of.
type ordered struct{ poller.Backend }

func inOrder(be poller.Backend) poller.Backend { return ordered{be} }

func (o ordered) Tick(n int) (int, error) {
	sent()
	defer received()
	return o.Backend.Tick(n)
}

func (o ordered) Run(n int) {
	sent()
	o.Backend.Run(n)
	received()
}

func (o ordered) Call(e *poller.Entry) {
	sent()
	o.Backend.Call(e)
	received()
}
