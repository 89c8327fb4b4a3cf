/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/esca: a table of system calls, shared with the kernel and
 * run in one crossing.
 *
 * An open of /dev/esca is one context, with one table. Its life:
 *
 *	fd = open("/dev/esca", O_RDWR | O_CLOEXEC);
 *	ioctl(fd, ESCA_IOC_REGISTER, &reg);	sizes and addresses, once
 *	p = mmap(NULL, reg.map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
 *	fill entries;
 *	ran = ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(first, n));
 *
 * Any thread of the process that registered the context may run batches on it,
 * one at a time; another one meanwhile fails with EBUSY. A process that has
 * inherited the descriptor cannot (EPERM), does not make the owner's batches fail,
 * and does not inherit the mapping (unless its parent has asked for that with
 * MADV_DOFORK).
 *
 * No entry is run past what may refuse or change a system call before it is run:
 * a seccomp filter (but for the module parameter allow_seccomp), syscall user
 * dispatch, a tracer that stops at each call. A task with one of these gets EPERM.
 * It is looked for before each entry, so that one which comes meanwhile, from
 * another thread, ends the batch in front of the next entry; and before each call
 * of the harvest, whose remaining events then go out as if there were no slots,
 * and a listener's that has some connections already with the error EPERM. What
 * only writes calls down, audit and the tracepoints of system calls, sees the
 * ioctl and not the entries.
 *
 * Whatever user space writes into the shared pages while a batch runs, each
 * entry is read once, before it is looked at: what was checked is what runs.
 */
#ifndef _UAPI_ESCA_H
#define _UAPI_ESCA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ESCA_ABI 1

/*
 * One recorded system call: a cache line. @nr is the number of the machine's
 * own system call table. The kernel writes @ret: the result, or the negated
 * errno; EPERM if the call is not one that a table may hold, or not open, ENOSYS
 * if this kernel does not offer it, ECANCELED as ESCA_LINK says. A call that a signal
 * has interrupted and would be restarted is EINTR.
 *
 * A transfer is short if it moved less than it was asked to. Where that is not
 * an argument (sendmsg, recvmsg, readv, writev), @args[5], which those calls do
 * not have, says how many bytes are asked for; zero: never short. A sendmmsg or
 * recvmmsg is short if it moved fewer messages than its vector has.
 */
struct esca_entry {
	__u32 nr;
	__u32 flags;
	__s64 ret;
	__u64 args[6];
};

/*
 * ESCA_LINK: if this entry fails or is short, those chained to it get
 * -ECANCELED instead of running. A chain ends with the first entry without it.
 */
#define ESCA_LINK	0x1
/*
 * ESCA_ATTEND: somebody waits for the result; the batch's wait only looks. Of a
 * batch that a signal has cut in two, the second half knows nothing of the
 * first: the caller makes its wait look if an entry of the first asks for it.
 */
#define ESCA_ATTEND	0x2
/*
 * ESCA_WAIT, on the last entry, whose @nr is that of epoll_pwait2: what it
 * reports is harvested into the events. It waits only if no entry of the batch
 * failed, was short or has ESCA_ATTEND; otherwise it just looks. No chain
 * cancels it.
 */
#define ESCA_WAIT	0x4

/* As @nr: nothing is run, and @ret is 0. */
#define ESCA_NOP	(~0U)

/* A ready descriptor, with what the harvest got from it. */
struct esca_event {
	__s32 fd;	/* low half of epoll's data */
	__u32 gen;	/* high half: which life of fd was registered */
	__u32 mask;	/* EPOLLIN and so on */
	__s32 slot;	/* where the harvest lies, or -1 */
	__s32 n;	/* bytes received, connections accepted, or messages */
	__s32 err;	/* errno of the harvest; 0: none, or EAGAIN */
	__s32 eof;	/* 1: the stream has ended, and nothing was received */
	__s32 pad;
};

/* One accepted connection, in the slot of a listener's event. */
struct esca_accepted {
	__s32 fd;	/* non-blocking, close-on-exec */
	__u32 len;	/* valid bytes of addr */
	__u8 addr[112];
	__u8 pad[8];
};

/*
 * What the harvest does with a ready descriptor: interest[fd] is
 * generation << 2 | one of these. User space may change it at any time.
 */
#define ESCA_HARVEST_NOTHING	0
#define ESCA_HARVEST_RECV	1	/* receive once, into a slot */
#define ESCA_HARVEST_ACCEPT	2	/* accept all there are, or a slot full; of a
					 * listener that does not block
					 */
#define ESCA_HARVEST_PACKETS	3	/* recvmmsg once, into what a slot of packets says */

/*
 * How a slot begins that ESCA_HARVEST_PACKETS is to use. Behind it, ESCA_PACKETS_FROM
 * bytes into the slot, is a struct mmsghdr[messages], which user space has filled in
 * and fills in again after each use; where the messages' bytes go, they say. No more
 * are used than fit into the slot, and where that is none the event goes out bare.
 */
struct esca_packets {
	__u32 messages;
	__u32 pad;	/* user space's */
};
#define ESCA_PACKETS_FROM	64

/* What a context may have at most. */
#define ESCA_MAX_ENTRIES	4096
#define ESCA_MAX_EVENTS		4096
#define ESCA_MAX_SLOTS		4096
#define ESCA_MAX_SLOT_SIZE	0x800000
#define ESCA_MAX_INTEREST	0x1000000

struct esca_register {
	__u32 abi;		/* in: ESCA_ABI; out, with EPROTO: the module's */
	__u32 entries;		/* in: capacity of the table */
	__u32 events;		/* in: capacity of the events */
	__u32 slots;		/* in: receive slots */
	__u32 slot_size;	/* in: bytes of one */
	__u32 interest_len;	/* in: words of interest */
	__u64 interest;		/* in: address of __u32 interest[] */
	__u64 slot_base;	/* in: address of the slots */

	__u64 features;		/* out: what may be used of enum esca_call, a bit each */
	__u64 map_size;		/* out: bytes to map */
	__u32 entries_off;	/* out: where in the mapping the entries are, */
	__u32 events_off;	/* out: the events, */
	__u32 free_off;		/* out: and __s32 free[slots] */
	__u32 pad;
};

/*
 * The first bytes of the mapping. free[0..nfree) is the stack of slots that the
 * harvest may take. Both are the kernel's while a batch runs.
 */
struct esca_ctl {
	__u32 nfree;
	__u32 ready;		/* of the last batch: events of its wait, */
	__u32 recvs;		/* and what the harvest called: recvfrom and recvmmsg, */
	__u32 accepts;		/* accept4 */
};

/*
 * Calls that a table may hold. Those marked are open; the others only if the
 * module was loaded with their names, as in calls=writev,recvmsg, or with
 * calls=all. Bit i of @features is set if a call is open and this kernel offers it.
 */
enum esca_call {
	ESCA_READ,
	ESCA_WRITE,
	ESCA_READV,
	ESCA_WRITEV,
	ESCA_PREAD64,
	ESCA_PWRITE64,
	ESCA_SENDTO,		/* open */
	ESCA_SENDMSG,		/* open */
	ESCA_RECVFROM,		/* open */
	ESCA_RECVMSG,
	ESCA_SENDFILE,		/* open */
	ESCA_SPLICE,
	ESCA_SHUTDOWN,		/* open */
	ESCA_CLOSE,		/* open */
	ESCA_ACCEPT4,		/* open */
	ESCA_EPOLL_CTL,		/* open */
	ESCA_EPOLL_WAIT,	/* open */
	ESCA_EPOLL_PWAIT2,	/* open */
	ESCA_SETSOCKOPT,
	ESCA_GETSOCKOPT,
	ESCA_OPENAT,
	ESCA_FSTAT,
	ESCA_GETPPID,		/* open, for tests */
	ESCA_RECVMMSG,		/* open */
	ESCA_SENDMMSG,		/* open */
	ESCA_CALLS
};

#define ESCA_IOC_REGISTER	_IOWR('E', 1, struct esca_register)

/*
 * Runs @n entries from @first on. Returns how many were run: fewer if a signal
 * is pending or the task has come under a filter, and the caller goes on with the
 * rest when it likes; a chain is taken up where it stood. None, in front of the
 * wait, if the kernel has something to finish on the way back to user space first.
 */
#define ESCA_IOC_BATCH		_IO('E', 2)
#define ESCA_BATCH(first, n)	((unsigned long)(first) << 32 | (unsigned int)(n))

#endif /* _UAPI_ESCA_H */
