// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The table by plain system calls, one an entry: what the others fall back to. */
#include "preload.h"

#include <sys/syscall.h>

/* Whether an entry breaks its chain, as the module has it. */
bool entry_breaks(const struct esca_entry *e)
{
	if (e->ret < 0)
		return true;
	if (e->nr == SYS_sendto)
		return (uint64_t)e->ret < e->args[2];
	return e->nr == SYS_sendmsg && (uint64_t)e->ret < e->args[5];
}

void plain_run(struct table *t, struct esca_entry *e, int n)
{
	bool cancel = false;
	int i;

	for (i = 0; i < n; i++) {
		if (cancel) {
			e[i].ret = -ECANCELED;
			cancel = e[i].flags & ESCA_LINK;
			continue;
		}
		if (e[i].nr == ESCA_NOP) {
			e[i].ret = 0;
			continue;
		}
		e[i].ret = raw6(e[i].nr, e[i].args[0], e[i].args[1], e[i].args[2], e[i].args[3], e[i].args[4],
				e[i].nr == SYS_sendmsg ? 0 : e[i].args[5]);
		t->stats.crossings++;
		cancel = e[i].flags & ESCA_LINK && entry_breaks(&e[i]);
	}
}

static bool plain_open(struct table *t)
{
	t->entries = pages(ENTRIES * sizeof(*t->entries));
	return t->entries;
}

static void plain_forget(struct table *t)
{
	(void)t;
}

const struct executor exec_plain = {
	.name = "plain",
	.open = plain_open,
	.run = plain_run,
	.forget = plain_forget,
};
