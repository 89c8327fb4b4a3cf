// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * abi-fuzz SEED SECONDS: random tables, of several threads. What is known of
 * their results is checked: chains, calls that are refused, errors in range.
 */
#include "fuzz-entry.h"

#include <sys/resource.h>

#define THREADS 3

static struct table tables[THREADS + 1];	/* the last is everybody's */
static pthread_t threads[THREADS];
static unsigned long tables_run[THREADS], seed;
static int stop;

static int stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Holds the results of the first n entries against what was recorded. */
static void check(const struct table *t, const struct esca_entry *was, int n)
{
	int i, cancel = 0;

	for (i = 0; i < n; i++) {
		__s64 ret = t->entries[i].ret;
		__u64 want = wants(&was[i]);
		int wait = was[i].flags & ESCA_WAIT;
		const char *what = NULL;

		if (ret < -4095 || (ret <= -512 && ret >= -516))
			what = "no error of user space's";
		else if (wait && (i < n - 1 || was[i].nr != SYS_epoll_pwait2))
			what = ret == -EINVAL ? NULL : "a bad wait";
		else if (cancel && !wait)
			what = ret == -ECANCELED ? NULL : "the chain is broken";
		else if (ret == -ECANCELED)
			what = "the chain is not broken";
		else if (want == NOT_ALLOWED && !wait && ret != -EPERM)
			what = "not allowed";
		else if (was[i].nr == SYS_getppid && !wait && ret != getppid())
			what = "not its parent";
		CHECK(!what, "entry %d, call %u, flags %x, ret %lld: %s", i, was[i].nr,
		      was[i].flags, ret, what);
		cancel = (was[i].flags & ESCA_LINK) &&
			 (cancel || ret < 0 || (__u64)ret < want);
	}
	CHECK(t->ctl->ready <= t->reg.events && t->ctl->nfree <= t->reg.slots, "the counts");
	for (i = 0; i < (int)t->ctl->ready; i++) {
		struct esca_event *ev = &t->events[i];

		CHECK(ev->slot >= -1 && ev->slot < 16 && ev->n >= 0 && ev->n <= 4096 &&
		      ev->err >= 0 && ev->err < 4096 && (ev->slot >= 0) == (ev->n > 0),
		      "fd %d, slot %d, n %d, err %d", ev->fd, ev->slot, ev->n, ev->err);
	}
}

static void round_of(struct table *t, unsigned long *s, int dirty)
{
	struct esca_entry was[256];
	int i, n = 1 + rnd(s) % 64, done = 0;

	for (i = 0; i < n; i++)
		was[i] = some_entry(t, s, dirty);
	if (rnd(s) & 1)
		was[n - 1] = (struct esca_entry) { .nr = SYS_epoll_pwait2, .flags = ESCA_WAIT,
			.args = { t->epfd, (uintptr_t)t->ready, rnd(s) % 80,
				  rnd(s) % 8 ? (uintptr_t)(times + rnd(s) % 2) : 0 } };
	for (i = 0; i < n; i++)
		t->entries[i] = was[i];
	for (i = 0; i <= LAST_FD; i++)
		t->interest[i] = rnd(s) % 4 << 2 | rnd(s) % 4;
	t->ctl->nfree = dirty && !(rnd(s) % 4) ? rnd(s) : t->reg.slots;
	for (i = 0; i < 16; i++)
		t->free[i] = dirty ? (int)rnd(s) >> rnd(s) % 31 : i;
	CHECK(batch(t, 256 - n, n + 1 + rnd(s) % 9999) < 0 && (errno == EINVAL || errno == EBUSY),
	      "too many");
	while (done < n && !stopped()) {
		long ran = batch(t, done, n - done);

		if (ran < 0 && errno == EBUSY && t == &tables[THREADS])
			return;
		CHECK(ran >= 0 && ran <= n - done, "%ld", ran);
		if (ran < 0)
			return;
		done += ran;
	}
	if (!dirty && done == n)
		check(t, was, n);
}

static void *fuzz(void *arg)
{
	long me = (long)arg;
	unsigned long s = seed * 31 + me;

	while (!stopped() && failures < 20) {
		int dirty = rnd(&s) % 4;

		refill(&tables[me], &s);
		if (!(rnd(&s) % 32))
			syscall(SYS_close_range, LAST_FD + 1, ~0U, 0);
		round_of(dirty == 1 ? &tables[THREADS] : &tables[me], &s, dirty < 2);
		tables_run[me]++;
	}
	return NULL;
}

static void ignore(int sig)
{
	(void)sig;
}

int main(int argc, char **argv)
{
	struct rlimit small = { 1 << 16, 1 << 16 };
	struct sigaction sa = { .sa_handler = ignore };
	int seconds = argc > 2 ? atoi(argv[2]) : 5, pid = getpid();
	time_t end = time(NULL) + seconds;
	unsigned long total = 0;
	long i, k;

	seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	printf("seed %lu, %d seconds\n", seed, seconds);
	alarm(seconds + HANGS_AFTER);
	MUST(sigaction(SIGUSR1, &sa, NULL));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGURG, SIG_IGN);
	MUST(setrlimit(RLIMIT_FSIZE, &small));
	memory_for_fuzzing();
	for (i = 0; i <= THREADS; i++)
		table_open(&tables[i]);
	while (MUST(open("/dev/null", O_RDWR)) < LAST_FD)
		;
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fuzz, (void *)i);
	/* Whatever blocks is woken, again and again. */
	for (i = 0; i < THREADS;) {
		if (time(NULL) >= end)
			__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		usleep(2000);
		for (k = i; k < THREADS; k++)
			pthread_kill(threads[k], SIGUSR1);
		while (i < THREADS && pthread_tryjoin_np(threads[i], NULL) == 0)
			total += tables_run[i++];
	}
	CHECK(getpid() == pid && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child");
	for (i = 0; i <= THREADS; i++)
		table_close(&tables[i]);
	unlink("/tmp/esca-fuzz");
	printf("%lu tables\n", total);
	return done();
}
