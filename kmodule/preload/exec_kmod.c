// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The table by the module, in one crossing, with the wait behind it. A context a
 * thread; the events go straight to the program's own memory, and nothing is harvested.
 */
#include "preload.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define PAYS 2		/* entries from which on a batch costs less */
#define CAPACITY 4096
#define EVENTS 1024
#define FOREVER (1L << 30)	/* seconds */

struct context {
	int fd;
	void *mem;
	size_t size;
	struct esca_entry *entries;
	struct timespec timeout;
	char slot[128];
};

static void context_close(struct context *c)
{
	if (c->mem)
		munmap(c->mem, c->size);
	if (c->fd >= 0) {
		fd_reset(c->fd);
		raw(SYS_close, c->fd);
	}
	munmap(c, sizeof(*c));
}

static struct context *context_open(long *err)
{
	const uint64_t needs = 1ULL << ESCA_SENDTO | 1ULL << ESCA_SENDMSG | 1ULL << ESCA_SHUTDOWN | 1ULL << ESCA_CLOSE |
			       1ULL << ESCA_EPOLL_CTL | 1ULL << ESCA_EPOLL_WAIT | 1ULL << ESCA_EPOLL_PWAIT2;
	struct context *c = pages(sizeof(*c));
	struct esca_register reg = {
		.abi = ESCA_ABI, .entries = CAPACITY, .events = EVENTS,
		/* There has to be one of each; none is used. */
		.slots = 1, .slot_size = sizeof(c->slot),
	};

	*err = -ENOMEM;
	if (!c)
		return NULL;
	reg.slot_base = (uint64_t)c->slot;
	c->fd = *err = raw(SYS_open, "/dev/esca", O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		goto fail;
	*err = raw(SYS_ioctl, c->fd, ESCA_IOC_REGISTER, &reg);
	if (*err)
		goto fail;
	*err = -EOPNOTSUPP;
	if ((reg.features & needs) != needs)
		goto fail;
	c->size = reg.map_size;
	c->mem = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->mem == MAP_FAILED) {
		c->mem = NULL;
		*err = -errno;
		goto fail;
	}
	c->entries = (struct esca_entry *)((char *)c->mem + reg.entries_off);
	c->fd = hide(c->fd);
	*err = 0;
	return c;
fail:
	context_close(c);
	return NULL;
}

static struct context *context_of(struct table *t)
{
	static __thread bool refused;
	long err;

	if (!t->module && !refused) {
		t->module = context_open(&err);
		refused = !t->module;
	}
	return t->module;
}

/*
 * Runs @n entries of the context. A signal ends a batch early, and so does a filter
 * that has come over the process: then the rest is made by plain calls.
 */
static int batch(struct table *t, struct context *c, int n)
{
	int at = 0;
	long ran;

	while (at < n) {
		ran = raw(SYS_ioctl, c->fd, ESCA_IOC_BATCH, ESCA_BATCH(at, n - at));
		t->stats.crossings++;
		if (ran <= 0)
			break;
		at += ran;
	}
	return at;
}

/* Makes what the module has not run, the first @ran of @n, by plain calls. */
static void rest(struct table *t, struct esca_entry *e, int ran, int n)
{
	/* The chain that was cut goes on if it was not broken. */
	if (ran && e[ran - 1].flags & ESCA_LINK && entry_breaks(&e[ran - 1]))
		for (; ran < n; ran++) {
			e[ran].ret = -ECANCELED;
			if (!(e[ran].flags & ESCA_LINK)) {
				ran++;
				break;
			}
		}
	plain_run(t, e + ran, n - ran);
}

/* Whether the wait has only looked, since something failed or was short. */
static bool looked(const struct esca_entry *e, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (entry_breaks(&e[i]))
			return true;
	return false;
}

static void kmod_run(struct table *t, struct esca_entry *e, int n)
{
	struct context *c = n >= PAYS ? context_of(t) : NULL;
	int ran;

	if (!c) {
		plain_run(t, e, n);
		return;
	}
	memcpy(c->entries, e, n * sizeof(*e));
	ran = batch(t, c, n);
	memcpy(e, c->entries, ran * sizeof(*e));
	if (ran < n)
		rest(t, e, ran, n);
}

static long kmod_run_wait(struct table *t, int n, int ep, struct epoll_event *ev, int max, int ms)
{
	struct context *c = context_of(t);
	struct esca_entry *w;
	int ran;

	if (!c || n + 1 > CAPACITY) {
		executor->run(t, t->entries, n);
		return -ENOSYS;
	}
	memcpy(c->entries, t->entries, n * sizeof(*w));
	w = &c->entries[n];
	memset(w, 0, sizeof(*w));
	c->timeout.tv_sec = ms < 0 ? FOREVER : ms / 1000;
	c->timeout.tv_nsec = ms < 0 ? 0 : ms % 1000 * 1000000L;
	w->nr = SYS_epoll_pwait2;
	w->flags = ESCA_WAIT;
	w->args[0] = ep;
	w->args[1] = (uint64_t)ev;
	w->args[2] = max;
	w->args[3] = (uint64_t)&c->timeout;
	/* A signal put off before the kernel sees it makes the wait a look. */
	thr.sleep = &c->timeout;
	__asm__ volatile("" ::: "memory");
	if (thr.npending)
		c->timeout = (struct timespec){};
	ran = raw(SYS_ioctl, c->fd, ESCA_IOC_BATCH, ESCA_BATCH(0, n + 1));
	thr.sleep = NULL;
	t->stats.crossings++;
	if (ran < 0)
		ran = 0;
	memcpy(t->entries, c->entries, (ran < n ? ran : n) * sizeof(*w));
	if (ran > n) {
		/* It only looked if something needs to be seen to, and has to be asked again. */
		t->stats.waits++;
		return w->ret ? w->ret : looked(t->entries, n) ? -ENOSYS : 0;
	}
	rest(t, t->entries, ran, n);
	return -ENOSYS;
}

static const char *kmod_probe(void)
{
	struct context *c;
	long err;

	c = context_open(&err);
	if (c) {
		context_close(c);
		return NULL;
	}
	switch (err) {
	case -ENOENT:
		return "no /dev/esca: the module is not loaded";
	case -EACCES:
		return "no permission for /dev/esca: the user is not in the group esca";
	case -EPERM:
		return "the process is under seccomp or traced";
	case -EPROTO:
		return "the module speaks another ABI";
	case -EOPNOTSUPP:
		return "the module does not offer what this needs";
	}
	return "the module refuses a context";
}

static bool kmod_open(struct table *t)
{
	return exec_plain.open(t);
}

static void kmod_forget(struct table *t)
{
	struct context *c = t->module;

	t->module = NULL;
	if (!c)
		return;
	if (forked_child)
		c->mem = NULL;	/* a child does not inherit it */
	context_close(c);
}

const struct executor exec_kmod = {
	.name = "kmod",
	.batches = true,
	.probe = kmod_probe,
	.open = kmod_open,
	.run = kmod_run,
	.run_wait = kmod_run_wait,
	.forget = kmod_forget,
};
