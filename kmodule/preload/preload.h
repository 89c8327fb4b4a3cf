/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the parts of libesca.so share. README.md is the specification of what
 * may be recorded.
 *
 * Whoever touches the state of a descriptor is between begin() and end(): there
 * signal handlers are put off, and calls that a handler of a fault makes go straight
 * to libc. State that more than one thread may touch is guarded by the lock of the
 * table that holds it (struct fd's owner). Nothing in here calls malloc, which the
 * program may be in the middle of.
 */
#ifndef ESCA_PRELOAD_H
#define ESCA_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "../esca.h"

#define EXPORT		__attribute__((visibility("default")))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define SMALL_SEND	4096	/* bytes of a send that is copied */
#define SMALL_FILE	8192	/* bytes of a file that are read behind a header */
#define JOINED_FILE	65536	/* bytes of a file that leaves with its header, if the program does not ask for that */
#define MOST_QUEUED	65536	/* bytes recorded of a descriptor */
#define SPANS		8	/* pieces of memory that they lie in */
#define RECORDS		256	/* descriptors in a turn */
#define LONE		8	/* turns of one send, after which it is not recorded */
#define ENTRIES		(RECORDS * (SPANS + 3))
#define ARENA		(1 << 20)
#define LINGER_MS	30000	/* without progress, and a closed socket is given up */
#define PENDING		40	/* signals put off: each once, and some of real time */
#define LEAVE_MS	10000	/* for what is left when the process exits */
#define DYING_MS	2000	/* when a signal ends it */

/* What is known of a descriptor. */
enum fd_kind {
	FD_UNKNOWN,	/* nothing: calls on it go straight through */
	FD_STREAM,	/* a stream socket accepted in this process */
	FD_EPOLL,
	FD_QUIET,	/* something that never blocks: a regular file, O_NONBLOCK */
	FD_PRIVATE,	/* ours, and the program is not to see it */
};

#define F_NONBLOCK	0x01
#define F_CLOEXEC	0x02
#define F_FOREIGN	0x04	/* in other hands too: never recorded */
#define F_CLOSED	0x08	/* the program has closed it, the kernel not yet */
#define F_SHARED	0x10	/* of a set: more than one thread waits on it */
#define F_NESTED	0x20	/* of a set: the owner's watch is in it */
#define F_LOST		0x40	/* a parent's backlog stands before what is sent here */

struct table;
struct record;
struct backlog;

struct reg {
	uint32_t events;
	bool in;	/* registered */
	uint64_t data;
};

struct fd {
	uint8_t kind;
	uint8_t flags;
	uint8_t shut;		/* how + 1 of a shutdown that covers writing */
	uint8_t cork;		/* TCP_CORK as the program has set it; 2: a file has left under it; */
	bool corked;		/* and as the kernel knows it */
	uint8_t dry;		/* receives that found nothing since it was recorded */
	uint8_t lone;		/* turns since a send was joined to another */
	int err;		/* to be said at the next call */
	int ep;			/* the set it is in, or -1 */
	uint32_t round;		/* of its table, when something was last sent unrecorded */
	struct reg want;	/* its registration as the program believes it, */
	struct reg known;	/* and as the kernel knows it */
	struct table *owner;	/* of a set: its waiter's; of a stream: which holds the rest */
	struct record *rec;	/* of this turn */
	struct backlog *backlog;
};

/* What is recorded of one descriptor in one turn. */
struct record {
	int fd;			/* -1: settled meanwhile */
	bool more;		/* the last send had MSG_MORE */
	bool closing;
	uint8_t shut;		/* how + 1 */
	uint8_t nspans, nsends;
	uint32_t calls;		/* those that its sends are made of, and what follows them at once */
	int16_t ctl, send, shutdown, close;	/* its entries, or -1 */
	uint32_t bytes;
	struct epoll_event ev;
	struct msghdr msg;
	struct iovec span[SPANS];
	struct fd was;		/* of one that is closed: what it was */
};

/* What the kernel did not take. */
struct backlog {
	struct backlog *next, **at;
	struct table *table;
	int fd;
	bool more, closing;
	uint8_t shut;
	size_t off, len, size;
	int64_t deadline;	/* of one that is closed, ms of CLOCK_MONOTONIC */
	char data[];
};

struct ring;

struct stats {
	uint64_t turns, calls, bytes, sends, coalesced, direct, files, closes, ctls, corks;
	uint64_t settled, backlogs, lingers, errors, crossings, waits;
};

/* A thread that waits for events has one. Never freed: the next thread takes it over. */
struct table {
	struct table *next;
	pthread_mutex_t lock;
	bool used;
	int nrecs;
	uint32_t round;		/* turns, those with nothing recorded too */
	size_t fill;
	struct record rec[RECORDS];
	char *arena;
	struct esca_entry *entries;
	int watch;		/* private set of those with a backlog, or -1 */
	struct backlog *backlogs;
	int nbacklogs, nlingers;
	struct stats stats;
	struct ring *ring;
	void *module;
	uint64_t seed;
};

/* A thread's own. */
struct thread {
	int depth;		/* inside begin() and end() */
	uint32_t ran;		/* signal handlers that it has run, or put off */
	uint32_t npending;
	bool forking;
	pid_t vforked;		/* who called vfork; a child runs on its memory */
	struct table *table;
	void **copying;		/* where a fault of the copy under way goes to */
	struct timespec *sleep;	/* of the wait in a table that is about to run */
	siginfo_t pending[PENDING];
};

extern __thread struct thread thr __attribute__((tls_model("initial-exec")));

/* How a table is run. The entries' results are in them afterwards. */
struct executor {
	const char *name;
	bool batches;		/* a call in it costs less than by itself */
	const char *(*probe)(void);	/* NULL: it works; or why not */
	bool (*open)(struct table *t);
	void (*run)(struct table *t, struct esca_entry *e, int n);
	/* Runs it and waits; -ENOSYS: it was not run. NULL: there is no such thing. */
	long (*run_wait)(struct table *t, int n, int ep, struct epoll_event *ev, int max, int ms);
	void (*forget)(struct table *t);	/* in a child */
};

extern const struct executor exec_plain, exec_uring, exec_kmod;
extern const struct executor *executor;	/* NULL: off */

/* real.c */
void resolve(void);
long raw6(long nr, long a1, long a2, long a3, long a4, long a5, long a6);
#define RAW7(nr, a, b, c, d, e, f, ...)						\
	raw6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define raw(...) RAW7(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
int64_t now_ms(void);
void *pages(size_t size);
int hide(int fd);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern int say_fd;

/* fds.c */
extern struct fd *fds;
extern int nfds;
extern bool forked_child;	/* what is forgotten is the parent's */
extern bool forked;		/* descriptors may be in other processes' hands */
void fds_init(void);
void fd_reset(int fd);
void fd_fresh(int fd);
void fd_accepted(int fd, int flags);
void fd_epoll(int fd);
void fd_private(int fd);
int fds_high(void);
bool may_block(int fd);

static inline struct fd *fd_of(int fd)
{
	return likely((unsigned int)fd < (unsigned int)nfds) ? &fds[fd] : NULL;
}

static inline struct fd *stream_of(int fd)
{
	struct fd *f = fd_of(fd);

	return f && f->kind == FD_STREAM ? f : NULL;
}

/* record.c */
extern bool coalesce;
extern struct table *tables;
struct table *my_table(void);
struct table *lock_of(struct fd *f);
void lock_tables(void);
void unlock_tables(void);
void renew_locks(void);
void lock_table(struct table *t);
void unlock_table(struct table *t);
bool in_hand(const struct fd *f);
bool recordable(const struct fd *f);
bool passes(struct fd *f, bool joins);
struct record *record_of(struct fd *f, int fd);
char *room(struct table *t, struct fd *f, int fd, size_t n);
void append(struct table *t, struct fd *f, size_t n, bool more);
void flush(struct table *t, const struct executor *how);
long flush_and_wait(struct table *t, int ep, struct epoll_event *ev, int max, int ms);
void flush_mine(void);
void flush_all(void);
void settle(struct table *t, struct fd *f);
void settle_fully(struct table *t, struct fd *f, int fd);

/* finish.c */
void detach(struct record *r);
void finish(struct table *t, struct record *r);
bool keep(struct table *t, struct fd *f, int fd, const struct iovec *iov, int n, size_t skip, bool more);
bool fail(struct fd *f, int fd, int err);
bool drain(struct backlog *b);
void drain_ready(struct table *t);
void give_up_late(struct table *t);
void abandon(struct table *t);
void drain_table(struct table *t, int64_t until);
void drain_all(int ms);
bool give_up_one(struct table *t);
void forget_backlogs(struct table *t);
void drop_backlog(struct backlog *b);
void close_behind(struct table *t, struct fd *f, int fd);
void edge(const struct fd *f, int fd);
bool wait_drained(struct fd *f, int fd, int ms);
#define WATCH_MARK	0x65736361e5cae5caULL

/* wrap_io.c */
struct table *stream_lock(struct fd *f);
void stream_unlock(struct table *t);
bool straight(int fd);
void before_wait(int fd);
int obstacle(struct table *t, struct fd *f, int fd);
void cork_now(struct fd *f, int fd);
int broken(int err, int flags);

/* wrap_fd.c */
void fd_shared(int fd);

/* wrap_opt.c */
void fd_nonblock(int fd, bool on);

/* exec_fault.c */
extern bool faulty;
long send_now(struct table *t, int fd, const struct msghdr *msg, int flags);
void run_faulty(struct table *t, struct esca_entry *e, int n, const struct executor *how);

/* exec_plain.c */
bool entry_breaks(const struct esca_entry *e);
void plain_run(struct table *t, struct esca_entry *e, int n);

/* fork.c */
bool in_vfork_child(void);

/* wrap_life.c */
void leave(int ms);
void off(const char *why);

/* signals.c */
void requeue(void);
void catch_fatal(void);

/* start.c */
extern bool done;		/* nothing is recorded any more */
void stats_print(void);
void table_begins(struct table *t);

/* fork.c */
void share(bool all);
void watch_forks(void);

/* Whether a wrapper has to keep out of it. */
static inline bool bypass(void)
{
	return unlikely(!executor) || unlikely(thr.depth) || unlikely(done) ||
	       (unlikely(thr.vforked) && in_vfork_child());
}

static inline void begin(void)
{
	thr.depth++;
	__asm__ volatile("" ::: "memory");
}

static inline void end(void)
{
	__asm__ volatile("" ::: "memory");
	if (!--thr.depth && unlikely(thr.npending))
		requeue();
}

/* Whether the program has closed it, and the kernel not yet. */
static inline bool fd_closed(int fd)
{
	struct fd *f = stream_of(fd);

	return f && f->flags & F_CLOSED && !bypass();
}

static inline int fails(int err)
{
	errno = err;
	return -1;
}

#endif
