package conn

import (
	"log"
	"net"
	"runtime"
	"syscall"
	"time"
)

// Dispatch says where handlers run.
type Dispatch int

// The ways to dispatch.
const (
	DispatchAdaptive  Dispatch = iota // inline until handlers prove slow, goroutines while they are
	DispatchInline                    // always on the loop, as coroutines
	DispatchGoroutine                 // always on goroutines of their own
	DispatchDirect                    // adaptive, without coroutines: for a Handler that never waits for its connection
)

// Logger takes one line at a time. *log.Logger is one, and so is fasthttp's.
type Logger interface {
	Printf(format string, args ...any)
}

// Option changes how Listen and FromListener set up.
type Option func(*options)

type options struct {
	loops     int
	asked     bool // loops are as many as WithLoops says
	backend   string
	dispatch  Dispatch
	highWater int
	linger    time.Duration
	delay     time.Duration
	keepAlive time.Duration
	backlog   int
	logger    Logger
	balance   Balance
	shared    bool
	pinned    bool
	steals    bool
	control   func(network, address string, c syscall.RawConn) error

	packetSocket func(network, address string) (net.PacketConn, error)
	linux        linuxOptions
	values       map[any]any
}

func buildOptions(opts []Option) options {
	o := options{
		loops:     min(runtime.GOMAXPROCS(0), runtime.NumCPU()),
		highWater: 64 << 10,
		linger:    5 * time.Second,
		delay:     100 * time.Microsecond,
		backlog:   4096,
		logger:    log.Default(),
		steals:    true,
	}
	for _, opt := range opts {
		opt(&o)
	}
	o.steals = o.steals && !o.pinned
	return o
}

// WithLoops sets how many loops, and so listening sockets, there are. Default:
// GOMAXPROCS, but no more than there are processors: loops that share one only wait
// for each other. Where FromListener takes over several listeners of one address
// (SO_REUSEPORT: as a rule there is one for each processor), all but the first have
// one loop. Values below one mean the default.
func WithLoops(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.loops, o.asked = n, true
		}
	}
}

// WithBackend names the backend: "auto" (the default: the environment variable
// ESCA_BACKEND, and without it the first that works) or one of poller.Probes.
func WithBackend(name string) Option { return func(o *options) { o.backend = name } }

// WithDispatch sets where handlers run.
func WithDispatch(d Dispatch) Option { return func(o *options) { o.dispatch = d } }

// WithSteals says whether a loop is taken from a handler that keeps it for more
// than about a millisecond (eleven at the most, if no handler of the process has done
// so within the last second, and no other loop turns), and given to another driver.
// Default true. Without,
// what a loop runs never runs at once, and a handler that blocks stops its loop: for
// good, if it waits for a lock that one has which itself waits for a connection.
func WithSteals(on bool) Option { return func(o *options) { o.steals = on } }

// WithThreads locks each loop to an operating system thread of its own, which it
// is never taken from (WithSteals(false)). It goes with DispatchDirect and
// DispatchGoroutine; coroutines cannot have it. A locked loop that parks hands its
// processor to another thread, some microseconds each time.
func WithThreads() Option { return func(o *options) { o.pinned, o.steals = true, false } }

// WithBalance sets which loop an accepted connection goes to. It is for Handlers.
func WithBalance(b Balance) Option { return func(o *options) { o.balance = b } }

// WithSharedPort lets other processes of the same user listen on the port as well
// (SO_REUSEPORT); without it a port in use is an error.
func WithSharedPort() Option { return func(o *options) { o.shared = true } }

// WithControl has f called with each listening socket before it is bound, as
// net.ListenConfig's Control: options set there are inherited by connections.
func WithControl(f func(network, address string, c syscall.RawConn) error) Option {
	return func(o *options) { o.control = f }
}

// WithPacketSockets has ListenPacket take its sockets from open, a *net.UDPConn or a
// *net.UnixConn each: the first as it listens, and for Serve one for each further loop,
// for which open is called with the address of the first, and has to have set
// SO_REUSEPORT. WithControl and WithSharedPort mean nothing to them.
func WithPacketSockets(open func(network, address string) (net.PacketConn, error)) Option {
	return func(o *options) { o.packetSocket = open }
}

// WithHighWater sets how many bytes a connection queues before Write blocks.
// Default 64 KiB. A single Write may go over it by less than 16 KiB.
func WithHighWater(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.highWater = n
		}
	}
}

// WithLinger limits how long a closed connection may go on sending what was
// written before Close, and discarding what its peer still sends. Default 5 s.
func WithLinger(d time.Duration) Option { return func(o *options) { o.linger = d } }

// WithWriteDelay limits how long a queued write may wait for its tick to end,
// as seen between two handlers. Default 100 µs. (Inside one handler it can wait
// until the loop is taken from that: see WithSteals.)
func WithWriteDelay(d time.Duration) Option { return func(o *options) { o.delay = d } }

// WithKeepAlive has TCP probe idle peers with this period. It is set on the
// listening socket, which accepted connections inherit it from. Zero (the
// default) leaves probing off.
func WithKeepAlive(period time.Duration) Option { return func(o *options) { o.keepAlive = period } }

// WithBacklog sets the length of the queue of connections not yet accepted.
// Default 4096; the kernel caps it at net.core.somaxconn.
func WithBacklog(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.backlog = n
		}
	}
}

// WithLogger sets where the few things go that a loop has to say, such as that
// accepting pauses for want of descriptors. Default: log.Default().
func WithLogger(l Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}
