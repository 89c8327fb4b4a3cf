// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Datagrams: sendmmsg and recvmmsg as entries, and the harvest of packets. */
#include "check.h"

#define MESSAGES	4
#define ROOM		256

static struct timespec no_time;

/* What a slot of packets is made of. */
struct slot {
	struct esca_packets head;
	char pad[ESCA_PACKETS_FROM - sizeof(struct esca_packets)];
	struct mmsghdr msgs[MESSAGES];
	struct iovec iov[MESSAGES];
	struct sockaddr_in from[MESSAGES];
	char data[MESSAGES][ROOM];
};

static struct slot *slot_of(struct table *t, int i)
{
	return (void *)t->slots + (size_t)i * t->reg.slot_size;
}

static void lay_out(struct slot *s, unsigned int n)
{
	int i;

	memset(s, 0, sizeof(*s));
	s->head.messages = n;
	for (i = 0; i < MESSAGES; i++) {
		s->iov[i] = (struct iovec) { s->data[i], ROOM };
		s->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &s->iov[i], .msg_iovlen = 1,
			.msg_name = &s->from[i], .msg_namelen = sizeof(s->from[i]) };
	}
}

static int udp(struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	*a = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	MUST(bind(fd, (void *)a, len));
	MUST(getsockname(fd, (void *)a, &len));
	return fd;
}

/* The one event that there is. */
static struct esca_event look(struct table *t)
{
	memset((void *)&t->events[0], 0xee, sizeof(t->events[0]));
	arrives(t->epfd);
	wait_entry(t, 0, &no_time);
	CHECK(batch(t, 0, 1) == 1, "it is run");
	CHECK(t->entries[0].ret == 1, "%lld", t->entries[0].ret);
	return t->events[0];
}

static void harvested(struct table *t)
{
	struct sockaddr_in at, from;
	int a = udp(&at), b = udp(&from), i;
	struct esca_event ev;
	struct slot *s;

	for (i = 0; i < 16; i++)
		lay_out(slot_of(t, i), MESSAGES);
	watch(t, a, 3, ESCA_HARVEST_PACKETS);
	for (i = 1; i <= 3; i++)
		MUST(sendto(b, "abc", i, 0, (void *)&at, sizeof(at)));
	ev = look(t);
	CHECK(ev.fd == a && ev.gen == 3 && ev.n == 3 && !ev.err && !ev.eof, "n %d", ev.n);
	CHECK(t->ctl->recvs == 1 && !t->ctl->accepts, "%u", t->ctl->recvs);
	CHECK(t->ctl->nfree == 15, "%u", t->ctl->nfree);
	s = slot_of(t, ev.slot);
	for (i = 0; i < 3; i++) {
		CHECK(s->msgs[i].msg_len == (unsigned int)i + 1, "%d: %u", i, s->msgs[i].msg_len);
		CHECK(!memcmp(s->data[i], "abc", i + 1), "%d: %.3s", i, s->data[i]);
		CHECK(s->from[i].sin_port == from.sin_port, "%d", i);
	}
	lay_out(s, MESSAGES);
	t->ctl->nfree++;

	/* More than a slot holds: a slot full, the rest stays. */
	for (i = 0; i < MESSAGES + 2; i++)
		MUST(sendto(b, "x", 1, 0, (void *)&at, sizeof(at)));
	ev = look(t);
	CHECK(ev.n == MESSAGES && !ev.err, "n %d", ev.n);
	t->ctl->nfree++;
	for (i = 0; recv(a, s->data, ROOM, 0) == 1; i++)
		;
	CHECK(i == 2, "%d", i);

	/* A slot of none, and one that says that it has very many. */
	s = slot_of(t, t->free[t->ctl->nfree - 1]);
	lay_out(s, 0);
	MUST(sendto(b, "x", 1, 0, (void *)&at, sizeof(at)));
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && !ev.err && !t->ctl->recvs, "n %d", ev.n);
	CHECK(t->ctl->nfree == 16, "%u", t->ctl->nfree);
	lay_out(s, ~0U);
	MUST(sendto(b, "x", 1, 0, (void *)&at, sizeof(at)));
	ev = look(t);
	CHECK(ev.n == 2 && !ev.err, "n %d, err %d", ev.n, ev.err);
	t->ctl->nfree++;
	close(a);
	close(b);
}

/* What is wrong with the receive is in the event. */
static void failures_of(struct table *t)
{
	struct sockaddr_in at, gone;
	int a = udp(&at), b = udp(&gone), p[2];
	struct esca_event ev;
	struct slot *s = slot_of(t, t->free[t->ctl->nfree - 1]);

	close(b);
	lay_out(s, MESSAGES);
	MUST(connect(a, (void *)&gone, sizeof(gone)));
	watch(t, a, 1, ESCA_HARVEST_PACKETS);
	MUST(send(a, "x", 1, 0));
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && ev.err == ECONNREFUSED, "err %d", ev.err);
	close(a);
	a = udp(&at);
	b = udp(&gone);
	watch(t, a, 1, ESCA_HARVEST_PACKETS);
	s->msgs[0].msg_hdr.msg_iov = (void *)8;
	MUST(sendto(b, "x", 1, 0, (void *)&at, sizeof(at)));
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && ev.err == EFAULT, "err %d", ev.err);
	close(a);
	close(b);
	MUST(pipe(p));
	watch(t, p[0], 1, ESCA_HARVEST_PACKETS);
	MUST(write(p[1], "x", 1));
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && ev.err == ENOTSOCK, "err %d", ev.err);
	close(p[0]);
	close(p[1]);
	CHECK(t->ctl->nfree == 16, "%u", t->ctl->nfree);
}

/* A table that sends and receives, and a chain that a short one breaks. */
static void entries(struct table *t)
{
	static char big[65508];
	struct sockaddr_in at, from;
	int a = udp(&at), b = udp(&from), i;
	struct iovec iov[3] = { { "one", 3 }, { big, sizeof(big) }, { "three", 5 } };
	struct mmsghdr out[3];
	struct slot in;

	for (i = 0; i < 3; i++)
		out[i].msg_hdr = (struct msghdr) { .msg_iov = &iov[i], .msg_iovlen = 1,
			.msg_name = &at, .msg_namelen = sizeof(at) };
	lay_out(&in, MESSAGES);
	entry(t, 0, ESCA_LINK, SYS_sendmmsg, b, (uintptr_t)out, 3, MSG_DONTWAIT, 0, 0);
	entry(t, 1, 0, SYS_sendmmsg, b, (uintptr_t)(out + 2), 1, MSG_DONTWAIT, 0, 0);
	entry(t, 2, 0, SYS_sendmmsg, b, (uintptr_t)(out + 1), 1, MSG_DONTWAIT, 0, 0);
	entry(t, 3, ESCA_LINK, SYS_sendmmsg, b, (uintptr_t)(out + 2), 1, MSG_DONTWAIT, 0, 0);
	entry(t, 4, 0, SYS_recvmmsg, a, (uintptr_t)in.msgs, MESSAGES, MSG_DONTWAIT, 0, 0);
	entry(t, 5, 0, SYS_recvmmsg, a, (uintptr_t)in.msgs, MESSAGES, MSG_DONTWAIT, 0, 0);
	CHECK(batch(t, 0, 6) == 6, "they are run");
	CHECK(t->entries[0].ret == 1, "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == -ECANCELED, "%lld", t->entries[1].ret);
	CHECK(t->entries[2].ret == -EMSGSIZE, "%lld", t->entries[2].ret);
	CHECK(t->entries[3].ret == 1, "%lld", t->entries[3].ret);
	CHECK(t->entries[4].ret == 2, "%lld", t->entries[4].ret);
	CHECK(t->entries[5].ret == -EAGAIN, "%lld", t->entries[5].ret);
	CHECK(in.msgs[0].msg_len == 3 && in.msgs[1].msg_len == 5, "%u", in.msgs[0].msg_len);
	CHECK(!memcmp(in.data[1], "three", 5), "%.5s", in.data[1]);
	close(a);
	close(b);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	entries(&t);
	harvested(&t);
	failures_of(&t);
	table_close(&t);
	return done();
}
