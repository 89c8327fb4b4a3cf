// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a call costs by itself and in a batch, in nanoseconds of the guest's
 * clock: under QEMU's -icount shift=0 each is one instruction. The time is that
 * of the calls, and of filling the table; what fills and empties sockets in
 * between is not in it.
 */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define MOST 64		/* of a batch */
#define ROUNDS 100
#define DATAGRAMS 16	/* of a recvmmsg or sendmmsg, 64 bytes each */

static struct table table;
static char data[4096];
static int socks[MOST], peers[MOST], file, listener;
static int udp[MOST], udp_peers[MOST];	/* connected to each other */
static struct mmsghdr datagrams[MOST][DATAGRAMS];
static struct sockaddr_in at;

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static long call(const struct esca_entry *e)
{
	register long r10 __asm__("r10") = e->args[3];
	register long r8 __asm__("r8") = e->args[4];
	register long r9 __asm__("r9") = e->args[5];
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"((long)e->nr), "D"(e->args[0]), "S"(e->args[1]), "d"(e->args[2]),
			   "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static int dial(void)
{
	int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), one = 1;

	MUST(connect(fd, (void *)&at, sizeof(at)));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void drain(int fd)
{
	static char rest[1 << 16];

	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

/* Each operation: what is done before and after, outside the time, and the entry. */
static void nothing(int n) { (void)n; }

static void drain_peers(int n)
{
	while (n--)
		drain(peers[n]);
}

static void fill_socks(int n)
{
	while (n--)
		MUST(send(peers[n], data, 150, 0));
}

static int pending[MOST];

static void connect_all(int n)
{
	while (n--)
		pending[n] = dial();
}

static void close_accepted(int n)
{
	while (n--) {
		close(pending[n]);
		close(table.entries[n].ret);
	}
}

static int duplicates[MOST];

static void open_all(int n)
{
	while (n--)
		duplicates[n] = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void drain_udp(int n)
{
	while (n--)
		drain(udp_peers[n]);
}

static void fill_udp(int n)
{
	int i;

	while (n--)
		for (i = 0; i < DATAGRAMS; i++)
			MUST(send(udp_peers[n], data, 64, 0));
}

static void getppid_entry(struct esca_entry *e, int i)
{
	(void)i;
	*e = (struct esca_entry) { .nr = SYS_getppid };
}

static void send_entry(struct esca_entry *e, int i)
{
	*e = (struct esca_entry) { .nr = SYS_sendto, .args = { socks[i], (uintptr_t)data, 150,
		MSG_DONTWAIT | MSG_NOSIGNAL } };
}

static void recv_entry(struct esca_entry *e, int i)
{
	static char into[MOST][4096];

	*e = (struct esca_entry) { .nr = SYS_recvfrom, .args = { socks[i], (uintptr_t)into[i], 4096,
		MSG_DONTWAIT } };
}

static void sendfile_entry(struct esca_entry *e, int i)
{
	static __u64 off[MOST];

	off[i] = 0;
	*e = (struct esca_entry) { .nr = SYS_sendfile, .args = { socks[i], file, (uintptr_t)&off[i],
		sizeof(data) } };
}

static void accept_entry(struct esca_entry *e, int i)
{
	static struct sockaddr_in from[MOST];
	static socklen_t len[MOST];

	len[i] = sizeof(from[i]);
	*e = (struct esca_entry) { .nr = SYS_accept4, .args = { listener, (uintptr_t)&from[i],
		(uintptr_t)&len[i], SOCK_NONBLOCK | SOCK_CLOEXEC } };
}

static void close_entry(struct esca_entry *e, int i)
{
	*e = (struct esca_entry) { .nr = SYS_close, .args = { duplicates[i] } };
}

static void sendmmsg_entry(struct esca_entry *e, int i)
{
	*e = (struct esca_entry) { .nr = SYS_sendmmsg, .args = { udp[i], (uintptr_t)datagrams[i], DATAGRAMS,
		MSG_DONTWAIT | MSG_NOSIGNAL } };
}

static void recvmmsg_entry(struct esca_entry *e, int i)
{
	*e = (struct esca_entry) { .nr = SYS_recvmmsg, .args = { udp[i], (uintptr_t)datagrams[i], DATAGRAMS,
		MSG_DONTWAIT } };
}

static const struct op {
	const char *name;
	void (*before)(int n), (*after)(int n);
	void (*fill)(struct esca_entry *e, int i);
	int constant;	/* the entry is the same each time */
} ops[] = {
	{ "getppid", nothing, nothing, getppid_entry, 1 },
	{ "send, 150 B", nothing, drain_peers, send_entry, 1 },
	{ "recv, 150 B", fill_socks, nothing, recv_entry, 1 },
	{ "sendfile, 4 KiB", nothing, drain_peers, sendfile_entry, 0 },
	{ "accept4", connect_all, close_accepted, accept_entry, 0 },
	{ "close", open_all, nothing, close_entry, 0 },
	{ "sendmmsg, 16 of 64 B", nothing, drain_udp, sendmmsg_entry, 1 },
	{ "recvmmsg, 16 of 64 B", fill_udp, nothing, recvmmsg_entry, 1 },
};

enum how { DIRECT, ANEW, IN_PLACE, HOWS };

static __u64 once(const struct op *op, int n, enum how how)
{
	__u64 began, took;
	int i;

	op->before(n);
	if (how == IN_PLACE)
		for (i = 0; i < n; i++)
			op->fill(&table.entries[i], i);
	began = now();
	if (how == DIRECT) {
		for (i = 0; i < n; i++) {
			struct esca_entry e;

			op->fill(&e, i);
			table.entries[i].ret = call(&e);
		}
	} else {
		if (how == ANEW)
			for (i = 0; i < n; i++)
				op->fill(&table.entries[i], i);
		MUST(batch(&table, 0, n));
	}
	took = now() - began;
	for (i = 0; i < n; i++)
		if (table.entries[i].ret < 0) {
			printf("%s: entry %d: %lld\n", op->name, i, table.entries[i].ret);
			exit(1);
		}
	op->after(n);
	return took;
}

static int by_value(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/*
 * The mean of the middle half of many rounds, each of which has every way in
 * turn, and the next in the reverse order: what the kernel does now and then,
 * such as to acknowledge every second segment, it does to all of them.
 */
static void cost(const struct op *op, int n, __u64 means[HOWS])
{
	static __u64 all[HOWS][ROUNDS];
	int round, k, hows = op->constant ? HOWS : HOWS - 1;

	for (round = 0; round < ROUNDS; round++)
		for (k = 0; k < hows; k++) {
			enum how how = round % 2 ? hows - 1 - k : k;

			all[how][round] = once(op, n, how);
		}
	for (k = 0; k < hows; k++) {
		qsort(all[k], ROUNDS, sizeof(**all), by_value);
		means[k] = 0;
		for (round = ROUNDS / 4; round < ROUNDS * 3 / 4; round++)
			means[k] += all[k][round];
		means[k] /= ROUNDS / 2 * n;
	}
}

/* A pair of sockets of UDP that are connected to each other. */
static void pair_udp(int i)
{
	static char into[MOST][DATAGRAMS][64];
	static struct iovec iov[MOST][DATAGRAMS];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	int j;

	udp[i] = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	udp_peers[i] = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(bind(udp[i], (void *)&to, sizeof(to)));
	MUST(getsockname(udp[i], (void *)&to, &len));
	MUST(connect(udp_peers[i], (void *)&to, sizeof(to)));
	MUST(getsockname(udp_peers[i], (void *)&to, &len));
	MUST(connect(udp[i], (void *)&to, sizeof(to)));
	for (j = 0; j < DATAGRAMS; j++) {
		iov[i][j] = (struct iovec) { into[i][j], sizeof(into[i][j]) };
		datagrams[i][j].msg_hdr = (struct msghdr) { .msg_iov = &iov[i][j], .msg_iovlen = 1 };
	}
}

static void set_up(void)
{
	socklen_t len = sizeof(at);
	int i, one = 1;

	table_open(&table);
	listener = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	at = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	MUST(bind(listener, (void *)&at, sizeof(at)));
	MUST(listen(listener, 256));
	MUST(getsockname(listener, (void *)&at, &len));
	for (i = 0; i < MOST; i++) {
		peers[i] = dial();
		socks[i] = MUST(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
		setsockopt(socks[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		pair_udp(i);
	}
	file = MUST(open("/tmp/cost", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600));
	MUST(write(file, data, sizeof(data)));
}

int main(void)
{
	static const int sizes[] = { 1, 8, 64 };
	unsigned int o, s;

	set_up();
	printf("| operation | batch of | direct | kmod | kmod, entry left in place |\n|---|---|---|---|---|\n");
	for (o = 0; o < sizeof(ops) / sizeof(*ops); o++)
		for (s = 0; s < 3; s++) {
			__u64 m[HOWS];

			cost(&ops[o], sizes[s], m);
			printf("| %s | %d | %llu | %llu | ", ops[o].name, sizes[s], m[DIRECT], m[ANEW]);
			if (ops[o].constant)
				printf("%llu ", m[IN_PLACE]);
			printf("|\n");
			fflush(stdout);
		}
	return 0;
}
