/*
 * The floor again, through io_uring by its bare system calls: one thread, one
 * ring (DEFER_TASKRUN), multishot accept, multishot receive into a ring of
 * buffers, and one io_uring_enter a turn, which submits all sends and waits.
 *
 *	uring HOST:PORT | unix:PATH
 */
#include "floor.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 4096 /* of the submission queue */
#define CQES 32768
#define BUFFERS 4096 /* a power of two */
#define BUFFER_LEN 4096
#define GROUP 1

enum op { ACCEPT, RECV, SEND, CLOSE };

static struct {
	int fd;
	unsigned *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
	unsigned tail, submitted;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static struct io_uring_buf_ring *bufs;
static char *memory;
static unsigned short buf_tail;

static int enter(unsigned submit, unsigned wait)
{
	return syscall(SYS_io_uring_enter, ring.fd, submit, wait, IORING_ENTER_GETEVENTS, NULL, 0);
}

static void *map(size_t len, off_t off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, off);

	if (p == MAP_FAILED)
		die("mmap of the ring");
	return p;
}

static void open_ring(void)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = CQES,
	};
	size_t sq_len, cq_len;
	char *rings;

	ring.fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (ring.fd < 0)
		die("io_uring_setup (Linux 6.1 or later, io_uring permitted)");
	/* One mapping holds both queues since 5.4 (IORING_FEAT_SINGLE_MMAP). */
	sq_len = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	cq_len = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	rings = map(sq_len > cq_len ? sq_len : cq_len, IORING_OFF_SQ_RING);
	ring.sqes = map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (unsigned *)(rings + p.sq_off.tail);
	ring.sq_mask = *(unsigned *)(rings + p.sq_off.ring_mask);
	ring.cq_head = (unsigned *)(rings + p.cq_off.head);
	ring.cq_tail = (unsigned *)(rings + p.cq_off.tail);
	ring.cq_mask = *(unsigned *)(rings + p.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
	for (unsigned i = 0; i < p.sq_entries; i++)
		((unsigned *)(rings + p.sq_off.array))[i] = i;
}

/* give hands a buffer back to the kernel. */
static void give(unsigned short id)
{
	struct io_uring_buf *b = &bufs->bufs[buf_tail++ & (BUFFERS - 1)];

	b->addr = (unsigned long)(memory + (size_t)id * BUFFER_LEN);
	b->len = BUFFER_LEN;
	b->bid = id;
	__atomic_store_n(&bufs->tail, buf_tail, __ATOMIC_RELEASE);
}

static void open_buffers(void)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = GROUP };
	size_t len = BUFFERS * (sizeof(struct io_uring_buf) + BUFFER_LEN);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap of the buffers");
	bufs = (struct io_uring_buf_ring *)p;
	memory = p + BUFFERS * sizeof(struct io_uring_buf);
	reg.ring_addr = (unsigned long)bufs;
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
		die("IORING_REGISTER_PBUF_RING");
	for (int i = 0; i < BUFFERS; i++)
		give(i);
}

/* submit hands over what was recorded, and waits for that many completions. */
static void submit(unsigned wait)
{
	unsigned n = ring.tail - ring.submitted;
	int done;

	__atomic_store_n(ring.sq_tail, ring.tail, __ATOMIC_RELEASE);
	done = enter(n, wait);
	if (done < 0 && errno != EINTR && errno != EBUSY && errno != EAGAIN)
		die("io_uring_enter");
	if (done > 0)
		ring.submitted += done;
}

static struct io_uring_sqe *record(enum op op, int opcode, int fd)
{
	struct io_uring_sqe *e;

	while (ring.tail - ring.submitted == ENTRIES)
		submit(0);
	e = &ring.sqes[ring.tail++ & ring.sq_mask];
	memset(e, 0, sizeof(*e));
	e->opcode = opcode;
	e->fd = fd;
	e->user_data = (unsigned long long)op << 32 | fd;
	return e;
}

static void start_accept(int lfd)
{
	struct io_uring_sqe *e = record(ACCEPT, IORING_OP_ACCEPT, lfd);

	e->ioprio = IORING_ACCEPT_MULTISHOT;
	e->accept_flags = SOCK_CLOEXEC;
}

static void start_recv(int fd)
{
	struct io_uring_sqe *e = record(RECV, IORING_OP_RECV, fd);

	e->ioprio = IORING_RECV_MULTISHOT;
	e->flags = IOSQE_BUFFER_SELECT;
	e->buf_group = GROUP;
}

static void start_close(int fd)
{
	/* Whatever is under way on it ends with an error, and closes nothing. */
	record(CLOSE, IORING_OP_CLOSE, fd);
}

static void received(const struct io_uring_cqe *c, int fd)
{
	unsigned id = c->flags >> IORING_CQE_BUFFER_SHIFT;
	int n = 0;

	if (c->res > 0) {
		n = count_requests(fd, memory + (size_t)id * BUFFER_LEN, c->res);
		give(id);
	}
	if (c->res == -ENOBUFS) {
		start_recv(fd);
		return;
	}
	if (c->res <= 0 || n > MAX_ANSWERS) {
		start_close(fd);
		return;
	}
	if (n > 0) {
		struct io_uring_sqe *e = record(SEND, IORING_OP_SEND, fd);

		e->addr = (unsigned long)answers;
		e->len = n * ANSWER_LEN;
		e->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
	}
	if (!(c->flags & IORING_CQE_F_MORE))
		start_recv(fd);
}

static void completed(const struct io_uring_cqe *c)
{
	int fd = (int)(c->user_data & 0xffffffff);

	switch ((enum op)(c->user_data >> 32)) {
	case ACCEPT:
		if (c->res >= MAX_FDS)
			start_close(c->res);
		else if (c->res >= 0) {
			matched[c->res] = 0;
			start_recv(c->res);
		}
		if (!(c->flags & IORING_CQE_F_MORE))
			start_accept(fd);
		break;
	case RECV:
		received(c, fd);
		break;
	case SEND: /* an error shows in the receive too */
	case CLOSE:
		break;
	}
}

int main(int argc, char **argv)
{
	int lfd = set_up(argc, argv);

	open_ring();
	open_buffers();
	start_accept(lfd);
	for (;;) {
		unsigned head, tail;

		submit(1);
		head = *ring.cq_head;
		tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
		for (; head != tail; head++) {
			struct io_uring_cqe c = ring.cqes[head & ring.cq_mask];

			/* Before it is seen to: that may submit, and need the room. */
			__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
			completed(&c);
		}
	}
}
