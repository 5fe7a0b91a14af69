// SPDX-License-Identifier: GPL-2.0
/* See hz-ways.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hz-ways.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct hz_file hz_golden, hz_other;

#define ROOM	(HZ_WAY_BLOCKS * HZ_PAGE)

static uint8_t *room(void)
{
	static uint8_t *buf;

	if (!buf) {
		buf = hz_buffer(ROOM);
		memset(buf, 1, ROOM);
	}
	return buf;
}

static int read_from(int fd, struct hz_file *f, unsigned int first, unsigned int n, const char *how)
{
	uint64_t off = (uint64_t)first * HZ_PAGE, end = off + (uint64_t)n * HZ_PAGE;

	for (; off < end;) {
		ssize_t r = pread(fd, room(), end - off, (off_t)off);

		if (r < 0)
			return -errno;
		if (!r)
			hz_fail("%s: end of file at %llu", how, (unsigned long long)off);
		hz_compare(f, room(), off, (uint64_t)r, how, "with failures");
		off += (uint64_t)r;
	}
	return 0;
}

static int by_read(struct hz_file *f, unsigned int first, unsigned int n)
{
	return read_from(f->fd, f, first, n, "read");
}

static int by_direct_read(struct hz_file *f, unsigned int first, unsigned int n)
{
	int fd = open(f->path, O_RDONLY | O_DIRECT | O_CLOEXEC), err = -errno;

	if (fd < 0)
		return err;
	err = read_from(fd, f, first, n, "O_DIRECT");
	close(fd);
	return err;
}

static int by_splice(struct hz_file *f, unsigned int first, unsigned int n)
{
	loff_t off = (loff_t)first * HZ_PAGE, end = off + (loff_t)n * HZ_PAGE;
	int p[2], err = 0;

	if (pipe2(p, O_CLOEXEC))
		return -errno;
	while (off < end && !err) {
		loff_t at = off;
		ssize_t r = splice(f->fd, &off, p[1], NULL, (size_t)(end - off), 0);

		if (r < 0)
			err = -errno;
		else if (!r || read(p[0], room(), (size_t)r) != r)
			hz_fail("splice at %llu: %zd bytes that cannot be read", (unsigned long long)at, r);
		else
			hz_compare(f, room(), (uint64_t)at, (uint64_t)r, "splice", "with failures");
	}
	close(p[0]);
	close(p[1]);
	return err;
}

static int by_uring(struct hz_file *f, unsigned int first, unsigned int n)
{
	struct ring r;
	int got;

	if (!ring_open(&r)) {
		ring_close(&r);
		return -ENOMEM;
	}
	got = ring_io(&r, IORING_OP_READ, f->fd, room(), n * HZ_PAGE, (uint64_t)first * HZ_PAGE, 0, -1);
	ring_close(&r);
	if (got > 0)
		hz_compare(f, room(), (uint64_t)first * HZ_PAGE, (uint64_t)got, "io_uring", "with failures");
	return got < 0 ? got : 0;
}

static int by_advice(struct hz_file *f, unsigned int first, unsigned int n)
{
	int err = -posix_fadvise(f->fd, (off_t)first * HZ_PAGE, (off_t)n * HZ_PAGE, POSIX_FADV_WILLNEED);

	/* To the end, behind the end, and nonsense. */
	if (!err)
		err = -posix_fadvise(f->fd, (off_t)(f->size - HZ_PAGE), 0, POSIX_FADV_WILLNEED);
	if (!err)
		err = -posix_fadvise(f->fd, (off_t)f->size + HZ_PAGE, HZ_PAGE, POSIX_FADV_WILLNEED);
	if (!err)
		err = -posix_fadvise(f->fd, (off_t)(f->size - HZ_PAGE), INT64_MAX, POSIX_FADV_WILLNEED);
	if (!err)
		err = -posix_fadvise(f->fd, -(off_t)HZ_PAGE, HZ_PAGE, POSIX_FADV_WILLNEED);
	if (!err && posix_fadvise(f->fd, 0, -1, POSIX_FADV_WILLNEED) != EINVAL)
		hz_fail("fadvise of a negative length is no error");
	return err;
}

/* Far from everything else, so that there is no page table yet. */
static uint8_t *map_some(const struct hz_file *f, unsigned int first, unsigned int n, int prot, int flags)
{
	uint8_t *m = mmap((void *)0x100000000000, (size_t)n * HZ_PAGE, prot, flags, f->fd, (off_t)first * HZ_PAGE);

	return m == MAP_FAILED ? NULL : m;
}

static int look_at_map(struct hz_file *f, unsigned int first, unsigned int n, int flags, bool populate)
{
	uint8_t *m = map_some(f, first, n, PROT_READ, flags);
	int err = 0;
	unsigned int i;
	uint64_t v;

	if (!m)
		return -errno;
	if (populate && madvise(m, (size_t)n * HZ_PAGE, MADV_POPULATE_READ))
		err = errno == EINVAL ? 0 : -errno;
	for (i = 0; i < n && !err; i++) {
		if (hz_peek(m + i * HZ_PAGE, &v))
			hz_compare(f, m + i * HZ_PAGE, (first + i) * (uint64_t)HZ_PAGE, HZ_PAGE, "mmap", "with failures");
		else
			err = -EFAULT;
	}
	munmap(m, (size_t)n * HZ_PAGE);
	return err;
}

static int by_map(struct hz_file *f, unsigned int first, unsigned int n)
{
	return look_at_map(f, first, n, MAP_SHARED, false);
}

static int by_private_map(struct hz_file *f, unsigned int first, unsigned int n)
{
	return look_at_map(f, first, n, MAP_PRIVATE, false);
}

static int by_populate(struct hz_file *f, unsigned int first, unsigned int n)
{
	return look_at_map(f, first, n, MAP_SHARED, true);
}

/* Stores to MAP_PRIVATE: each page is copied, and the file stays as it is. */
static int by_private_store(struct hz_file *f, unsigned int first, unsigned int n)
{
	uint8_t *m = map_some(f, first, n, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned int i;
	int err = 0;

	if (!m)
		return -errno;
	for (i = 0; i < n && !err; i++) {
		uint64_t at = (first + i) * (uint64_t)HZ_PAGE;

		if (!hz_poke(m + i * HZ_PAGE, 77))
			err = -EFAULT;
		else
			hz_compare(f, m + i * HZ_PAGE + 8, at + 8, HZ_PAGE - 8, "a private copy", "with failures");
	}
	munmap(m, (size_t)n * HZ_PAGE);
	return err;
}

/* read_first: the store meets a page that is mapped, and must be broken. */
static int store_to_map(struct hz_file *f, unsigned int first, unsigned int n, bool read_first)
{
	uint8_t *m = map_some(f, first, n, PROT_READ | PROT_WRITE, MAP_SHARED);
	unsigned int i;
	int err = 0;

	if (!m)
		return -errno;
	for (i = 0; i < n && !err; i++) {
		uint64_t at = (first + i) * (uint64_t)HZ_PAGE, v = hz_word(9, first + i, 2), seen;

		if (read_first && !hz_peek(m + i * HZ_PAGE, &seen)) {
			err = -EFAULT;
			break;
		}
		if (hz_poke(m + i * HZ_PAGE + 16, v))
			memcpy(f->want + at + 16, &v, 8);
		else
			err = -EFAULT;
	}
	munmap(m, (size_t)n * HZ_PAGE);
	return err;
}

static int by_store(struct hz_file *f, unsigned int first, unsigned int n)
{
	return store_to_map(f, first, n, false);
}

static int by_store_after_read(struct hz_file *f, unsigned int first, unsigned int n)
{
	return store_to_map(f, first, n, true);
}

/* A few bytes of each block: the rest must be read. */
static int by_small_write(struct hz_file *f, unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++) {
		if (pwrite(f->fd, "small", 5, (off_t)i * HZ_PAGE + 33) != 5)
			return -errno;
		memcpy(f->want + (uint64_t)i * HZ_PAGE + 33, "small", 5);
	}
	return 0;
}

static int write_to(int fd, struct hz_file *f, unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++) {
		hz_fill(room(), 9, i, 3);
		if (pwrite(fd, room(), HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE)
			return -errno;
		hz_want_block(f, i, 9, i, 3);
	}
	return 0;
}

static int by_write(struct hz_file *f, unsigned int first, unsigned int n)
{
	return write_to(f->fd, f, first, n);
}

static int by_direct_write(struct hz_file *f, unsigned int first, unsigned int n)
{
	int fd = open(f->path, O_RDWR | O_DIRECT | O_CLOEXEC), err = -errno;

	if (fd < 0)
		return err;
	err = write_to(fd, f, first, n);
	close(fd);
	return err;
}

/* The new end lies in the first block, whose rest is zeroed: it must be read. */
static int by_truncate(struct hz_file *f, unsigned int first, unsigned int n)
{
	(void)n;
	if (ftruncate(f->fd, (off_t)first * HZ_PAGE + 100))
		return -errno;
	hz_want_size(f, (uint64_t)first * HZ_PAGE + 100);
	return 0;
}

/* Not from the beginning nor to the end of a block. */
static int by_punch(struct hz_file *f, unsigned int first, unsigned int n)
{
	uint64_t at = (uint64_t)first * HZ_PAGE + 100, len = (uint64_t)n * HZ_PAGE - 200;

	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len))
		return -errno;
	hz_want_zero(f, at, len);
	return 0;
}

static int by_unshare(struct hz_file *f, unsigned int first, unsigned int n)
{
	if (fallocate(f->fd, FALLOC_FL_UNSHARE_RANGE, (off_t)first * HZ_PAGE, (off_t)n * HZ_PAGE))
		return -errno;
	return 0;
}

static int by_clone(struct hz_file *f, unsigned int first, unsigned int n)
{
	struct file_clone_range r = { hz_other.fd, (uint64_t)first * HZ_PAGE, (uint64_t)n * HZ_PAGE, (uint64_t)first * HZ_PAGE };

	if (ioctl(f->fd, FICLONERANGE, &r))
		return -errno;
	memcpy(f->want + r.dest_offset, hz_other.want + r.src_offset, r.src_length);
	return 0;
}

/* With the golden file, whose blocks are the same. */
static int by_dedupe(struct hz_file *f, unsigned int first, unsigned int n)
{
	union {
		struct file_dedupe_range h;
		uint8_t bytes[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} r = { .h = { .src_offset = (uint64_t)first * HZ_PAGE, .src_length = (uint64_t)n * HZ_PAGE, .dest_count = 1 } };

	r.h.info[0].dest_fd = f->fd;
	r.h.info[0].dest_offset = r.h.src_offset;
	if (ioctl(hz_golden.fd, FIDEDUPERANGE, &r))
		return -errno;
	if (r.h.info[0].status > 0)
		hz_fail("dedupe: equal blocks differ");
	return r.h.info[0].status;
}

const struct hz_way hz_ways[WAYS] = {
	[WAY_READ]		= { "read",		by_read,		-EIO,		false,	false },
	[WAY_DIRECT_READ]	= { "direct-read",	by_direct_read,		-EIO,		false,	false },
	[WAY_SPLICE]		= { "splice",		by_splice,		-EIO,		false,	false },
	[WAY_URING]		= { "io_uring",		by_uring,		-EIO,		false,	false },
	[WAY_ADVICE]		= { "fadvise",		by_advice,		0,		false,	false },
	[WAY_MAP]		= { "map",		by_map,			-EFAULT,	false,	false },
	[WAY_PRIVATE_MAP]	= { "private-map",	by_private_map,		-EFAULT,	false,	false },
	[WAY_POPULATE]		= { "populate",		by_populate,		-EFAULT,	false,	false },
	[WAY_PRIVATE_STORE]	= { "private-store",	by_private_store,	-EFAULT,	false,	false },
	[WAY_STORE]		= { "store",		by_store,		-EFAULT,	true,	false },
	[WAY_STORE_AFTER_READ]	= { "store-after-read",	by_store_after_read,	-EFAULT,	true,	false },
	[WAY_SMALL_WRITE]	= { "small-write",	by_small_write,		-EIO,		true,	false },
	[WAY_WRITE]		= { "write",		by_write,		0,		true,	false },
	[WAY_DIRECT_WRITE]	= { "direct-write",	by_direct_write,	0,		true,	false },
	[WAY_TRUNCATE]		= { "truncate",		by_truncate,		-EIO,		true,	true },
	[WAY_PUNCH]		= { "punch",		by_punch,		-EIO,		true,	true },
	[WAY_UNSHARE]		= { "unshare",		by_unshare,		-EIO,		true,	true },
	[WAY_CLONE]		= { "clone",		by_clone,		0,		true,	true },
	[WAY_DEDUPE]		= { "dedupe",		by_dedupe,		-EIO,		true,	true },
};

int hz_use(struct hz_file *f, unsigned int way, unsigned int first, unsigned int n)
{
	return hz_ways[way].fn(f, first, n);
}
