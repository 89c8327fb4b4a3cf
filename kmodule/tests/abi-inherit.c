// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Whoever else comes by the descriptor can do nothing with it. */
#include "check.h"

#include <sys/prctl.h>

static void refused(int fd)
{
	struct esca_register reg = sizes();
	char *own = pages(4096);

	reg.interest = reg.slot_base = (uintptr_t)own;
	errno = 0;
	CHECK(ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1)) < 0 && errno == EPERM, "a batch");
	CHECK(ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 0)) < 0 && errno == EPERM, "an empty one");
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
	      errno == EPERM, "the mapping");
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED &&
	      errno == EPERM, "a private one");
	CHECK(ioctl(fd, ESCA_IOC_REGISTER, &reg) < 0 && errno == EALREADY, "registration");
}

static int ended(int pid)
{
	int status;

	MUST(waitpid(pid, &status, 0));
	return status;
}

static void forked(struct table *t)
{
	int pid, status;

	pid = MUST(fork());
	if (!pid) {
		refused(t->fd);
		close(t->fd);
		_exit(failures ? 1 : 3);
	}
	CHECK(ended(pid) == 3 << 8, "the child");
	pid = MUST(fork());
	if (!pid) {
		t->entries[0].nr = 0;
		_exit(0);
	}
	status = ended(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "it has the mapping: %x", status);
	CHECK(batch(t, 0, 1) == 1 && t->entries[0].ret == getppid(), "its owner");
	/* Even if the owner wants the mapping inherited, batches are not. */
	if (madvise(t->ctl, t->reg.map_size, MADV_DOFORK) == 0) {
		pid = MUST(fork());
		if (!pid) {
			refused(t->fd);
			_exit(failures ? 1 : 3);
		}
		CHECK(ended(pid) == 3 << 8, "the child");
		CHECK(batch(t, 0, 1) == 1, "its owner");
	}
}

/* The same memory is the same process, whatever the rest. */
static void vforked(struct table *t)
{
	volatile long ran = -1;
	int pid = vfork();

	if (!pid) {
		ran = batch(t, 0, 1);
		_exit(4);
	}
	CHECK(ended(pid) == 4 << 8 && ran == 1, "%ld", ran);
	CHECK(t->entries[0].ret == getpid(), "%lld", t->entries[0].ret);
}

static void pass(int s, int fd)
{
	char c = 'x', control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec { void *base; size_t len; } iov = { &c, 1 };
	struct msghdr m = { .msg_iov = (void *)&iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	MUST(sendmsg(s, &m, 0));
}

static int passed(int s)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec { void *base; size_t len; } iov = { &c, 1 };
	struct msghdr m = { .msg_iov = (void *)&iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int fd;

	MUST(recvmsg(s, &m, 0));
	if (!CMSG_FIRSTHDR(&m))
		_exit(77);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

/* To a process that was there before; and again, after the owner has closed its own. */
static void sent(void)
{
	int s[2], pid;
	struct table t;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid = MUST(fork());
	if (!pid) {
		int fd = passed(s[1]);
		char c = 0;

		refused(fd);
		MUST(write(s[1], &c, 1));
		MUST(read(s[1], &c, 1));
		refused(fd);
		close(fd);
		/* One that is not yet registered is his who registers it. */
		fd = passed(s[1]);
		t.reg = sizes();
		t.reg.interest = t.reg.slot_base = (uintptr_t)pages(1 << 20);
		CHECK(ioctl(fd, ESCA_IOC_REGISTER, &t.reg) == 0, "registration");
		CHECK(ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1)) == 1, "a batch");
		MUST(write(s[1], &c, 1));
		_exit(failures ? 1 : 6);
	}
	table_open(&t);
	pass(s[0], t.fd);
	MUST(read(s[0], &(char) { 0 }, 1));
	table_close(&t);
	MUST(write(s[0], "x", 1));
	t.fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));
	pass(s[0], t.fd);
	MUST(read(s[0], &(char) { 0 }, 1));
	errno = 0;
	CHECK(batch(&t, 0, 1) < 0 && (errno == EPERM), "who has opened it");
	CHECK(ended(pid) == 6 << 8, "the other process");
	close(t.fd);
	close(s[0]);
	close(s[1]);
}

/* What another process tries makes no batch of the owner's fail. */
static void undisturbed(struct table *t)
{
	struct esca_register reg = sizes();
	int go[2], i, pid;
	char c;

	MUST(pipe(go));
	reg.interest = reg.slot_base = (uintptr_t)pages(1 << 20);
	pid = MUST(fork());
	if (!pid) {
		MUST(write(go[1], "x", 1));
		for (;;) {
			ioctl(t->fd, ESCA_IOC_REGISTER, &reg);
			ioctl(t->fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1));
		}
	}
	MUST(read(go[0], &c, 1));
	for (i = 0; i < 30000 && !failures; i++)
		CHECK(batch(t, 0, 1) == 1, "batch %d", i);
	kill(pid, SIGKILL);
	CHECK(ended(pid) == SIGKILL, "the child");
	close(go[0]);
	close(go[1]);
}

/* The owner ends, and the last to close is a child of it. */
static void orphaned(void)
{
	int alive[2], result[2], pid;
	char c = 0;

	MUST(pipe(alive));
	MUST(pipe(result));
	pid = MUST(fork());
	if (!pid) {
		struct table t;

		table_open(&t);
		if (MUST(fork()))
			_exit(5);
		close(alive[1]);
		MUST(read(alive[0], &c, 1));	/* ends when the owner has */
		refused(t.fd);
		close(t.fd);
		c = failures ? 'n' : 'y';
		MUST(write(result[1], &c, 1));
		_exit(0);
	}
	close(alive[1]);
	CHECK(ended(pid) == 5 << 8, "the owner");
	CHECK(read(result[0], &c, 1) == 1 && c == 'y', "%c", c);
	close(alive[0]);
	close(result[0]);
	close(result[1]);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	entry(&t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	forked(&t);
	vforked(&t);
	undisturbed(&t);
	table_close(&t);
	sent();
	orphaned();
	return done();
}
