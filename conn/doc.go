// Package conn is the user half of a tick: loops that turn readiness into
// running code, and Conn, a net.Conn whose writes and closes are queued per
// tick and handed to the kernel together.
//
//	Listen ──► Listener ──► loops, one listening socket each (SO_REUSEPORT)
//	             │            │  wait and harvest ► dispatch ► posted ► timers ► wait
//	             │            ▼
//	  Accept ◄───┤          Conn   any goroutine may use it, like any net.Conn
//	  Serve(h) ◄─┘                 a Handler's workers use it at event-loop cost
//
// # Loops and drivers
//
// Loop.mu protects all state of a loop and of its connections. One goroutine,
// the driver, turns the loop; it holds the lock except while user code runs and
// while it is in the kernel. A watcher notices a driver that has been inside
// the same user code for about a millisecond, and gives the loop to another
// driver, so a handler that blocks costs its neighbours a millisecond. The
// driver that was left behind finishes that handler and steps aside.
//
// # Workers
//
// With Listener.Serve, a worker runs Handler.Serve for a burst: from the arrival
// of bytes until Serve returns. Inline workers are coroutines resumed by the
// driver: a Read that has to wait yields to the loop, without Go's scheduler.
// Where handlers block, workers are goroutines instead; the loop learns which
// is right (DispatchAdaptive), or an option forces it. An idle connection has no
// worker.
//
// A handler may lock its goroutine to its thread (runtime.LockOSThread); while
// it is locked a wait blocks the driver, which is then left behind. A lock that
// outlives Serve is undone, as the worker goes on to serve other connections.
//
// On systems other than Linux on amd64 and arm64, Listen stands on package net.
package conn
