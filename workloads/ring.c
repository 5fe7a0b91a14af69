// SPDX-License-Identifier: GPL-2.0
/* io_uring without its library, see ring.h. */
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"

static uint32_t *at(uint8_t *base, uint32_t off)
{
	return (uint32_t *)(void *)(base + off);
}

static uint8_t *map_part(struct ring *r, size_t size, off_t off)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, off);

	return p == MAP_FAILED ? NULL : p;
}

void ring_close(struct ring *r)
{
	if (r->fd < 0)
		return;
	if (r->sq)
		munmap(r->sq, r->sq_size);
	if (r->cq)
		munmap(r->cq, r->cq_size);
	if (r->sqes)
		munmap(r->sqes, r->sqes_size);
	close(r->fd);
	r->fd = -1;
}

bool ring_open(struct ring *r)
{
	struct io_uring_params p = {};

	r->fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (r->fd < 0)
		return false;
	r->sq_size = p.sq_off.array + p.sq_entries * 4;
	r->cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	r->sqes_size = p.sq_entries * sizeof(struct io_uring_sqe);
	r->sq = map_part(r, r->sq_size, IORING_OFF_SQ_RING);
	r->cq = map_part(r, r->cq_size, IORING_OFF_CQ_RING);
	r->sqes = map_part(r, r->sqes_size, IORING_OFF_SQES);
	if (!r->sq || !r->cq || !r->sqes) {
		ring_close(r);
		return false;
	}
	r->sq_array = p.sq_off.array;
	r->sq_tail = p.sq_off.tail;
	r->cq_head = p.cq_off.head;
	r->cq_tail = p.cq_off.tail;
	r->cqes = p.cq_off.cqes;
	/* Slot 0 is the only one in use, whatever the tail. */
	memset(r->sq + r->sq_array, 0, p.sq_entries * 4);
	return true;
}

int ring_io(struct ring *r, int opcode, int fd, void *buf, unsigned int len, uint64_t off, unsigned int rw_flags, int buf_index)
{
	struct io_uring_sqe *sqe = (void *)r->sqes;
	const struct io_uring_cqe *cqe;
	uint32_t head = *at(r->cq, r->cq_head), entries;
	int res;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (uint8_t)opcode;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)buf;
	sqe->len = len;
	sqe->off = off;
	sqe->rw_flags = (int)rw_flags;
	if (buf_index >= 0)
		sqe->buf_index = (uint16_t)buf_index;
	__atomic_store_n(at(r->sq, r->sq_tail), *at(r->sq, r->sq_tail) + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		if (errno != EINTR)
			return -errno;
	while (__atomic_load_n(at(r->cq, r->cq_tail), __ATOMIC_ACQUIRE) == head)
		;
	/* 4 entries asked for: the kernel makes 8 of them in the completion ring. */
	entries = 8;
	cqe = (const void *)(r->cq + r->cqes + (head & (entries - 1)) * sizeof(*cqe));
	res = cqe->res;
	__atomic_store_n(at(r->cq, r->cq_head), head + 1, __ATOMIC_RELEASE);
	return res;
}

int ring_register(struct ring *r, void *buf, size_t len)
{
	struct { void *base; size_t len; } iov = { buf, len };

	return syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &iov, 1) < 0 ? -errno : 0;
}
