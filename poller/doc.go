// Package poller is the kernel half of a tick: the table of system calls that
// a loop records, and the backends that execute it, look for events and
// harvest what the ready sockets hold.
//
//	Entry    one recorded system call, 64 bytes, the unit of the table
//	Shared   the memory that user space and a backend share: table, events,
//	         receive slots, interest, write arena
//	Packet   a message of a sendmmsg or recvmmsg, which slots can be laid out for
//	Backend  executes entries, looks and harvests; direct, uring and kmod do, and
//	         whatever else is built has to pass pollertest.Conformance
//	Epoll    the descriptors behind a backend: the epoll instance and the
//	         eventfd that wakes it; and where a loop parks that has nothing to do
//
// A tick never waits. A loop waits by Epoll.Park, which leaves its thread and its
// processor to other goroutines until the epoll has something to report: Go's own
// netpoller watches it.
//
// A backend that the kernel refuses while it is used, as a seccomp filter does that
// comes later, goes on with direct calls: nothing that was recorded is lost or run
// twice, and the next Tick says so, once.
//
// Nothing in this package locks. A Backend belongs to one loop; the loop's own
// lock says who may call it (see each method).
package poller
