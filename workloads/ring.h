/* SPDX-License-Identifier: GPL-2.0 */
/* io_uring without its library: one request at a time. */
#ifndef SHCACHE_RING_H
#define SHCACHE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	int fd;
	uint8_t *sq, *cq, *sqes;
	size_t sq_size, cq_size, sqes_size;
	uint32_t sq_array, sq_tail, cq_head, cq_tail, cqes;
};

/* false: the kernel has none */
bool ring_open(struct ring *r);
/* Also of one that was never opened, with fd -1. */
void ring_close(struct ring *r);
/* Result of the operation: bytes or -errno. rw_flags: RWF_*; buf_index: -1 or the registered buffer that buf lies in. */
int ring_io(struct ring *r, int opcode, int fd, void *buf, unsigned int len, uint64_t off, unsigned int rw_flags, int buf_index);
/* -errno as io_uring_register(2) */
int ring_register(struct ring *r, void *buf, size_t len);

#endif
