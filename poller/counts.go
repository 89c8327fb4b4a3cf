package poller

// Call names the system calls that are counted one by one.
type Call int

// The calls.
const (
	CallSend Call = iota
	CallRecv
	CallAccept
	CallClose
	CallSendfile
	CallShutdown
	CallEpollCtl
	CallEpollWait
	CallOther
	Calls // how many there are
)

var callNames = [Calls]string{"send", "recv", "accept", "close", "sendfile", "shutdown", "epoll_ctl", "epoll_wait", "other"}

// String returns the name of the call.
func (c Call) String() string { return callNames[c] }

// Counts counts what was executed. An entry that a chain cancelled is not counted.
type Counts struct {
	Ticks     uint64
	Crossings uint64 // into the kernel and back
	ByCall    [Calls]uint64
}

// Add adds d to c.
func (c *Counts) Add(d *Counts) {
	c.Ticks += d.Ticks
	c.Crossings += d.Crossings
	for i, n := range d.ByCall {
		c.ByCall[i] += n
	}
}
