// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The counters, as debugfs shows them: a name and a number a line. */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "stats.h"

DEFINE_PER_CPU(struct esca_stats, esca_stats);

static struct dentry *dir;

static int stats_show(struct seq_file *m, void *unused)
{
	struct esca_stats sum = {};
	int cpu, i;

	for_each_possible_cpu(cpu) {
		const struct esca_stats *s = per_cpu_ptr(&esca_stats, cpu);

		sum.batches += READ_ONCE(s->batches);
		sum.entries += READ_ONCE(s->entries);
		sum.events += READ_ONCE(s->events);
		sum.errors += READ_ONCE(s->errors);
		for (i = 0; i < ESCA_CALLS; i++)
			sum.calls[i] += READ_ONCE(s->calls[i]);
	}
	seq_printf(m, "batches %llu\nentries %llu\nevents %llu\nerrors %llu\n",
		   sum.batches, sum.entries, sum.events, sum.errors);
	for (i = 0; i < ESCA_CALLS; i++)
		seq_printf(m, "%s %llu\n", esca_calls[i].name, sum.calls[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void esca_stats_init(void)
{
	dir = debugfs_create_dir("esca", NULL);
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
}

void esca_stats_exit(void)
{
	debugfs_remove_recursive(dir);
}
