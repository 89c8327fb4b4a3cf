// Package poller is the kernel half of a tick: the table of system calls that
// a loop records, and the backends that execute it, wait for events and
// harvest what the ready sockets hold.
//
//	Entry    one recorded system call, 64 bytes, the unit of the table
//	Shared   the memory that user space and a backend share: table, events,
//	         receive slots, interest, write arena
//	Backend  executes entries and waits; direct is one, and whatever else is
//	         built has to pass pollertest.Conformance
//	Epoll    the descriptors behind a backend: the epoll instance and the
//	         eventfd that wakes it
//
// Nothing in this package locks. A Backend belongs to one loop; the loop's own
// lock says who may call it (see each method).
package poller
