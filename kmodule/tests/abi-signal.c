// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Handled signals in mid-batch: nothing is run twice, nothing is lost. */
#include "check.h"

static volatile sig_atomic_t handled;
static int stop;
static pthread_t target;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	MUST(sigaction(sig, &sa, NULL));
}

static void *flood(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		pthread_kill(target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* Runs all n entries, in as many batches as it takes; returns how many that was. */
static int all(struct table *t, unsigned int n)
{
	unsigned int done = 0, i;
	int batches = 0;

	while (done < n) {
		long ran = batch(t, done, n - done);

		batches++;
		CHECK(ran > 0 && ran <= n - done, "ran %ld of %u", ran, n - done);
		if (ran <= 0)
			exit(1);
		for (i = done; i < done + ran; i++)
			CHECK(t->entries[i].ret != UNWRITTEN, "entry %u was not run", i);
		done += ran;
		for (i = done; i < n; i++)
			CHECK(t->entries[i].ret == UNWRITTEN, "entry %u was run", i);
	}
	return batches;
}

/* A table of writes: the file has every one, once, in order. */
static int in_order(struct table *t)
{
	static unsigned int words[256], seen[256];
	int fd = MUST(open("/tmp", O_RDWR | O_TMPFILE, 0600)), batches;
	unsigned int i;

	for (i = 0; i < 256; i++) {
		words[i] = i;
		entry(t, i, ESCA_LINK, SYS_write, fd, (uintptr_t)&words[i], 4, 0, 0, 0);
	}
	batches = all(t, 256);
	for (i = 0; i < 256; i++)
		CHECK(t->entries[i].ret == 4, "%u: %lld", i, t->entries[i].ret);
	CHECK(pread(fd, seen, sizeof(seen), 0) == sizeof(seen), "short");
	CHECK(lseek(fd, 0, SEEK_END) == sizeof(seen), "long");
	CHECK(!memcmp(seen, words, sizeof(seen)), "out of order");
	close(fd);
	return batches;
}

/* What breaks a chain and brings about a signal: the chain stays broken. */
static void stays_broken(struct table *t)
{
	int p[2], i;

	pair(p);
	close(p[1]);
	entry(t, 0, ESCA_LINK, SYS_sendto, p[0], (uintptr_t)"x", 1, 0, 0, 0);
	for (i = 1; i < 256; i++)
		entry(t, i, ESCA_LINK, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(all(t, 256) >= 2, "not interrupted");
	CHECK(t->entries[0].ret == -EPIPE, "%lld", t->entries[0].ret);
	for (i = 1; i < 256; i++)
		CHECK(t->entries[i].ret == -ECANCELED, "%d: %lld", i, t->entries[i].ret);
	close(p[0]);
}

/* An edge is reported once: what came is in the events, or still to come. */
static void no_event_lost(struct table *t, int p[2], int round)
{
	int i, got = 0;

	for (i = 0; i < 20; i++)
		entry(t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	entry(t, 20, 0, SYS_sendto, p[0], (uintptr_t)&round, 4, 0, 0, 0);
	wait_entry(t, 21, NULL);
	all(t, 22);
	while (!got) {
		long ret = t->entries[21].ret;

		CHECK(ret == 1 || ret == -EINTR, "%ld", ret);
		if (ret == 1) {
			struct esca_event ev = t->events[0];

			CHECK(ev.fd == p[1] && ev.n == 4 && ev.slot == 0, "n %d, err %d", ev.n, ev.err);
			CHECK(!memcmp(t->slots, &round, 4), "of another round");
			t->ctl->nfree++;
			got = 1;
		} else {
			CHECK(t->ctl->ready == 0, "%u", t->ctl->ready);
			wait_entry(t, 21, NULL);
			CHECK(batch(t, 21, 1) == 1, "the wait alone");
		}
	}
}

int main(void)
{
	int i, batches = 0, p[2];
	pthread_t thread;
	struct table t;

	alarm(HANGS_AFTER);
	target = pthread_self();
	handle(SIGUSR1, SA_RESTART);
	handle(SIGPIPE, 0);
	table_open(&t);
	pair(p);
	watch(&t, p[1], 1, ESCA_HARVEST_RECV);
	pthread_create(&thread, NULL, flood, NULL);
	for (i = 0; i < 10 || batches < i + 5; i++)
		batches += in_order(&t);
	for (i = 0; i < 50; i++)
		no_event_lost(&t, p, i);
	stays_broken(&t);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CHECK(handled > 0, "%d", (int)handled);
	return done();
}
