/*
 * The floor of datagrams: what an echo costs when a server does nothing but the
 * system calls. One thread, one socket, IPv4.
 *
 *	packets one|many PORT
 *
 * one: recvfrom and sendto for each datagram. many: recvmmsg and sendmmsg for all
 * that are waiting, up to 64.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 64
#define ROOM 2048

static char bufs[MOST][ROOM];
static struct sockaddr_in from[MOST];
static struct iovec iov[MOST];
static struct mmsghdr msgs[MOST];

static void one(int fd)
{
	socklen_t len;
	ssize_t n;

	for (;;) {
		len = sizeof(from[0]);
		n = recvfrom(fd, bufs[0], ROOM, 0, (void *)&from[0], &len);
		if (n >= 0)
			sendto(fd, bufs[0], n, 0, (void *)&from[0], len);
	}
}

static void many(int fd)
{
	int i, n, done, sent;

	for (i = 0; i < MOST; i++) {
		iov[i].iov_base = bufs[i];
		msgs[i].msg_hdr = (struct msghdr) { .msg_name = &from[i], .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	for (;;) {
		for (i = 0; i < MOST; i++) {
			iov[i].iov_len = ROOM;
			msgs[i].msg_hdr.msg_namelen = sizeof(from[i]);
		}
		n = recvmmsg(fd, msgs, MOST, MSG_WAITFORONE, NULL);
		for (i = 0; i < n; i++)
			iov[i].iov_len = msgs[i].msg_len;
		for (done = 0; done < n; done += sent) {
			sent = sendmmsg(fd, msgs + done, n - done, 0);
			if (sent <= 0)
				sent = 1;	/* the next is lost */
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 3) {
		fprintf(stderr, "usage: packets one|many PORT\n");
		return 2;
	}
	at.sin_port = htons(atoi(argv[2]));
	if (bind(fd, (void *)&at, sizeof(at))) {
		perror("bind");
		return 1;
	}
	if (strcmp(argv[1], "many"))
		one(fd);
	many(fd);
}
