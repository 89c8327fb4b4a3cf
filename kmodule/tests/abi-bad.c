// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What the module refuses: each wrong use has its own error, and none does harm. */
#include "check.h"

#define FAILS(want, call)							\
	do {									\
		errno = 0;							\
		long r__ = (long)(call);					\
		CHECK(r__ == -1 && errno == (want), "%ld, want errno %d", r__, want);	\
	} while (0)

static struct esca_register good(void)
{
	static char *slots;
	static __u32 *interest;
	struct esca_register reg = sizes();

	if (!slots) {
		slots = pages((size_t)reg.slots * reg.slot_size);
		interest = pages(reg.interest_len * 4);
	}
	reg.interest = (uintptr_t)interest;
	reg.slot_base = (uintptr_t)slots;
	return reg;
}

#define REFUSED(want, field, value)						\
	do {									\
		struct esca_register reg_ = good();				\
		reg_.field = (value);						\
		FAILS(want, ioctl(fd, ESCA_IOC_REGISTER, &reg_));		\
	} while (0)

static void sizes_refused(int fd)
{
	REFUSED(EINVAL, entries, 0);
	REFUSED(EINVAL, entries, ESCA_MAX_ENTRIES + 1);
	REFUSED(EINVAL, entries, ~0U);
	REFUSED(EINVAL, events, 0);
	REFUSED(EINVAL, events, ESCA_MAX_EVENTS + 1);
	REFUSED(EINVAL, slots, 0);
	REFUSED(EINVAL, slots, ESCA_MAX_SLOTS + 1);
	REFUSED(EINVAL, slot_size, 0);
	REFUSED(EINVAL, slot_size, ESCA_MAX_SLOT_SIZE + 1);
	REFUSED(EINVAL, interest_len, ESCA_MAX_INTEREST + 1);
	REFUSED(EINVAL, interest, good().interest + 2);
	/* Memory of the kernel, and what only begins in the process's own. */
	REFUSED(EFAULT, interest, 0xffff888000000000);
	REFUSED(EFAULT, slot_base, 0xffff888000000000);
	REFUSED(EFAULT, slot_base, 0x7fffffffe000);
	REFUSED(EFAULT, slot_base, ~0ULL);
	REFUSED(EFAULT, interest, ~0ULL & ~3ULL);
}

static void abi_refused(int fd)
{
	struct esca_register reg = good();
	static const __u32 others[] = { 0, ESCA_ABI + 1, ~0U };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		reg.abi = others[i];
		reg.entries = 0;
		FAILS(EPROTO, ioctl(fd, ESCA_IOC_REGISTER, &reg));
		CHECK(reg.abi == ESCA_ABI, "%u", reg.abi);
	}
	FAILS(EFAULT, ioctl(fd, ESCA_IOC_REGISTER, NULL));
	FAILS(EFAULT, ioctl(fd, ESCA_IOC_REGISTER, 0xffff888000000000));
}

static void read_only_argument(int fd)
{
	struct esca_register *p = pages(4096);

	*p = good();
	mprotect(p, 4096, PROT_READ);
	FAILS(EFAULT, ioctl(fd, ESCA_IOC_REGISTER, p));
	mprotect(p, 4096, PROT_READ | PROT_WRITE);
	p->abi = 9;
	mprotect(p, 4096, PROT_READ);
	FAILS(EFAULT, ioctl(fd, ESCA_IOC_REGISTER, p));
	munmap(p, 4096);
}

static void *map(int fd, size_t n, int prot, int flags, off_t off)
{
	return mmap(NULL, n, prot, flags, fd, off);
}

static void before_and_after(int fd)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct esca_register reg = good(), again = reg;
	void *p;

	FAILS(ENXIO, ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 0)));
	FAILS(ENXIO, ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1)));
	FAILS(ENXIO, map(fd, 4096, rw, MAP_SHARED, 0));
	MUST(ioctl(fd, ESCA_IOC_REGISTER, &reg));
	FAILS(EALREADY, ioctl(fd, ESCA_IOC_REGISTER, &again));
	again.entries = 0;
	FAILS(EALREADY, ioctl(fd, ESCA_IOC_REGISTER, &again));

	CHECK(reg.map_size && !(reg.map_size % 4096), "%llu", reg.map_size);
	CHECK(reg.entries_off >= sizeof(struct esca_ctl), "%u", reg.entries_off);
	CHECK(reg.events_off >= reg.entries_off + reg.entries * 64, "%u", reg.events_off);
	CHECK(reg.free_off >= reg.events_off + reg.events * 32, "%u", reg.free_off);
	CHECK(reg.map_size >= reg.free_off + reg.slots * 4, "%llu", reg.map_size);

	FAILS(EINVAL, map(fd, reg.map_size, rw, MAP_PRIVATE, 0));
	FAILS(EINVAL, map(fd, reg.map_size, PROT_READ, MAP_PRIVATE, 0));
	FAILS(EINVAL, map(fd, reg.map_size + 1, rw, MAP_SHARED, 0));
	FAILS(EINVAL, map(fd, reg.map_size + (1UL << 32), rw, MAP_SHARED, 0));
	FAILS(EINVAL, map(fd, reg.map_size, rw, MAP_SHARED, 4096));
	FAILS(EINVAL, map(fd, 4096, rw, MAP_SHARED, reg.map_size));
	p = map(fd, 4096, rw, MAP_SHARED, 0x7ffffffffffff000);
	CHECK(p == MAP_FAILED && (errno == EINVAL || errno == EOVERFLOW), "a huge offset");
	FAILS(EINVAL, map(fd, reg.map_size, rw | PROT_EXEC, MAP_SHARED, 0));
	p = map(fd, reg.map_size, rw, MAP_SHARED, 0);
	CHECK(p != MAP_FAILED, "as it is meant");
	FAILS(EACCES, mprotect(p, 4096, PROT_READ | PROT_EXEC));
	FAILS(EFAULT, mremap(p, reg.map_size, reg.map_size + 4096, MREMAP_MAYMOVE));
	munmap(p, reg.map_size);
}

static void ranges(struct table *t)
{
	__u32 n = t->reg.entries, i;

	for (i = 0; i < n; i++)
		entry(t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	FAILS(EINVAL, batch(t, 0, n + 1));
	FAILS(EINVAL, batch(t, n, 1));
	FAILS(EINVAL, batch(t, n + 1, 0));
	FAILS(EINVAL, batch(t, 1, n));
	FAILS(EINVAL, batch(t, 1, ~0U));
	FAILS(EINVAL, batch(t, ~0U, 1));
	FAILS(EINVAL, batch(t, ~0U, ~0U));
	for (i = 0; i < n; i++)
		CHECK(t->entries[i].ret == UNWRITTEN, "entry %u", i);
	CHECK(batch(t, n, 0) == 0 && batch(t, 0, 0) == 0, "none");
	CHECK(batch(t, n - 1, 1) == 1 && t->entries[n - 1].ret == getppid(), "the last");
	CHECK(t->entries[n - 2].ret == UNWRITTEN, "the one in front of it");
	CHECK(batch(t, 0, n) == n, "all");
}

static void other_calls(struct table *t)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct esca_register reg = good();
	char c = 0;
	long r;

	FAILS(ENOTTY, ioctl(t->fd, _IO('E', 3), 0));
	FAILS(ENOTTY, ioctl(t->fd, _IO('E', 1), 0));
	FAILS(ENOTTY, ioctl(t->fd, _IOR('E', 2, int), &reg));
	FAILS(ENOTTY, ioctl(t->fd, 0xffffffff, 0));
	FAILS(EPERM, epoll_ctl(t->epfd, EPOLL_CTL_ADD, t->fd, &ev));
	FAILS(EINVAL, read(t->fd, &c, 1));
	FAILS(EINVAL, write(t->fd, &c, 1));
	/* The 32-bit ioctl of a 64-bit process. */
	asm volatile("int $0x80" : "=a"(r)
		     : "a"(54), "b"(t->fd), "c"(ESCA_IOC_BATCH), "d"(1) : "memory");
	CHECK((int)r == -ENOTTY || (int)r == -ENOSYS, "%ld", r);
	entry(t, 0, 0, SYS_epoll_ctl, t->epfd, EPOLL_CTL_ADD, t->fd, (uintptr_t)&ev, 0, 0);
	entry(t, 1, 0, SYS_read, t->fd, (uintptr_t)&c, 1, 0, 0, 0);
	entry(t, 2, 0, SYS_ioctl, t->fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1), 0, 0, 0);
	CHECK(batch(t, 0, 3) == 3 && t->entries[0].ret == -EPERM, "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == -EINVAL, "%lld", t->entries[1].ret);
	CHECK(t->entries[2].ret == -EPERM, "%lld", t->entries[2].ret);
}

int main(void)
{
	struct table t;
	int fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));

	alarm(HANGS_AFTER);
	sizes_refused(fd);
	abi_refused(fd);
	read_only_argument(fd);
	before_and_after(fd);
	close(fd);
	table_open(&t);
	ranges(&t);
	other_calls(&t);
	table_close(&t);
	return done();
}
