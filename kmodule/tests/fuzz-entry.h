/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The fuzzer's entries. */
#ifndef FUZZ_ENTRY_H
#define FUZZ_ENTRY_H

#include "fuzz-world.h"

static inline unsigned int some_number(unsigned long *s)
{
	static const unsigned short calls[] = { SYS_read, SYS_write, SYS_readv, SYS_writev,
		SYS_pread64, SYS_pwrite64, SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg,
		SYS_sendfile, SYS_splice, SYS_shutdown, SYS_close, SYS_accept4, SYS_epoll_ctl,
		SYS_epoll_wait, SYS_epoll_pwait2, SYS_setsockopt, SYS_getsockopt, SYS_openat,
		SYS_fstat, SYS_getppid, SYS_recvmmsg, SYS_sendmmsg };

	switch (rnd(s) % 16) {
	case 0: return rnd(s) % 600;
	case 1: return rnd(s);
	case 2: return ESCA_NOP;
	}
	return calls[rnd(s) % (sizeof(calls) / sizeof(*calls))];
}

#define NOT_ALLOWED (~0ULL)

/* How many bytes e asks for. */
static inline __u64 wants(const struct esca_entry *e)
{
	switch (e->nr) {
	case SYS_read: case SYS_write: case SYS_pread64: case SYS_pwrite64: case SYS_sendto:
	case SYS_recvfrom: case SYS_recvmmsg: case SYS_sendmmsg:
		return e->args[2];
	case SYS_readv: case SYS_writev: case SYS_sendmsg: case SYS_recvmsg:
		return e->args[5];
	case SYS_sendfile:
		return e->args[3];
	case SYS_splice:
		return e->args[4];
	case SYS_shutdown: case SYS_close: case SYS_accept4: case SYS_epoll_ctl:
	case SYS_epoll_wait: case SYS_epoll_pwait2: case SYS_setsockopt: case SYS_getsockopt:
	case SYS_openat: case SYS_fstat: case SYS_getppid: case ESCA_NOP:
		return 0;
	}
	return NOT_ALLOWED;
}

static inline struct esca_entry some_entry(const struct table *t, unsigned long *s, int dirty)
{
	static const unsigned int sizes_[] = { 0, 1, 8, 16, 64, 511, 4096, 40000 };
	static const unsigned char options[] = { SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF,
		SO_RCVTIMEO, SO_LINGER, SO_PEERCRED, SO_KEEPALIVE };
	struct esca_entry e = { .nr = some_number(s), .ret = UNWRITTEN };
	__u64 *a = e.args;
	int i;

	e.flags = rnd(s) % 3 ? 0 : ESCA_LINK;
	if (!(rnd(s) % 16))
		e.flags |= ESCA_ATTEND;
	if (!(rnd(s) % 64))
		e.flags |= ESCA_WAIT | (rnd(s) & ~7);
	a[0] = some_fd(t, s);
	a[1] = some_address(t, s, dirty);
	a[2] = sizes_[rnd(s) % 8];
	a[3] = rnd(s) & 1 ? MSG_DONTWAIT : some_address(t, s, dirty);
	switch (e.nr) {
	case SYS_openat:
		a[2] = rnd(s) & (O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC);
		a[3] = 0600;
		break;
	case SYS_epoll_ctl:
		a[1] = 1 + rnd(s) % 3;
		a[2] = some_fd(t, s);
		break;
	case SYS_epoll_wait:
		a[3] = rnd(s) % 3;
		break;
	case SYS_setsockopt:
	case SYS_getsockopt:
		a[1] = rnd(s) & 1 ? SOL_SOCKET : IPPROTO_TCP;
		a[2] = options[rnd(s) % 8];
		a[3] = some_address(t, s, dirty);
		a[4] = rnd(s) & 1 ? 4 : some_address(t, s, dirty);
		break;
	case SYS_shutdown:
		a[1] = rnd(s) % 4;
		break;
	case SYS_sendfile:
		a[1] = some_fd(t, s);
		a[2] = rnd(s) & 1 ? 0 : some_address(t, s, dirty);
		a[3] = sizes_[rnd(s) % 8];
		break;
	case SYS_splice:
		a[1] = a[3] = 0;
		a[2] = some_fd(t, s);
		a[4] = sizes_[rnd(s) % 8];
		break;
	case SYS_epoll_pwait2:
		a[3] = (uintptr_t)(times + rnd(s) % 3);
		break;
	}
	if (!(rnd(s) % 32))
		for (i = 1; i < 6; i++)
			a[i] ^= (__u64)rnd(s) << (i % 2 ? 40 : rnd(s) % 40);
	if (wants(&e) == NOT_ALLOWED)
		for (i = 0; i < 6; i++)
			a[i] = rnd(s) & 1 ? 0 : rnd(s) % 100;
	return e;
}

#endif
