package conn

import (
	"log"
	"runtime"
	"time"
)

// Dispatch says where handlers run.
type Dispatch int

// The ways to dispatch.
const (
	DispatchAdaptive  Dispatch = iota // inline until handlers prove slow, goroutines while they are
	DispatchInline                    // always on the loop, as coroutines
	DispatchGoroutine                 // always on goroutines of their own
)

// Logger takes one line at a time. *log.Logger is one, and so is fasthttp's.
type Logger interface {
	Printf(format string, args ...any)
}

// Option changes how Listen and FromListener set up.
type Option func(*options)

type options struct {
	loops     int
	backend   string
	dispatch  Dispatch
	highWater int
	linger    time.Duration
	delay     time.Duration
	keepAlive time.Duration
	backlog   int
	logger    Logger
	linux     linuxOptions
}

func buildOptions(opts []Option) options {
	o := options{
		loops:     runtime.GOMAXPROCS(0),
		highWater: 64 << 10,
		linger:    5 * time.Second,
		delay:     100 * time.Microsecond,
		backlog:   4096,
		logger:    log.Default(),
	}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithLoops sets how many loops, and so listening sockets, there are. Default:
// GOMAXPROCS. Values below one mean the default.
func WithLoops(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.loops = n
		}
	}
}

// WithBackend names the backend: "auto" (the default: the environment variable
// ESCA_BACKEND, and without it the first that works) or one of poller.Probes.
func WithBackend(name string) Option { return func(o *options) { o.backend = name } }

// WithDispatch sets where handlers run.
func WithDispatch(d Dispatch) Option { return func(o *options) { o.dispatch = d } }

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
// until the watcher takes the loop, one to two milliseconds.)
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
