// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The shared pages are on the account of the memory cgroup of who registers them. */
#include "check.h"

#include <sys/mount.h>
#include <sys/stat.h>

#define ROOT	"/tmp/cgroup"
#define GROUP	ROOT "/esca"

static void put(const char *name, const char *what)
{
	int fd = MUST(open(name, O_WRONLY));

	MUST(write(fd, what, strlen(what)));
	close(fd);
}

/* What the group is charged with, in bytes. */
static long charged(void)
{
	char buf[32] = "";
	int fd = MUST(open(GROUP "/memory.current", O_RDONLY));

	MUST(read(fd, buf, sizeof(buf) - 1));
	close(fd);
	return atol(buf);
}

#define CONTEXTS 24

/*
 * The kernel charges a processor's pages by the dozen, and gives them back so: what
 * is compared is larger by far.
 */
static void in_group(void)
{
	const long slack = 2 << 20;
	int fds[CONTEXTS], i;
	long before, with, after, size = 0;

	before = charged();
	for (i = 0; i < CONTEXTS; i++) {
		struct esca_register reg = sizes();

		reg.entries = ESCA_MAX_ENTRIES;
		reg.events = ESCA_MAX_EVENTS;
		reg.interest = reg.slot_base = 4096;
		fds[i] = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));
		MUST(ioctl(fds[i], ESCA_IOC_REGISTER, &reg));
		size += reg.map_size;
	}
	with = charged();
	CHECK(size > 4 * slack, "%ld bytes are too few", size);
	CHECK(with - before > size - slack && with - before < size + slack,
	      "%ld bytes are shared, %ld charged", size, with - before);
	for (i = 0; i < CONTEXTS; i++)
		close(fds[i]);
	after = charged();
	CHECK(after - before < slack, "%ld bytes are left", after - before);
}

int main(void)
{
	int status, pid;

	alarm(HANGS_AFTER);
	mkdir(ROOT, 0755);
	MUST(mount("none", ROOT, "cgroup2", 0, NULL));
	put(ROOT "/cgroup.subtree_control", "+memory");
	MUST(mkdir(GROUP, 0755));
	pid = MUST(fork());
	if (!pid) {
		put(GROUP "/cgroup.procs", "0");
		in_group();
		_exit(failures ? 1 : 3);
	}
	MUST(waitpid(pid, &status, 0));
	CHECK(status == 3 << 8, "%x", status);
	MUST(rmdir(GROUP));
	MUST(umount(ROOT));
	return done();
}
