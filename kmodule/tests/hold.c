// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Keeps what its arguments name on until the guest ends, or does it once:
 *
 *	gro	a socket with UDP_GRO
 *	memcg	a memory cgroup
 *	calls	the tracepoints of system calls that vmload counts
 *	once	what has a kernel make the secrets of TCP's and UDP's hashes
 *
 * Who switches them patches the kernel's text, by way of an int3, under whatever
 * opens or closes a socket, or enters a system call, meanwhile. A processor that QEMU
 * emulates beside another can run that int3 after it is gone (gitlab.com/qemu-project/qemu,
 * issue 4669): a 6.12 guest dies of it, a 6.1 guest stands still.
 *
 * So a guest boots with one processor, since a kernel that boots patches itself as well,
 * switches these, and then gets its other one. "calls" has to wait, as it would change
 * what is tested; then nothing is awake but this program, for which init waits. A step in
 * which something is switched all the same fails (not_patched, vm/init).
 */
#include "check.h"

#include <linux/perf_event.h>
#include <netinet/udp.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* An IPv6 socket switches what IPv4 looks at as well. */
static void hold_gro(void)
{
	int one = 1, fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)));
}

#define ROOT "/tmp/held"

/* A group stays when nobody sees it any more. */
static void hold_memcg(void)
{
	int fd;

	MUST(mkdir(ROOT, 0755));
	MUST(mount("none", ROOT, "cgroup2", 0, NULL));
	fd = MUST(open(ROOT "/cgroup.subtree_control", O_WRONLY));
	MUST(write(fd, "+memory", 7));
	close(fd);
	MUST(mkdir(ROOT "/held", 0755));
	MUST(umount(ROOT));
	MUST(rmdir(ROOT));
}

static void hold_tracepoint(const char *id)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT,
					.size = sizeof(attr), .disabled = 1 };
	FILE *f = fopen(id, "r");

	if (!f || fscanf(f, "%llu", &attr.config) != 1) {
		perror(id);
		exit(1);
	}
	fclose(f);
	MUST(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

/* Both: the second is a second probe of the same tracepoint, which calls it otherwise. */
static void hold_calls(void)
{
	hold_tracepoint("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id");
	hold_tracepoint("/sys/kernel/tracing/events/syscalls/sys_enter_ioctl/id");
}

/* One socket says something to another. */
static void say(int family, int type)
{
	struct sockaddr_in6 addr = { .sin6_family = family };
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(addr);
	int to = MUST(socket(family, type, 0)), from = MUST(socket(family, type, 0)), end = to;
	char byte = 0;

	if (family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		addr.sin6_addr = in6addr_loopback;
	MUST(bind(to, (struct sockaddr *)&addr, len));
	MUST(getsockname(to, (struct sockaddr *)&addr, &len));
	if (type == SOCK_STREAM)
		MUST(listen(to, 1));
	MUST(connect(from, (struct sockaddr *)&addr, len));
	if (type == SOCK_STREAM)
		end = MUST(accept(to, NULL, NULL));
	MUST(send(from, &byte, 1, 0));
	MUST(recv(end, &byte, 1, 0));
	close(from);
	close(end);
	if (end != to)
		close(to);
}

static void do_once(void)
{
	say(AF_INET, SOCK_STREAM);
	say(AF_INET6, SOCK_STREAM);
	say(AF_INET, SOCK_DGRAM);
	say(AF_INET6, SOCK_DGRAM);
}

static const struct {
	const char *name;
	void (*hold)(void);
} all[] = {
	{ "gro", hold_gro },
	{ "memcg", hold_memcg },
	{ "calls", hold_calls },
	{ "once", do_once },
};

static void hold(const char *name)
{
	for (unsigned int i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (strcmp(all[i].name, name) == 0) {
			all[i].hold();
			return;
		}
	}
	fprintf(stderr, "hold: %s: neither gro, memcg, calls nor once\n", name);
	exit(1);
}

int main(int argc, char **argv)
{
	alarm(HANGS_AFTER); /* the child has none */
	for (int i = 1; i < argc; i++)
		hold(argv[i]);
	if (MUST(fork()) == 0) {
		close(0);
		close(1);
		close(2);
		for (;;)
			pause();
	}
	return 0;
}
