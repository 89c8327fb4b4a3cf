// Package conn is the user half of a tick: loops that turn readiness into
// running code, and Conn, a net.Conn whose writes and closes are queued per
// tick and handed to the kernel together.
//
//	Listen ──► Listener ──► loops, one listening socket each (SO_REUSEPORT)
//	             │            │  look and harvest ► dispatch ► posted ► timers ► look
//	             │            ▼
//	  Accept ◄───┤          Conn   any goroutine may use it, like any net.Conn
//	  Serve(h) ◄─┘          Burst  the same connection, as its Handler sees it
//	  Dialer ──► net.Dialer ──► Conn
//
// # Who may touch what
//
// loop.mu protects all state of a loop and of its connections; whoever holds it may
// do anything but make a system call that can block, or call user code (Burst.OnGone's
// f is called with it, and so may touch no Conn). Not beneath it are a loop's load, an
// atomic; its handover, which has a lock of its own and is taken behind no other; and what
// a Burst keeps for its Handler, which is the worker's.
//
// One goroutine, the driver, turns the loop. It holds the lock but in three phases, in
// which others may have it: inside user code, or while it lets other goroutines run, and they
// add to the table as the driver would; in the kernel, or parked, and they leave the
// table, its events and the free slots alone, send directly what may not wait, and wake
// the driver for the rest.
//
// # Datagrams
//
//	ListenPacket ──► PacketListener ─┬─► Serve(h)   loops, one socket each; h gets a Packets a tick
//	                                 └─► PacketConn ◄── DialPacket      for goroutines; no loop
//	EnrollPackets ──► PacketPeer         a connected socket on a listener's loop; as with Serve
//
// A loop of datagrams has no connections: its slots are laid out for recvmmsg, and the
// harvest brings what is waiting, 64 messages at the most, which with UDP_GRO are one or
// several datagrams each. The handler is called once for all of them, with the memory they
// were received into; what it answers is copied into a batch, in which datagrams
// of one size for one peer share a message (UDP_SEGMENT), and the batch is one entry of the
// table. What the socket does not take waits in at most eight batches (packetsocket.go),
// and what is over that is dropped and counted (Stats.PacketsDropped): nobody waits.
// Where each is a crossing, the socket is received from instead of asking the epoll, if
// something is likely to be there (packetfirst.go). A loop of connections that is given
// PacketPeers has slots for them apart, into which its driver receives.
//
// A PacketConn is what package net has, with ReadBatch and WriteBatch of a system call each. A
// goroutine that waits for one datagram would only be further from it with a loop in
// between. To receive ahead for goroutines, and to queue what they write, could save no
// more than those two save a goroutine that does nothing else: a quarter to two fifths of
// package net's time, measured with 16 and with 256 peers of 64 B, before the copies, locks and wake-ups of
// a queue. It would take errors from who has caused them, as EMSGSIZE, by which QUIC finds
// how wide a path is; and who reads by SyscallConn, as QUIC does, would find the socket
// empty.
//
// # States of a connection
//
// A Conn is three machines, each drawn where it is declared, with who moves it:
//
//	input    flowing, fresh, held, receiving, ended                      input.go
//	output   empty, queued, sending, backlog, blocked, asked, failed     output.go
//	end      open, flushing, discarding, closing, gone                   end.go
//
//	input    flowing    nothing is unread: the harvest receives
//	         fresh      what it brought is read in this tick
//	         held       it keeps off: bytes may lie in the socket
//	         receiving  a receive is under way: a reader's, or a new connection's first
//	output   queued     a send of the arena is in the table
//	         sending    a send of the backlog is
//	         backlog    one is to be recorded
//	         blocked    the socket is full, and EPOLLOUT is to be asked for
//	         asked      and has been
//	end      flushing   Close was called: what is queued is sent first
//	         discarding the peer's bytes are read away, so that it sees no reset
//	         closing    the close is in the table
//
// They meet in few places: an output that has failed ends a reader's wait; a close
// waits for the output and may discard input. Deadlines act in every state. A test
// (machines_test.go) walks all of it, with every result that the kernel can give.
//
// # How a loop waits
//
// A loop lives in a Go process, with others:
//   - with nothing to do it is parked: its driver waits in Go's netpoller for its own
//     epoll to become readable, as any goroutine waits for a socket. It holds no
//     processor (P) and no thread;
//   - where there are more threads than processors it lets the others run (sched_yield):
//     before it parks, as long as that mostly finds something soon, and once in 48 events
//     while its ticks have few, unless that takes long;
//   - it arms a timer only if a deadline is set, one that is earlier than what the
//     timer is set to already;
//   - while it always finds something it gives way after 128 events: whatever is
//     runnable, has a descriptor that is ready, or a timer that is due, runs then;
//   - a handler that keeps it for more than about a millisecond loses it to another
//     driver. The drivers watch each other; where none turns, a watcher comes by every
//     ten milliseconds, or every one for a second after a steal. A connection that has
//     read 16 KiB in one go lets its neighbours go first.
//
// # Words
//
//	tick      one turn of a loop: what has come is dispatched, and what that has
//	          recorded is executed by the look for more
//	table     the system calls that a tick has recorded
//	flush     to execute the table at once, in the middle of a tick
//	look      to execute the table, and to ask what is ready, without waiting
//	harvest   what a look has received and accepted already
//	park      to wait for the next event, off the processor
//	driver    the goroutine that turns a loop
//	worker    what runs a burst: a coroutine that the driver resumes, a goroutine of
//	          its own, or the driver itself
//	burst     a run of Handler.Serve: from the arrival of input until it returns
//	boundary  where a burst may end although its code expects more: between requests
//	turn      what a connection may read before it is its neighbours'
//	steal     to take a loop from a driver that is kept in user code, who then is
//	          left behind: it finishes that handler, and steps aside
//	hold      to keep the harvest off a connection, so that its bytes stay in the socket
//	backlog   bytes of a connection that are not in the table
//	message   what one sendmmsg or recvmmsg has for one peer: a datagram, or several
//	batch     the messages of one sendmmsg
//	pause     to keep both the harvest and the Handler off a connection, for the Handler's sake
//	linger    what happens between Close and the end of the descriptor, within a limit
//
// # Workers
//
// With Listener.Serve, a worker runs Handler.Serve for a burst. Inline workers are
// coroutines resumed by the driver: a Read that has to wait yields to the loop,
// without Go's scheduler. Where handlers block, workers are goroutines instead; the
// loop learns which is right (DispatchAdaptive), or an option forces it. An idle
// connection has no worker.
//
// A handler may lock its goroutine to its thread (runtime.LockOSThread); while
// it is locked a wait blocks the driver, which is then left behind. A lock that
// outlives Serve is undone, as the worker goes on to serve other connections.
//
// # Dialled connections
//
// A Dialer connects by package net and then takes the descriptor onto a loop. Nobody
// serves such a connection: like one that Accept returns it belongs to whoever has it. If
// that is a worker that is a coroutine, of whatever loop, its waits yield to its own loop
// (await); a loop that has something for a worker of another leaves it in that one's
// handover. Loops that nobody else has made live from the first connection to the last.
//
// # Memory
//
// What a connection holds depends on what it does: a worker while a burst lasts, a slot
// while what it has received is unread, its backlog. A loop that a crowd has left gives
// its part of that back (tidy); workers and slots are otherwise kept for the next.
//
// On systems other than Linux on amd64 and arm64, Listen and ListenPacket stand on package
// net; there is no Serve.
package conn
