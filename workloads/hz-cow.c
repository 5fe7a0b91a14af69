// SPDX-License-Identifier: GPL-2.0
/*
 * COW break: whatever changes one file of a family of clones changes what that file shows, at once and by every path, and nothing
 * else. Each way to change a file is one entry of `ops`; each runs with nothing cached, with the others' pages cached,
 * with all cached by read(2), and with all of it mapped, with and without fault-around.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"
#include "xfs-ioctl.h"

#define BLOCKS	300u		/* more than 1 MiB */
#define MIB	(1u << 20)

#ifndef FALLOC_FL_UNSHARE_RANGE
#define FALLOC_FL_UNSHARE_RANGE 0x40
#endif

/* One change. a: the file that changes; other: a file with other contents, as large, also one of a family of clones. */
struct op {
	void (*fn)(const struct op *op, struct hz_file *a, struct hz_file *other);
	uint64_t off, len;
	int mode;
};

/* New bytes for [off, off+len) in the model: version 2 of each word. */
static void renew(struct hz_file *f, uint64_t off, uint64_t len)
{
	uint64_t i;

	for (i = off; i < off + len; i++)
		f->want[i] = (uint8_t)(hz_word(9, (unsigned int)(i / HZ_PAGE), 2) >> (i % 8 * 8));
	if (off + len > f->size)
		f->size = off + len;
}

static void op_write(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	(void)other;
	renew(a, op->off, op->len);
	if (pwrite(a->fd, a->want + op->off, op->len, (off_t)op->off) != (ssize_t)op->len)
		hz_fail("write: %m");
}

/* Many writes next to each other, so that they meet reads that were made ahead. */
static void op_write_small(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	uint64_t off;

	(void)other;
	renew(a, op->off, op->len);
	for (off = op->off; off < op->off + op->len; off += 700) {
		uint64_t n = op->off + op->len - off < 700 ? op->off + op->len - off : 700;

		if (pwrite(a->fd, a->want + off, n, (off_t)off) != (ssize_t)n)
			hz_fail("write: %m");
	}
}

static void op_write_nowait(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct iovec v = { a->want + op->off, op->len };
	ssize_t n;

	(void)other;
	renew(a, op->off, op->len);
	n = pwritev2(a->fd, &v, 1, (off_t)op->off, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		hz_skip("no RWF_NOWAIT writes here");
	if (n < 0 && errno != EAGAIN)
		hz_fail("pwritev2(RWF_NOWAIT): %m");
	if (n < 0)
		n = 0;
	if (pwrite(a->fd, a->want + op->off + n, op->len - (size_t)n, (off_t)op->off + n) != (ssize_t)op->len - n)
		hz_fail("write: %m");
}

static void op_write_uring(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct ring r;
	uint64_t done = 0;

	(void)other;
	if (!ring_open(&r))
		hz_skip("no io_uring here");
	renew(a, op->off, op->len);
	while (done < op->len) {
		int n = ring_io(&r, IORING_OP_WRITE, a->fd, a->want + op->off + done, (unsigned int)(op->len - done), op->off + done, 0, -1);

		if (n <= 0)
			hz_fail("io_uring write: %d", n);
		done += (uint64_t)n;
	}
	close(r.fd);
}

static void op_splice(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	loff_t off = (loff_t)op->off;
	uint64_t done = 0;
	int p[2];

	(void)other;
	renew(a, op->off, op->len);
	HZ_DO(pipe2(p, O_CLOEXEC));
	while (done < op->len) {
		size_t n = op->len - done < HZ_PAGE ? op->len - done : HZ_PAGE;

		if (write(p[1], a->want + op->off + done, n) != (ssize_t)n || splice(p[0], NULL, a->fd, &off, n, 0) != (ssize_t)n)
			hz_fail("splice to the file: %m");
		done += n;
	}
	close(p[0]);
	close(p[1]);
}

/* From one clone into another: source and destination may be the same folio. */
static void op_sendfile(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	off_t from = (off_t)op->off;
	uint64_t done = 0;

	memcpy(a->want + op->off, other->want + op->off, op->len);
	HZ_DO(lseek(a->fd, (off_t)op->off, SEEK_SET));
	while (done < op->len)
		done += (uint64_t)HZ_DO(sendfile(a->fd, other->fd, &from, op->len - done));
}

static void op_copy_range(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	loff_t from = (loff_t)op->off, to = (loff_t)op->off;
	uint64_t done = 0;

	memcpy(a->want + op->off, other->want + op->off, op->len);
	while (done < op->len)
		done += (uint64_t)HZ_DO(copy_file_range(other->fd, &from, a->fd, &to, op->len - done, 0));
}

/* The file's own bytes, from its mapping, written back to it one block further. */
static void op_write_self(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	uint8_t *m = mmap(NULL, a->size, PROT_READ, MAP_SHARED, a->fd, 0);

	(void)other;
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	if (pwrite(a->fd, m + op->off, op->len, (off_t)(op->off + op->len)) != (ssize_t)op->len)
		hz_fail("write from its own mapping: %m");
	memcpy(a->want + op->off + op->len, a->want + op->off, op->len);
	munmap(m, a->size);
}

static void store(struct hz_file *a, uint8_t *map, const struct op *op)
{
	uint64_t off;

	renew(a, op->off, op->len);
	/* By words where there are whole ones. */
	for (off = op->off; off < op->off + op->len; off += off % 8 || op->off + op->len - off < 8 ? 1 : 8) {
		if (off % 8 || op->off + op->len - off < 8)
			*(volatile uint8_t *)(map + off) = a->want[off];
		else
			*(volatile uint64_t *)(void *)(map + off) = *(const uint64_t *)(const void *)(a->want + off);
	}
}

static void op_store(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	uint8_t *m;

	(void)other;
	m = mmap(NULL, a->cap, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	store(a, m, op);
	munmap(m, a->cap);
}

/* Through the mapping that was read before; where there is none, one that is read now. */
static void op_store_after_read(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	(void)other;
	if (!a->map) {
		hz_map(a);
		hz_touch(a);
	}
	store(a, a->map, op);
}

/* A store by the kernel: read(2) into the mapping. */
static void op_store_by_kernel(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	uint8_t *m = a->map;

	(void)other;
	if (!m) {
		m = mmap(NULL, a->cap, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
	}
	memcpy(a->want + op->off, other->want + op->off, op->len);
	if (pread(other->fd, m + op->off, op->len, (off_t)op->off) != (ssize_t)op->len)
		hz_fail("read into the mapping: %m");
	if (m != a->map)
		munmap(m, a->cap);
}

static void op_direct(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	int fd = hz_open_direct(a);

	(void)other;
	renew(a, op->off, op->len);
	/* Aligned memory: the model is a mapping, off and len are multiples of a sector. */
	if (pwrite(fd, a->want + op->off, op->len, (off_t)op->off) != (ssize_t)op->len)
		hz_fail("direct write: %m");
	close(fd);
}

static void op_aio(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	int fd = hz_open_direct(a);

	(void)other;
	renew(a, op->off, op->len);
	hz_aio_write(fd, a->want + op->off, op->len, op->off);
	close(fd);
}

static void op_direct_uring(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	int fd = hz_open_direct(a);
	struct hz_file d = *a;

	d.fd = fd;
	op_write_uring(op, &d, other);
	close(fd);
}

/* mode: 0 or fsync afterwards by the caller's stages; len: the new size */
static void op_truncate(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	(void)other;
	HZ_DO(ftruncate(a->fd, (off_t)op->len));
	hz_want_size(a, op->len);
}

/* What was cut off must not come back when the file grows again. */
static void op_truncate_twice(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	uint64_t size = a->size;

	op_truncate(op, a, other);
	HZ_DO(ftruncate(a->fd, (off_t)size));
	hz_want_size(a, size);
}

static void op_fallocate(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	(void)other;
	if (fallocate(a->fd, op->mode, (off_t)op->off, (off_t)op->len)) {
		if (errno == EOPNOTSUPP)
			hz_skip("no fallocate mode %#x here", op->mode);
		hz_fail("fallocate mode %#x: %m", op->mode);
	}
	if (op->mode & FALLOC_FL_COLLAPSE_RANGE) {
		memmove(a->want + op->off, a->want + op->off + op->len, a->size - op->off - op->len);
		a->size -= op->len;
	} else if (op->mode & FALLOC_FL_INSERT_RANGE) {
		memmove(a->want + op->off + op->len, a->want + op->off, a->size - op->off);
		hz_want_zero(a, op->off, op->len);
		a->size += op->len;
	} else if (op->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		hz_want_zero(a, op->off, op->len);
	} else if (!(op->mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE)) && op->off + op->len > a->size) {
		hz_want_size(a, op->off + op->len);
	}
}

static void op_collapse_insert(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct op o = *op;

	o.mode = FALLOC_FL_COLLAPSE_RANGE;
	op_fallocate(&o, a, other);
	if (a->map)
		hz_touch(a);
	o.mode = FALLOC_FL_INSERT_RANGE;
	op_fallocate(&o, a, other);
}

static void op_clone_over(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	(void)op;
	HZ_DO(ioctl(a->fd, FICLONE, other->fd));
	memcpy(a->want, other->want, other->size);
	a->size = other->size;
}

/* To a block further on, so that no index fits its old one. */
static void op_clone_range_over(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct file_clone_range r = { .src_fd = other->fd, .src_offset = op->off, .src_length = op->len, .dest_offset = op->off + HZ_PAGE };

	HZ_DO(ioctl(a->fd, FICLONERANGE, &r));
	memcpy(a->want + r.dest_offset, other->want + op->off, op->len);
}

/* Blocks of the file itself, to another place of it. */
static void op_clone_self(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct file_clone_range r = { .src_fd = a->fd, .src_offset = op->off, .src_length = op->len, .dest_offset = op->off + op->len };

	(void)other;
	HZ_DO(ioctl(a->fd, FICLONERANGE, &r));
	memcpy(a->want + op->off + op->len, a->want + op->off, op->len);
}

/* The blocks change, the bytes do not; then the range is written. */
static void op_dedupe(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct file_dedupe_range *r = calloc(1, sizeof(*r) + sizeof(r->info[0]));

	memcpy(a->want + op->off, other->want + op->off, op->len);
	if (pwrite(a->fd, a->want + op->off, op->len, (off_t)op->off) != (ssize_t)op->len || fsync(a->fd))
		hz_fail("write: %m");
	if (a->map)
		hz_touch(a);
	r->src_offset = op->off;
	r->src_length = op->len;
	r->dest_count = 1;
	r->info[0].dest_fd = a->fd;
	r->info[0].dest_offset = op->off;
	HZ_DO(ioctl(other->fd, FIDEDUPERANGE, r));
	if (r->info[0].status || r->info[0].bytes_deduped != op->len)
		hz_fail("dedupe: status %d, %llu bytes", r->info[0].status, (unsigned long long)r->info[0].bytes_deduped);
	free(r);
	hz_check(a, HZ_READ | HZ_OLD_MAP, "deduped");
	renew(a, op->off + HZ_PAGE, HZ_PAGE);
	if (pwrite(a->fd, a->want + op->off + HZ_PAGE, HZ_PAGE, (off_t)op->off + HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
}

static void swap_models(struct hz_file *a, struct hz_file *b)
{
	uint8_t *tmp = malloc(a->cap);

	if (!tmp)
		hz_fail("no memory");
	memcpy(tmp, a->want, a->cap);
	memcpy(a->want, b->want, a->cap);
	memcpy(b->want, tmp, a->cap);
	free(tmp);
}

static void op_swapext(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct xfs_swapext sx = { .target = a->fd, .tmp = other->fd, .length = (int64_t)a->size };
	struct xfs_bulkreq req = {};
	uint64_t ino;
	struct stat st;

	(void)op;
	/* It refuses files with changes on the way, and the temporary file must have nothing cached. */
	HZ_DO(fsync(a->fd));
	HZ_DO(fsync(other->fd));
	HZ_DO(posix_fadvise(other->fd, 0, 0, POSIX_FADV_DONTNEED));
	HZ_DO(fstat(a->fd, &st));
	ino = st.st_ino;
	req.lastip = &ino;
	req.icount = 1;
	req.buffer = &sx.stat;
	HZ_DO(ioctl(a->fd, XFS_BULKSTAT_SINGLE, &req));
	if (ioctl(a->fd, XFS_SWAPEXT, &sx))
		hz_skip("swapext: %m");
	swap_models(a, other);
}

static void op_exchange(const struct op *op, struct hz_file *a, struct hz_file *other)
{
	struct xfs_exchange x = { .file1_fd = other->fd, .file1_offset = op->off, .file2_offset = op->off, .length = op->len,
				    .flags = XFS_EXCHANGE_DSYNC };
	uint8_t *tmp;

	if (ioctl(a->fd, XFS_EXCHANGE_RANGE, &x)) {
		if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL)
			hz_skip("exchange-range: %m (mkfs.xfs -i exchange=1)");
		hz_fail("exchange-range: %m");
	}
	tmp = malloc(op->len);
	if (!tmp)
		hz_fail("no memory");
	memcpy(tmp, a->want + op->off, op->len);
	memcpy(a->want + op->off, other->want + op->off, op->len);
	memcpy(other->want + op->off, tmp, op->len);
	free(tmp);
}

/* --- the matrix ---------------------------------------------------------------------------------------------------------- */

/* SINGLY: mapped, and no fault-around, which hides what the fault handler itself decides about a resident page. */
enum warmth { COLD, OTHERS, READ, MAPPED, SINGLY, WARMTHS };
static const char *const warmths[] = { "cold", "others cached", "cached", "mapped", "mapped singly" };

struct family {
	struct hz_file a, b, c, golden;		/* clones; a changes */
	struct hz_file other, other2;		/* a second family: source of what is put over a */
	struct hz_file *all[6];
};

static void make_family(struct family *f)
{
	hz_create(&f->golden, "golden", 1, BLOCKS);
	hz_clone(&f->a, &f->golden, "a");
	hz_clone(&f->b, &f->golden, "b");
	hz_clone(&f->c, &f->golden, "c");
	hz_create(&f->other, "other", 2, BLOCKS);
	hz_clone(&f->other2, &f->other, "other2");
	f->all[0] = &f->a;
	f->all[1] = &f->b;
	f->all[2] = &f->c;
	f->all[3] = &f->golden;
	f->all[4] = &f->other;
	f->all[5] = &f->other2;
	hz_cold();
}

static void warm(struct family *f, enum warmth w)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		if (w == OTHERS && i)
			hz_cache(f->all[i]);
		if (w == READ)
			hz_cache(f->all[i]);
		if (w >= MAPPED || (w == OTHERS && i == 1)) {
			hz_map(f->all[i]);
			hz_touch(f->all[i]);
		}
	}
}

static void check_all(struct family *f, unsigned int ways, const char *state, const char *when)
{
	char stage[80];
	unsigned int i;

	snprintf(stage, sizeof(stage), "%s, %s", state, when);
	for (i = 0; i < 6; i++)
		hz_check(f->all[i], ways, stage);
}

static void cow(const void *arg)
{
	const struct op *op = arg;
	struct family f;
	unsigned int i;
	int w;

	for (w = COLD; w < WARMTHS; w++) {
		make_family(&f);
		if (w == SINGLY)
			fault_around_set(hz.ctx, AROUND_OFF);
		warm(&f, (enum warmth)w);
		op->fn(op, &f.a, &f.other);
		check_all(&f, HZ_OLD_MAP, warmths[w], "mappings at once");
		check_all(&f, HZ_CACHED, warmths[w], "at once");
		hz_check_shared(&f.all[1], 3, warmths[w]);
		sync();
		check_all(&f, HZ_CACHED, warmths[w], "written back");
		hz_cold();
		check_all(&f, HZ_OLD_MAP | HZ_READ, warmths[w], "written back and dropped");
		for (i = 0; i < 6; i++)
			hz_unmap(f.all[i]);
		hz_cold();
		check_all(&f, HZ_DIRECT, warmths[w], "on disk");
		check_all(&f, HZ_READ | HZ_NEW_MAP, warmths[w], "read back");
		hz_check_shared(&f.all[1], 3, "read back");
		for (i = 0; i < 6; i++)
			hz_unlink(f.all[i]);
	}
}

/* Two files of one family change the same block at different times: each has its own, the rest the old one. */
static void cow_twice(const void *arg)
{
	struct family f;
	unsigned int i, b;

	(void)arg;
	make_family(&f);
	warm(&f, MAPPED);
	for (b = 0; b < 40; b += 4) {
		hz_want_block(&f.a, b, 9, b, 2);
		memcpy(f.a.map + b * HZ_PAGE, f.a.want + b * HZ_PAGE, HZ_PAGE);
		hz_check(&f.b, HZ_OLD_MAP, "a changed");
		hz_want_block(&f.b, b, 8, b, 3);
		if (pwrite(f.b.fd, f.b.want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
		hz_check(&f.a, HZ_OLD_MAP, "b changed");
		hz_check(&f.c, HZ_OLD_MAP, "a and b changed");
	}
	check_all(&f, HZ_CACHED, "mapped", "at once");
	hz_cold_mapped(f.all, 6);
	check_all(&f, HZ_CACHED, "mapped", "dropped");
	/* And the break is shared on: a clone of the changed file. */
	for (i = 0; i < 6; i++)
		hz_unmap(f.all[i]);
	hz_unlink(&f.c);
	hz_clone(&f.c, &f.a, "c2");
	hz_cold();
	check_all(&f, HZ_CACHED, "cloned again", "cold");
	if (hz.sharing) {
		struct hz_file *two[] = { &f.a, &f.c };

		hz_check_shared(two, 2, "clone of the changed file");
	}
}

/* A mapping with huge alignment over many blocks of which one is broken: the rest can still be reclaimed, and nothing is lost. */
static void cow_one_of_many(const void *arg)
{
	const unsigned int blocks = 1536;
	struct hz_file a, b;
	unsigned int i, j, left;

	(void)arg;
	hz_create(&a, "a", 1, blocks);
	hz_clone(&b, &a, "b");
	hz_cold();
	hz_map(&a);
	hz_map(&b);
	hz_touch(&a);
	hz_touch(&b);
	for (i = 0; i < 3; i++) {
		unsigned int blk = 17 + i * 512;

		hz_want_block(&a, blk, 9, blk, 2);
		a.map[blk * HZ_PAGE] = a.want[blk * HZ_PAGE];
		memcpy(a.map + blk * HZ_PAGE, a.want + blk * HZ_PAGE, HZ_PAGE);
		HZ_DO(fsync(a.fd));
		hz_put("/proc/sys/vm/compact_memory", "1");
		/* MADV_PAGEOUT goes for no page that is mapped twice. */
		for (j = 0, left = blocks; j < 20 && left > blocks / 2 && hz_reclaim(64); j++)
			for (left = 0, blk = 0; blk < blocks; blk++)
				left += hz_mapped(b.map + blk * HZ_PAGE) != 0;
		if (j && left > blocks / 2)
			hz_fail("%u of %u pages are still mapped after reclaim", left, blocks);
		hz_check(&a, HZ_OLD_MAP, "one block changed");
		hz_check(&b, HZ_OLD_MAP, "one block changed in the other");
	}
	hz_check(&a, HZ_ALL, "all changed");
	hz_check(&b, HZ_ALL, "all changed");
}

#define OP(...)	.fn = cow, .arg = &(const struct op){ __VA_ARGS__ }
#define BLK(n)	((n) * (uint64_t)HZ_PAGE)

/*
 * Two blocks of one extent, one after the other: while the first is being written back, and what maps it is being unmapped, the second is written.
 * The window is made longer where the kernel offers that.
 */
static void write_back_first(void *arg)
{
	struct hz_file *f = arg;

	HZ_DO(pwrite(f->fd, f->want, HZ_PAGE, 0));
	HZ_DO(fsync(f->fd));
}

static void neighbours(const void *arg)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_publish_zap";
	struct hz_file a, b;
	unsigned int round;
	uint64_t v;
	pid_t pid;

	(void)arg;
	for (round = 0; round < 3; round++) {
		hz_create(&a, "a", 1, 8);
		hz_clone(&b, &a, "b");
		hz_map(&b);
		hz_touch(&b);
		hz_want_block(&b, 0, 1, 0, 2);
		hz_want_block(&b, 1, 1, 1, 2);
		hz_put(delay, "600");
		pid = hz_fork(write_back_first, &b);
		usleep(200000 + round * 150000);
		HZ_DO(pwrite(b.fd, b.want + HZ_PAGE, HZ_PAGE, HZ_PAGE));
		/* write(2) has returned: no mapping may show the old data. */
		if (!hz_peek(b.map + HZ_PAGE, &v) || v != hz_word(1, 1, 2))
			hz_fail("old data in a shared mapping after write(2) next to a block that is being written back");
		if (!hz_peek(b.priv + HZ_PAGE, &v) || v != hz_word(1, 1, 2))
			hz_fail("old data in a private mapping after write(2) next to a block that is being written back");
		hz_put(delay, "0");
		hz_join(pid);
		hz_check(&b, HZ_ALL, "afterwards");
		hz_check(&a, HZ_ALL, "the other file");
		hz_unlink(&a);
		hz_unlink(&b);
	}
}

struct slow_read {
	const struct hz_file *f;
	uint64_t *done;		/* shared: the read is over */
};

static void read_slowly(void *arg)
{
	const struct slow_read *s = arg;
	uint64_t v;

	HZ_DO(pread(s->f->fd, &v, sizeof(v), 5 * HZ_PAGE));
	if (v != hz_word(1, 5, 1))
		hz_fail("a clone that was not written shows %016llx", (unsigned long long)v);
	__atomic_store_n(s->done, 1, __ATOMIC_SEQ_CST);
}

/* A part of a block is written while the rest of it, which the writer wants from the cache, is being read there for another clone. */
static void being_read(const void *arg)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_insert_read";
	struct slow_read s = { .done = hz_shared_memory(HZ_PAGE) };
	unsigned int round, met = 0;
	struct hz_file a, b;
	bool slow = false;
	pid_t pid;

	(void)arg;
	for (round = 0; round < 4; round++) {
		hz_create(&a, "a", 1, 8);
		hz_clone(&b, &a, "b");
		hz_cold();
		s.f = &a;
		*s.done = 0;
		slow = hz_put(delay, "600");
		pid = hz_fork(read_slowly, &s);
		usleep(200000);
		met += !__atomic_load_n(s.done, __ATOMIC_SEQ_CST);
		memset(b.want + 5 * HZ_PAGE + 1000, 0x55, 100);
		if (round % 2) {
			hz_map(&b);
			memset(b.map + 5 * HZ_PAGE + 1000, 0x55, 100);
		} else {
			HZ_DO(pwrite(b.fd, b.want + 5 * HZ_PAGE + 1000, 100, 5 * HZ_PAGE + 1000));
		}
		hz_check(&b, HZ_READ | HZ_OLD_MAP, "written");
		hz_put(delay, "0");
		hz_join(pid);
		hz_check(&b, HZ_ALL, "afterwards");
		hz_check(&a, HZ_ALL, "the other file");
		hz_unlink(&a);
		hz_unlink(&b);
	}
	if (hz.sharing && slow && !met)
		hz_fail("no write has met a read: this test tests nothing");
}

struct first_fault {
	const struct hz_file *f;
	uint64_t *written;	/* shared: the write has returned */
};

static void fault_first(void *arg)
{
	const struct first_fault *t = arg;
	uint64_t v;

	/* Old or new. */
	hz_peek(t->f->map, &v);
	while (!__atomic_load_n(t->written, __ATOMIC_SEQ_CST))
		usleep(1000);
	if (!hz_peek(t->f->map, &v) || v != hz_word(1, 0, 2))
		hz_fail("old data in a mapping whose first fault was going on while write(2) came");
}

struct fault_window {
	const char *delay;	/* makes the window longer where the kernel offers that */
	unsigned int blocks;
	bool used;		/* the end of the file has been touched through the mapping */
};

/*
 * A block whose extent is cached, and that no reverse map leads to yet, is written while its first fault is going on: the fault has found no page
 * of the file's own, or it has found the cached one.
 */
static void first_fault(const void *arg)
{
	struct first_fault t = { .written = hz_shared_memory(HZ_PAGE) };
	const struct fault_window *w = arg;
	struct hz_file a, b;
	unsigned int round;
	uint64_t v;
	pid_t pid;

	for (round = 0; round < 3; round++) {
		hz_create(&a, "a", 1, w->blocks);
		hz_clone(&b, &a, "b");
		hz_cache(&a);
		hz_map(&b);
		if (w->used && !hz_peek(b.map + b.size - HZ_PAGE, &v))
			hz_fail("SIGBUS in the last page");
		t.f = &b;
		*t.written = 0;
		hz_want_block(&b, 0, 1, 0, 2);
		hz_put(w->delay, "400");
		pid = hz_fork(fault_first, &t);
		usleep(100000 + round * 100000);
		HZ_DO(pwrite(b.fd, b.want, HZ_PAGE, 0));
		usleep(500000);
		__atomic_store_n(t.written, 1, __ATOMIC_SEQ_CST);
		hz_put(w->delay, "0");
		hz_join(pid);
		hz_check(&b, HZ_ALL, "afterwards");
		hz_check(&a, HZ_ALL, "the other file");
		hz_unlink(&a);
		hz_unlink(&b);
	}
}

#define DELAY(name)	"/sys/module/shcache/parameters/delay_" name
#define WINDOW(...)	.fn = first_fault, .arg = &(const struct fault_window){ __VA_ARGS__ }

const struct hz_test hz_cow_tests[] = {
	{ "cow-write-1", "write(2) of one byte", OP(op_write, BLK(5) + 100, 1, 0) },
	{ "cow-write-first", "write(2) of the file's first block", OP(op_write, 0, BLK(1), 0) },
	{ "cow-write-4k", "write(2) of one block", OP(op_write, BLK(7), BLK(1), 0) },
	{ "cow-write-unaligned", "write(2) across blocks", OP(op_write, BLK(9) + 1000, 6000, 0) },
	{ "cow-write-1m", "write(2) of 1 MiB", OP(op_write, BLK(10), MIB, 0) },
	{ "cow-write-append", "write(2) from the last block on", OP(op_write, BLK(BLOCKS - 1) + 5, BLK(3), 0) },
	{ "cow-write-behind", "write(2) behind the end", OP(op_write, BLK(BLOCKS + 10), 17, 0) },
	{ "cow-write-small", "many small writes", OP(op_write_small, BLK(30) + 3, BLK(40), 0) },
	{ "cow-write-nowait", "pwritev2(RWF_NOWAIT)", OP(op_write_nowait, BLK(20) + 10, BLK(2), 0) },
	{ "cow-write-nowait-blocks", "pwritev2(RWF_NOWAIT) of whole blocks", OP(op_write_nowait, BLK(20), BLK(2), 0) },
	{ "cow-write-uring", "io_uring write", OP(op_write_uring, BLK(20) + 10, BLK(9), 0) },
	{ "cow-write-splice", "splice into the file", OP(op_splice, BLK(20), BLK(9), 0) },
	{ "cow-write-sendfile", "sendfile into the file", OP(op_sendfile, BLK(20) + 100, BLK(9), 0) },
	{ "cow-write-copy-range", "copy_file_range", OP(op_copy_range, BLK(20), BLK(9), 0) },
	{ "cow-write-self", "write(2) from the file's own mapping", OP(op_write_self, BLK(20), BLK(9), 0) },
	{ "cow-write-neighbour", "write(2) next to a block that is being written back", 0, neighbours, NULL },
	{ "cow-write-being-read", "a part of a block that is being read through another clone", .fn = being_read },
	{ "cow-write-first-fault", "write(2) during the first fault on a file", WINDOW(DELAY("found_mark"), 8, false) },
	/* More than one ref can cover, so that the end of the file leads to its end only. */
	{ "cow-write-fault", "write(2) during the first fault on a block of a file in use", WINDOW(DELAY("test_ref"), 2048, true) },
	{ "cow-store-1", "a store of a byte through MAP_SHARED", OP(op_store, BLK(5) + 100, 1, 0) },
	{ "cow-store-first", "a store to the file's first block", OP(op_store_after_read, 16, 8, 0) },
	{ "cow-store-many", "stores to many blocks", OP(op_store, BLK(30) + 8, BLK(50), 0) },
	{ "cow-store-after-read", "a store where the page was read before", OP(op_store_after_read, BLK(30), BLK(40), 0) },
	{ "cow-store-by-kernel", "read(2) into the mapping", OP(op_store_by_kernel, BLK(30) + 50, BLK(20), 0) },
	{ "cow-direct-first", "O_DIRECT write of the file's first block", OP(op_direct, 0, BLK(1), 0) },
	{ "cow-direct-512", "O_DIRECT write of a sector", OP(op_direct, BLK(11) + 512, 512, 0) },
	{ "cow-direct-4k", "O_DIRECT write of a block", OP(op_direct, BLK(11), BLK(1), 0) },
	{ "cow-direct-1m", "O_DIRECT write of 1 MiB", OP(op_direct, BLK(11), MIB, 0) },
	{ "cow-direct-aio", "O_DIRECT write by AIO", OP(op_aio, BLK(11), BLK(20), 0) },
	{ "cow-direct-uring", "O_DIRECT write by io_uring", OP(op_direct_uring, BLK(11), BLK(20), 0) },
	{ "cow-truncate-0", "truncate to nothing", OP(op_truncate, 0, 0, 0) },
	{ "cow-truncate-down", "truncate at a block", OP(op_truncate, 0, BLK(100), 0) },
	{ "cow-truncate-partial", "truncate within a block", OP(op_truncate, 0, BLK(100) + 1234, 0) },
	{ "cow-truncate-up", "truncate to more", OP(op_truncate, 0, BLK(BLOCKS + 20) + 1, 0) },
	{ "cow-truncate-regrow", "truncate down and up", OP(op_truncate_twice, 0, BLK(50) + 77, 0) },
	{ "cow-punch", "punch hole", OP(op_fallocate, BLK(40), BLK(30), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) },
	{ "cow-punch-partial", "punch hole within blocks",
	  OP(op_fallocate, BLK(40) + 100, BLK(3), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) },
	{ "cow-zero", "zero range", OP(op_fallocate, BLK(40), BLK(30), FALLOC_FL_ZERO_RANGE) },
	{ "cow-zero-partial", "zero range within blocks", OP(op_fallocate, BLK(40) + 100, BLK(3), FALLOC_FL_ZERO_RANGE) },
	{ "cow-collapse", "collapse range", OP(op_fallocate, BLK(40), BLK(30), FALLOC_FL_COLLAPSE_RANGE), .needs = HZ_XFS },
	{ "cow-insert", "insert range", OP(op_fallocate, BLK(40), BLK(30), FALLOC_FL_INSERT_RANGE), .needs = HZ_XFS },
	{ "cow-collapse-insert", "collapse, then insert", OP(op_collapse_insert, BLK(40), BLK(30), 0), .needs = HZ_XFS },
	{ "cow-unshare", "unshare range", OP(op_fallocate, BLK(40), BLK(30), FALLOC_FL_UNSHARE_RANGE), .needs = HZ_XFS },
	{ "cow-unshare-all", "unshare everything", OP(op_fallocate, 0, BLK(BLOCKS), FALLOC_FL_UNSHARE_RANGE), .needs = HZ_XFS },
	{ "cow-prealloc", "fallocate over data and behind the end", OP(op_fallocate, BLK(200), BLK(BLOCKS - 180), 0) },
	{ "cow-clone-over", "FICLONE of another file over it", OP(op_clone_over, 0, 0, 0) },
	{ "cow-clone-range-over", "FICLONERANGE over a part of it", OP(op_clone_range_over, BLK(40), BLK(30), 0) },
	{ "cow-clone-self", "FICLONERANGE within the file", OP(op_clone_self, BLK(40), BLK(30), 0) },
	{ "cow-dedupe", "dedupe of a written range, then a write", OP(op_dedupe, BLK(40), BLK(30), 0) },
	{ "cow-swapext", "the swapext ioctl", OP(op_swapext, 0, 0, 0), .needs = HZ_XFS },
	{ "cow-exchange", "the exchange-range ioctl", OP(op_exchange, BLK(40), BLK(30), 0), .needs = HZ_XFS },
	{ "cow-twice", "two clones change the same blocks", .fn = cow_twice },
	{ "cow-one-of-many", "one block of 2 MiB breaks, the others are compacted and paged out", .fn = cow_one_of_many },
	{ NULL, NULL, 0, NULL, NULL }
};
