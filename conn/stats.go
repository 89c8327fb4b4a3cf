package conn

import "github.com/escahttp/esca/poller"

// Stats is what the loops of a Listener have done since it was made, and what
// they hold now.
type Stats struct {
	Backend string // which one executes the tables
	Loops   int

	poller.Counts // ticks, crossings, system calls by kind

	Events   uint64 // that waits have returned
	Accepted uint64 // connections
	Bursts   uint64 // that workers have served
	Steals   uint64 // times a loop was taken from a handler that kept it
	BytesIn  uint64
	BytesOut uint64

	PacketsIn      uint64 // datagrams received
	PacketsOut     uint64 // and sent
	PacketsDropped uint64 // and not sent: over the queue, or the kernel has refused them

	Open        int // connections
	Dialled     int // of them by a Dialer
	Idle        int // of the others, without a worker
	Workers     int // busy and idle
	IdleWorkers int
}
