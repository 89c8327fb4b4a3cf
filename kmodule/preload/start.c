// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The library's start: what the environment asks for, which executor it is, and why
 * not another. The environment is read once, since a program may write over it.
 */
#include "preload.h"
#include "real.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

const struct executor *executor;
bool done;
static bool want_stats;
static uint64_t seed;
static pthread_key_t key;

static const struct executor *const all[] = { &exec_kmod, &exec_uring, &exec_plain };

/* The first that works, from the one asked for on; says which, and why not the others. */
static const struct executor *choose(const char *name)
{
	const struct executor *e = NULL;
	char why[300] = "";
	const char *no = NULL;
	bool begun = !strcmp(name, "auto");
	size_t i;

	if (!strcmp(name, "off")) {
		say("esca: off, as asked for");
		return NULL;
	}
	for (i = 0; i < sizeof(all) / sizeof(*all) && !e; i++) {
		begun |= !strcmp(name, all[i]->name);
		if (!begun)
			continue;
		no = all[i]->probe ? all[i]->probe() : NULL;
		if (!no)
			e = all[i];
		else
			snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s %s: %s", *why ? ";" : ", not", all[i]->name, no);
	}
	if (!begun)
		say("esca: off, since there is no executor %s: it is auto, kmod, uring, plain or off", name);
	else
		say("esca: %s%s", e ? e->name : "off", why);
	return e;
}

/* A thread that ends leaves nothing behind. */
static void thread_ends(void *table)
{
	struct table *t = table;

	if (bypass())
		return;
	begin();
	lock_table(t);
	flush(t, executor);
	unlock_table(t);
	drain_table(t, now_ms() + LEAVE_MS);
	abandon(t);
	executor->forget(t);
	thr.table = NULL;
	__atomic_store_n(&t->used, false, __ATOMIC_RELEASE);
	end();
}

void table_begins(struct table *t)
{
	t->seed = seed * 0x9e3779b97f4a7c15ULL + raw(SYS_gettid) + 1;
	pthread_setspecific(key, t);
}

void stats_print(void)
{
	struct stats s = {};
	struct table *t;

	if (!want_stats || say_fd < 0 || !executor)
		return;
	for (t = tables; t; t = t->next) {
		uint64_t *from = (uint64_t *)&t->stats, *to = (uint64_t *)&s;
		size_t i;

		for (i = 0; i < sizeof(s) / sizeof(*to); i++)
			to[i] += from[i];
	}
	if (!s.waits)
		return;
	want_stats = false;
	say("esca: %s, process %ld: %lu waits, %lu turns, %lu crossings; recorded %lu calls, %lu bytes, %lu coalesced, %lu files, %lu registrations, %lu corks, %lu closes; made %lu sends, %lu direct, %lu settled; %lu backlogs, %lu lingered, %lu failed",
	    executor->name, raw(SYS_getpid), s.waits, s.turns, s.crossings, s.calls, s.bytes, s.coalesced, s.files, s.ctls, s.corks,
	    s.closes, s.sends, s.direct, s.settled, s.backlogs, s.lingers, s.errors);
}

__attribute__((constructor)) static void start(void)
{
	const char *name = getenv("ESCA_PRELOAD"), *said = getenv("ESCA_PRELOAD_SAY"), *fault = getenv("ESCA_PRELOAD_FAULTS");
	const char *stats = getenv("ESCA_PRELOAD_STATS"), *apart = getenv("ESCA_PRELOAD_APART");

	resolve();
	fds_init();
	want_stats = stats && *stats == '1';
	if (want_stats || (said && *said == '1')) {
		say_fd = raw(SYS_dup, 2);
		if (say_fd >= 0)
			say_fd = hide(say_fd);
	}
	if (fault && *fault) {
		faulty = true;
		seed = strtoull(fault, NULL, 10);
	}
	coalesce = !(apart && *apart == '1');
	if (!fds)
		return;
	pthread_key_create(&key, thread_ends);
	executor = choose(name && *name ? name : "auto");
	if (executor)
		watch_forks();
	/* Of a program that this one executes nobody wants to know. */
	unsetenv("ESCA_PRELOAD_SAY");
	if (!want_stats && say_fd >= 0) {
		fd_reset(say_fd);
		raw(SYS_close, say_fd);
		say_fd = -1;
	}
}
