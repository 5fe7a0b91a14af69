// SPDX-License-Identifier: GPL-2.0
/*
 * Sharing: every way to look at clones shows the right bytes, and, with the mount option, out of one set of frames.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"

#define BLOCKS	96u
#define CLONES	4u
/* File pages that come and go for other reasons. */
#define SLACK	12

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct set {
	struct hz_file golden, clone[CLONES];
	struct hz_file *all[CLONES + 1];
};

static void make_set(struct set *s, unsigned int blocks)
{
	char name[16];
	unsigned int k;

	hz_create(&s->golden, "golden", 1, blocks);
	s->all[0] = &s->golden;
	for (k = 0; k < CLONES; k++) {
		snprintf(name, sizeof(name), "clone%u", k);
		hz_clone(&s->clone[k], &s->golden, name);
		s->all[k + 1] = &s->clone[k];
	}
	hz_cold();
}

/* --- ways to read -------------------------------------------------------------------------------------------------------- */

static void by_read(const struct hz_file *f)
{
	hz_check(f, HZ_READ, "read");
}

/* Odd lengths at odd places. */
static void by_small_pread(const struct hz_file *f)
{
	uint8_t buf[5000];
	uint64_t off, len = 37;

	for (off = 0; off < f->size; off += len, len = (len * 7) % 4999 + 1) {
		uint64_t want = f->size - off < len ? f->size - off : len;

		if (pread(f->fd, buf, want, (off_t)off) != (ssize_t)want)
			hz_fail("pread of %llu bytes at %llu: %m", (unsigned long long)want, (unsigned long long)off);
		hz_compare(f, buf, off, want, "pread", "small");
	}
}

static void by_readv(const struct hz_file *f)
{
	uint8_t *buf = hz_buffer(f->size);
	const size_t parts[] = { 1, 4095, 4097, 100, 65536, 8192 };
	struct iovec v[6];
	uint64_t off = 0;
	ssize_t n;

	while (off < f->size) {
		uint64_t at = off;
		unsigned int i, k = 0;

		for (i = 0; i < 6 && at < f->size; i++, k++) {
			v[k].iov_base = buf + at;
			v[k].iov_len = f->size - at < parts[i] ? f->size - at : parts[i];
			at += v[k].iov_len;
		}
		n = preadv(f->fd, v, (int)k, (off_t)off);
		if (n != (ssize_t)(at - off))
			hz_fail("preadv at %llu: %zd of %llu (%m)", (unsigned long long)off, n, (unsigned long long)(at - off));
		off = at;
	}
	hz_compare(f, buf, 0, f->size, "preadv", "readv");
	munmap(buf, f->size);
}

/* RWF_NOWAIT may refuse; what it does return must be right, and what is cached it must return in the end. */
static void by_nowait(const struct hz_file *f)
{
	uint8_t buf[HZ_PAGE * 3];
	uint64_t off, n;
	ssize_t r;

	for (off = 0; off < f->size; off += n) {
		struct iovec v = { buf, f->size - off < sizeof(buf) ? f->size - off : sizeof(buf) };
		unsigned int tries;

		for (tries = 0; (r = preadv2(f->fd, &v, 1, (off_t)off, RWF_NOWAIT)) < 0; tries++) {
			if (errno == EOPNOTSUPP)
				hz_skip("no RWF_NOWAIT here");
			if (errno != EAGAIN)
				hz_fail("preadv2(RWF_NOWAIT) at %llu: %m", (unsigned long long)off);
			if (tries > 200)
				hz_fail("preadv2(RWF_NOWAIT) at %llu: EAGAIN 200 times although just read", (unsigned long long)off);
			if (pread(f->fd, buf, v.iov_len, (off_t)off) != (ssize_t)v.iov_len)
				hz_fail("pread at %llu: %m", (unsigned long long)off);
			memset(buf, 0, sizeof(buf));
		}
		if (!r)
			hz_fail("preadv2(RWF_NOWAIT) at %llu: end of file", (unsigned long long)off);
		n = (uint64_t)r;
		hz_compare(f, buf, off, n, "preadv2(RWF_NOWAIT)", "nowait");
	}
}

static void by_splice(const struct hz_file *f)
{
	uint8_t *buf = hz_buffer(65536);
	loff_t off = 0;
	int p[2];

	HZ_DO(pipe2(p, O_CLOEXEC));
	while ((uint64_t)off < f->size) {
		uint64_t at = (uint64_t)off;
		ssize_t n = HZ_DO(splice(f->fd, &off, p[1], NULL, 50000, 0)), got = 0;

		if (!n)
			hz_fail("splice at %llu: end of file", (unsigned long long)at);
		while (got < n)
			got += HZ_DO(read(p[0], buf + got, (size_t)(n - got)));
		hz_compare(f, buf, at, (uint64_t)n, "splice", "splice");
	}
	close(p[0]);
	close(p[1]);
	munmap(buf, 65536);
}

static void by_sendfile(const struct hz_file *f)
{
	uint8_t *buf = hz_buffer(f->size);
	int to = HZ_DO(memfd_create("sendfile", MFD_CLOEXEC));
	off_t off = 0;

	while ((uint64_t)off < f->size)
		if (!HZ_DO(sendfile(to, f->fd, &off, f->size)))
			hz_fail("sendfile at %lld: end of file", (long long)off);
	if (pread(to, buf, f->size, 0) != (ssize_t)f->size)
		hz_fail("read back: %m");
	hz_compare(f, buf, 0, f->size, "sendfile", "sendfile");
	close(to);
	munmap(buf, f->size);
}

static void map_all(const struct hz_file *f, int flags, int advice)
{
	uint64_t len = (f->size + HZ_PAGE - 1) & ~(uint64_t)(HZ_PAGE - 1);
	uint8_t *m = mmap(NULL, len, PROT_READ, flags, f->fd, 0);

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	if (advice >= 0 && madvise(m, len, advice)) {
		if (errno == EINVAL)
			hz_skip("no madvise(%d) here", advice);
		hz_fail("madvise(%d): %m", advice);
	}
	hz_compare(f, m, 0, f->size, "mmap", "mapped");
	munmap(m, len);
}

static void by_map_shared(const struct hz_file *f)
{
	map_all(f, MAP_SHARED, -1);
}

static void by_map_private(const struct hz_file *f)
{
	map_all(f, MAP_PRIVATE, -1);
}

static void by_map_populate(const struct hz_file *f)
{
	map_all(f, MAP_SHARED | MAP_POPULATE, -1);
}

static void by_madv_populate(const struct hz_file *f)
{
	map_all(f, MAP_SHARED, MADV_POPULATE_READ);
}

static void by_willneed(const struct hz_file *f)
{
	map_all(f, MAP_SHARED, MADV_WILLNEED);
}

static void by_sequential(const struct hz_file *f)
{
	map_all(f, MAP_PRIVATE, MADV_SEQUENTIAL);
}

static void by_random(const struct hz_file *f)
{
	map_all(f, MAP_SHARED, MADV_RANDOM);
}

/* From the end to the beginning, in steps that fault-around does not cover. */
static void by_backwards(const struct hz_file *f)
{
	uint64_t off, step, v;
	uint8_t *m = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	for (step = 0; step < 17; step++)
		for (off = step * HZ_PAGE; off < f->size; off += 17 * HZ_PAGE)
			if (!hz_peek(m + (f->size - HZ_PAGE - off), &v))
				hz_fail("SIGBUS");
	hz_compare(f, m, 0, f->size, "mmap", "backwards");
	munmap(m, f->size);
}

static void by_readahead(const struct hz_file *f)
{
	HZ_DO(readahead(f->fd, 0, f->size));
	HZ_DO(posix_fadvise(f->fd, 0, (off_t)f->size, POSIX_FADV_WILLNEED));
	hz_check(f, HZ_READ, "readahead");
}

static void by_uring(const struct hz_file *f)
{
	uint8_t *buf = hz_buffer(f->size);
	struct ring r;
	uint64_t off = 0;

	if (!ring_open(&r))
		hz_skip("no io_uring here");
	while (off < f->size) {
		int n = ring_io(&r, IORING_OP_READ, f->fd, buf + off, f->size - off < 40000 ? (unsigned int)(f->size - off) : 40000, off, 0, -1);

		if (n <= 0)
			hz_fail("io_uring read at %llu: %d", (unsigned long long)off, n);
		off += (uint64_t)n;
	}
	hz_compare(f, buf, 0, f->size, "io_uring", "io_uring");
	munmap(buf, f->size);
	close(r.fd);
}

static void by_direct(const struct hz_file *f)
{
	hz_check(f, HZ_DIRECT, "direct");
	hz_check(f, HZ_READ, "read after direct");
}

/* A mapping of a cached block by a system call's user copy, not by the CPU: get_user_pages and the like. */
static void by_write_from_map(const struct hz_file *f)
{
	uint8_t *m = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, f->fd, 0), *buf = hz_buffer(f->size);
	int to = HZ_DO(memfd_create("copy", MFD_CLOEXEC)), p[2];
	uint64_t off;

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	if (write(to, m, f->size) != (ssize_t)f->size || pread(to, buf, f->size, 0) != (ssize_t)f->size)
		hz_fail("write from a mapping: %m");
	hz_compare(f, buf, 0, f->size, "write from its mapping", "mapped");
	HZ_DO(pipe2(p, O_CLOEXEC));
	for (off = 0; off < f->size; off += HZ_PAGE) {
		struct iovec v = { m + off, HZ_PAGE };

		if (HZ_DO(vmsplice(p[1], &v, 1, 0)) != HZ_PAGE || HZ_DO(read(p[0], buf, HZ_PAGE)) != HZ_PAGE)
			hz_fail("vmsplice: short");
		hz_compare(f, buf, off, HZ_PAGE, "vmsplice of its mapping", "mapped");
	}
	close(p[0]);
	close(p[1]);
	close(to);
	munmap(m, f->size);
	munmap(buf, f->size);
}

struct way {
	void (*fn)(const struct hz_file *f);
};

static void read_ways(const void *arg)
{
	const struct way *way = arg;
	long long before, after;
	struct set s;
	unsigned int k, round;

	make_set(&s, BLOCKS);
	for (round = 0; round < 2; round++) {
		before = hz_file_pages();
		for (k = 0; k <= CLONES; k++)
			way->fn(s.all[k]);
		after = hz_file_pages();
		if (hz.sharing && after - before > BLOCKS + SLACK)
			hz_fail("%u files of the same %u blocks made %lld pages cached", CLONES + 1, BLOCKS, after - before);
		hz_check_shared(s.all, CLONES + 1, "afterwards");
		hz_cold();
	}
}

#define WAY(by)	.fn = read_ways, .arg = &(const struct way){ by }

/* --- programs ------------------------------------------------------------------------------------------------------------ */

static void copy_self(const char *to)
{
	int in = HZ_DO(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), out = HZ_DO(open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0755));
	char buf[65536];
	ssize_t n;

	while ((n = HZ_DO(read(in, buf, sizeof(buf)))) > 0)
		if (write(out, buf, (size_t)n) != n)
			hz_fail("write %s: %m", to);
	HZ_DO(fsync(out));
	close(in);
	close(out);
}

/* Runs the agent at path for its description; hash of what it says. */
static uint64_t run_self(const char *path)
{
	uint64_t h = 14695981039346656037u;
	unsigned char buf[4096];
	int p[2], status;
	ssize_t n, i;
	pid_t pid;

	HZ_DO(pipe2(p, O_CLOEXEC));
	pid = HZ_DO(fork());
	if (!pid) {
		dup2(p[1], 1);
		execl(path, path, "--describe", NULL);
		_exit(127);
	}
	close(p[1]);
	while ((n = read(p[0], buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++)
			h = (h ^ buf[i]) * 1099511628211u;
	close(p[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		hz_fail("%s --describe ended with status %#x", path, status);
	return h;
}

static void exec_clones(const void *arg)
{
	char golden[160], path[160], name[16];
	long long before, one = 0, all = 0;
	uint64_t want = 0;
	struct stat st;
	unsigned int k;
	int src;

	(void)arg;
	hz_path(golden, sizeof(golden), "program");
	copy_self(golden);
	src = HZ_DO(open(golden, O_RDONLY | O_CLOEXEC));
	for (k = 0; k < CLONES; k++) {
		int fd;

		snprintf(name, sizeof(name), "program%u", k);
		hz_path(path, sizeof(path), name);
		fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755));
		HZ_DO(ioctl(fd, FICLONE, src));
		close(fd);
	}
	HZ_DO(fstat(src, &st));
	close(src);
	hz_cold();
	before = hz_file_pages();
	for (k = 0; k < CLONES; k++) {
		uint64_t h;

		snprintf(name, sizeof(name), "program%u", k);
		hz_path(path, sizeof(path), name);
		h = run_self(path);
		if (!k) {
			want = h;
			one = hz_file_pages() - before;
		} else if (h != want) {
			hz_fail("clone %u of the program says something else than the first", k);
		}
	}
	all = hz_file_pages() - before;
	if (hz.sharing && all > st.st_size / HZ_PAGE + SLACK)
		hz_fail("a program of %lld pages: its first clone cached %lld, %u clones %lld pages", (long long)st.st_size / HZ_PAGE, one, CLONES,
			all);
}

/* --- what is shared with what -------------------------------------------------------------------------------------------- */

/* Frame of one block, through a new mapping that stays. */
static uint64_t frame_of(const struct hz_file *f, unsigned int block)
{
	uint8_t *m = mmap(NULL, HZ_PAGE, PROT_READ, MAP_SHARED, f->fd, (off_t)block * HZ_PAGE);

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	return hz_pfn(m);
}

static void expect_same_frame(const struct hz_file *a, unsigned int x, const struct hz_file *b, unsigned int y, bool same)
{
	if (hz.sharing && (frame_of(a, x) == frame_of(b, y)) != same)
		hz_fail("block %u of %s and block %u of %s are %sin one frame", x, strrchr(a->path, '/') + 1, y, strrchr(b->path, '/') + 1,
			same ? "not " : "");
}

static void check_both(const struct hz_file *a, const struct hz_file *b, const char *stage)
{
	hz_check(a, HZ_CACHED, stage);
	hz_check(b, HZ_CACHED, stage);
	hz_check(a, HZ_CACHED, stage);
}

static void at_other_offset(const void *arg)
{
	struct hz_file a, b;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	hz_create(&b, "b", 2, BLOCKS);
	hz_clone_range(&a, 10, 20, &b, 50);
	hz_clone_range(&a, 40, 7, &b, 3);
	hz_cold();
	hz_map(&a);
	hz_map(&b);
	check_both(&a, &b, "cold");
	expect_same_frame(&a, 10, &b, 50, true);
	expect_same_frame(&a, 29, &b, 69, true);
	expect_same_frame(&a, 46, &b, 9, true);
	expect_same_frame(&a, 50, &b, 50, false);
	hz_unmap(&a);
	hz_unmap(&b);
	hz_cold();
	check_both(&b, &a, "other order");
}

static void deduped(const void *arg)
{
	struct file_dedupe_range *r = calloc(1, sizeof(*r) + sizeof(r->info[0]));
	struct hz_file a, b;
	unsigned int i;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	hz_create(&b, "b", 2, BLOCKS);
	for (i = 0; i < 16; i++) {
		hz_want_block(&b, 40 + i, 1, 8 + i, 1);
		if (pwrite(b.fd, b.want + (40 + i) * HZ_PAGE, HZ_PAGE, (40 + i) * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
	}
	HZ_DO(fsync(b.fd));
	hz_map(&a);
	hz_map(&b);
	hz_touch(&a);
	hz_touch(&b);
	r->src_offset = 8 * HZ_PAGE;
	r->src_length = 16 * HZ_PAGE;
	r->dest_count = 1;
	r->info[0].dest_fd = b.fd;
	r->info[0].dest_offset = 40 * HZ_PAGE;
	HZ_DO(ioctl(a.fd, FIDEDUPERANGE, r));
	if (r->info[0].status || r->info[0].bytes_deduped != 16 * HZ_PAGE)
		hz_fail("dedupe: status %d, %llu bytes", r->info[0].status, (unsigned long long)r->info[0].bytes_deduped);
	check_both(&a, &b, "deduped");
	/* The comparison has read both into their own caches. */
	expect_same_frame(&a, 8, &b, 40, true);
	expect_same_frame(&a, 23, &b, 55, true);
	hz_unmap(&a);
	hz_unmap(&b);
	hz_cold();
	check_both(&a, &b, "cold");
	expect_same_frame(&a, 8, &b, 40, true);
	expect_same_frame(&a, 23, &b, 55, true);
	free(r);
}

/* Every third block of the clone is its own. */
static void partly_private(const void *arg)
{
	struct hz_file a, b, *all[] = { &a, &b };
	unsigned int i;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	hz_clone(&b, &a, "b");
	for (i = 0; i < BLOCKS; i += 3) {
		hz_want_block(&b, i, 2, i, 2);
		if (pwrite(b.fd, b.want + i * HZ_PAGE, HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
	}
	check_both(&a, &b, "written");
	hz_cold();
	check_both(&a, &b, "cold");
	hz_map(&a);
	hz_map(&b);
	hz_touch(&b);
	hz_touch(&a);
	check_both(&a, &b, "mapped");
	if (hz.sharing) {
		unsigned int frames = hz_unique(all, 2), want = BLOCKS + (BLOCKS + 2) / 3;

		if (frames > want)
			hz_fail("%u frames, but only %u different blocks", frames, want);
	}
}

/* Alternating owners at the size of an extent: look-ups cross from shared to private and back within one read. */
static void mixed_reads(const void *arg)
{
	struct hz_file a, b, c;
	unsigned int i;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	hz_create(&b, "b", 2, BLOCKS);
	hz_clone(&c, &a, "c");
	for (i = 0; i + 8 <= BLOCKS; i += 16)
		hz_clone_range(&b, i, 8, &c, i);
	for (i = 4; i < BLOCKS; i += 16) {
		hz_want_block(&c, i, 3, i, 7);
		if (pwrite(c.fd, c.want + i * HZ_PAGE, HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
	}
	/* A hole and blocks that are allocated but not written. */
	HZ_DO(fallocate(c.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 30 * HZ_PAGE, 2 * HZ_PAGE));
	hz_want_zero(&c, 30 * HZ_PAGE, 2 * HZ_PAGE);
	HZ_DO(fallocate(c.fd, 0, 30 * HZ_PAGE, HZ_PAGE));
	hz_cold();
	by_small_pread(&c);
	hz_cold();
	by_readv(&c);
	hz_cold();
	by_splice(&c);
	by_nowait(&c);
	hz_cold();
	by_backwards(&c);
	check_both(&a, &c, "mixed");
	check_both(&b, &c, "mixed");
}

static void same_block_twice(const void *arg)
{
	struct hz_file a;
	unsigned int i;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	for (i = 0; i < 5; i++)
		hz_clone_range(&a, 2, 3, &a, 20 + i * 7);
	hz_cold();
	hz_map(&a);
	hz_check(&a, HZ_ALL, "cold");
	expect_same_frame(&a, 2, &a, 20, true);
	expect_same_frame(&a, 3, &a, 28, true);
	hz_want_block(&a, 21, 1, 21, 9);
	if (pwrite(a.fd, a.want + 21 * HZ_PAGE, HZ_PAGE, 21 * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
	hz_check(&a, HZ_CACHED, "one of them written");
	hz_want_block(&a, 3, 1, 3, 10);
	memcpy(a.map + 3 * HZ_PAGE, a.want + 3 * HZ_PAGE, HZ_PAGE);
	hz_check(&a, HZ_CACHED, "another one stored to");
	hz_cold();
	hz_check(&a, HZ_CACHED, "cold again");
}

/* The block that the file ends in: shared between files of the same size; then the sizes part. */
static void end_of_file(const void *arg)
{
	static const uint64_t tails[] = { 1, 100, 511, 2048, 4095 };
	struct hz_file a, b, c;
	unsigned int i;

	(void)arg;
	for (i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		hz_create(&a, "a", 1, 20);
		hz_want_size(&a, 15 * HZ_PAGE + tails[i]);
		HZ_DO(ftruncate(a.fd, (off_t)a.size));
		hz_clone(&b, &a, "b");
		hz_clone(&c, &a, "c");
		hz_cold();
		hz_map(&a);
		hz_map(&b);
		check_both(&a, &b, "the same size");
		/* Longer by a hole, shorter within the block, longer by data. */
		hz_want_size(&b, 17 * HZ_PAGE + 5);
		HZ_DO(ftruncate(b.fd, (off_t)b.size));
		check_both(&a, &b, "b made longer");
		if (tails[i] > 50) {
			hz_want_size(&c, 15 * HZ_PAGE + 50);
			HZ_DO(ftruncate(c.fd, (off_t)c.size));
			check_both(&a, &c, "c made shorter");
			hz_want_size(&c, 15 * HZ_PAGE + 3000);
			HZ_DO(ftruncate(c.fd, (off_t)c.size));
			check_both(&a, &c, "c made shorter and longer");
		}
		HZ_DO(pwrite(a.fd, "x", 1, 18 * HZ_PAGE + 7));
		hz_want_size(&a, 18 * HZ_PAGE + 8);
		a.want[18 * HZ_PAGE + 7] = 'x';
		check_both(&a, &b, "a extended by a write");
		hz_unmap(&a);
		hz_unmap(&b);
		hz_cold();
		check_both(&a, &b, "cold");
		check_both(&b, &c, "cold");
		hz_unlink(&a);
		hz_unlink(&b);
		hz_unlink(&c);
	}
}

/* FICLONE when golden is cached: the copies that golden has, and those of the clones, must come to one in the end. */
static void second_copy(const void *arg)
{
	const bool mapped = *(const bool *)arg;
	struct hz_file golden, clone[3], *all[] = { &clone[0], &clone[1], &clone[2], &golden };
	long long before, after;
	unsigned int k;
	char name[16];

	/* What a batch of another CPU's LRU lists holds is not dropped. */
	timing_pin(0);
	hz_create(&golden, "golden", 1, BLOCKS);
	hz_cold();
	before = hz_file_pages();
	hz_cache(&golden);
	for (k = 0; k < 3; k++) {
		snprintf(name, sizeof(name), "clone%u", k);
		hz_clone(&clone[k], &golden, name);
	}
	for (k = 0; k < 4; k++) {
		if (mapped)
			by_map_shared(all[k]);
		else
			hz_check(all[k], HZ_READ, "read");
	}
	after = hz_file_pages();
	if (hz.sharing && after - before > BLOCKS + SLACK)
		hz_fail("golden and 3 clones of %u blocks have %lld pages cached", BLOCKS, after - before);
	hz_check_shared(all, 4, "afterwards");
}

/* Pages that the file is shown to have in the page cache. */
static unsigned int resident(const struct hz_file *f, bool by_cachestat)
{
	struct { uint64_t off, len; } range = { 0, f->size };
	struct { uint64_t cache, dirty, writeback, evicted, recently; } cs = {};
	unsigned char vec[2 * BLOCKS];
	unsigned int i, n = 0;
	uint8_t *m;

	if (by_cachestat) {
		if (syscall(SYS_cachestat, f->fd, &range, &cs, 0)) {
			if (errno == ENOSYS)
				hz_skip("no cachestat here");
			hz_fail("cachestat: %m");
		}
		return (unsigned int)cs.cache;
	}
	m = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
	if (m == MAP_FAILED || mincore(m, f->size, vec))
		hz_fail("mincore: %m");
	for (i = 0; i < f->size / HZ_PAGE; i++)
		n += vec[i] & 1;
	munmap(m, f->size);
	return n;
}

/* --- read-ahead ---------------------------------------------------------------------------------------------------------- */

/* More than any window of read-ahead, twice; and what follows, which read-ahead must not copy. */
#define HEAD_BLOCKS	2400u
#define TAIL_BLOCKS	1200u

/* Read-ahead of a long private piece ends where the piece ends, however it came there. */
static void long_private(const void *arg)
{
	bool mapped = *(const bool *)arg;
	struct hz_file golden, a, *tails[] = { &golden, &a };
	long long before, after;
	unsigned int i;

	timing_pin(0);
	hz_create(&golden, "golden", 1, HEAD_BLOCKS + TAIL_BLOCKS);
	hz_clone(&a, &golden, "a");
	for (i = 0; i < HEAD_BLOCKS; i++)
		hz_want_block(&a, i, 2, i, 1);
	if (pwrite(a.fd, a.want, HEAD_BLOCKS * HZ_PAGE, 0) != HEAD_BLOCKS * HZ_PAGE)
		hz_fail("write: %m");
	HZ_DO(fsync(a.fd));
	hz_cold();
	hz_cache(&golden);
	before = hz_file_pages();
	if (mapped)
		by_map_shared(&a);
	else
		hz_check(&a, HZ_READ, "read");
	after = hz_file_pages();
	if (hz.sharing && after - before > HEAD_BLOCKS + SLACK)
		hz_fail("a file with %u private and %u shared blocks has cached %lld pages of its own", HEAD_BLOCKS, TAIL_BLOCKS, after - before);
	hz_map(&golden);
	hz_map(&a);
	for (i = HEAD_BLOCKS; i < HEAD_BLOCKS + TAIL_BLOCKS; i += 7)
		expect_same_frame(tails[0], i, tails[1], i, true);
	hz_unmap(&golden);
	hz_unmap(&a);
	hz_check(&a, HZ_CACHED, "afterwards");
	hz_check(&golden, HZ_CACHED, "afterwards");
}

/* Blocks of one extent (what XFS allocates for copy-on-write at least), the extents that are private, and how much of them is read. */
#define RUN_BLOCKS	32u
#define RUNS		16u
#define READ_BLOCKS	(4 * RUN_BLOCKS)

/* Read-ahead of what is private goes on from extent to extent, and ends where something shared begins. */
static void private_ahead(const void *arg)
{
	const bool mapped = *(const bool *)arg;
	const unsigned int blocks = RUNS * RUN_BLOCKS, least = mapped ? RUN_BLOCKS * 3 / 2 : READ_BLOCKS + RUN_BLOCKS;
	struct fiemap_extent extents[HZ_EXTENTS];
	struct hz_file golden, a;
	unsigned int i, n;
	uint64_t word;

	hz_create(&golden, "golden", 1, blocks + TAIL_BLOCKS);
	hz_clone(&a, &golden, "a");
	for (i = 0; i < blocks; i++)
		hz_want_block(&a, i, 2, i, 1);
	/* Backwards, or they become one. */
	for (i = blocks; i; i -= RUN_BLOCKS) {
		const uint64_t off = (i - RUN_BLOCKS) * HZ_PAGE;

		if (pwrite(a.fd, a.want + off, RUN_BLOCKS * HZ_PAGE, (off_t)off) != RUN_BLOCKS * HZ_PAGE)
			hz_fail("write: %m");
		HZ_DO(fdatasync(a.fd));
	}
	n = hz_extents(a.fd, extents);
	if (n < RUNS)
		hz_fail("%u runs of blocks are in %u extents", RUNS, n);
	hz_cold();
	if (mapped) {
		hz_map(&a);
		if (!hz_peek(a.map, &word))
			hz_fail("SIGBUS");
	} else {
		for (i = 0; i < READ_BLOCKS; i++) {
			uint8_t buf[HZ_PAGE];

			if (pread(a.fd, buf, sizeof(buf), i * HZ_PAGE) != sizeof(buf))
				hz_fail("read: %m");
		}
	}
	n = resident(&a, true);
	if (n < least)
		hz_fail("%u pages cached, no more than %u had to be read", n, mapped ? 1 : READ_BLOCKS);
	hz_check(&a, HZ_READ, "whole");
	n = resident(&a, true);
	if (hz.sharing && n > blocks)
		hz_fail("a file with %u private blocks has %u pages in its own page cache", blocks, n);
	hz_check(&a, HZ_CACHED, "afterwards");
}

/* The largest hole that a file can have: sizes and offsets of all kinds come to their limits. */
static void largest_hole(const void *arg)
{
	uint8_t *buf = hz_buffer(3 * HZ_PAGE);
	struct hz_file a;
	unsigned int i;
	ssize_t n;

	(void)arg;
	hz_create(&a, "a", 1, 0);
	HZ_DO(ftruncate(a.fd, INT64_MAX));
	memset(buf, 0x5a, 3 * HZ_PAGE);
	n = HZ_DO(pread(a.fd, buf + HZ_PAGE, HZ_PAGE, 0));
	if (n != HZ_PAGE)
		hz_fail("read %zd bytes instead of a page", n);
	for (i = 0; i < 3 * HZ_PAGE; i++)
		if (buf[i] != (i / HZ_PAGE == 1 ? 0 : 0x5a))
			hz_fail("byte %u is %#x after a read of bytes %u to %u", i, buf[i], HZ_PAGE, 2 * HZ_PAGE - 1);
	HZ_DO(ftruncate(a.fd, 0));
}

/* --- overlayfs ----------------------------------------------------------------------------------------------------------- */

static void make_dir(char *dst, size_t cap, const char *name)
{
	hz_path(dst, cap, name);
	HZ_DO(mkdir(dst, 0755));
}

/* A container's root on overlayfs: its lower file is cached once with a clone of it; after copy-up it goes on sharing. */
static void overlay(const void *arg)
{
	char lower[160], upper[160], work[160], merged[160], opts[600];
	struct hz_file a, over = {}, *all[] = { &a, &over };
	uint8_t *old;

	(void)arg;
	make_dir(lower, sizeof(lower), "lower");
	make_dir(upper, sizeof(upper), "upper");
	make_dir(work, sizeof(work), "work");
	make_dir(merged, sizeof(merged), "merged");
	hz_create(&over, "lower/file", 1, BLOCKS);
	close(over.fd);
	hz_create(&a, "dummy", 9, 1);
	hz_unlink(&a);
	/* a: a clone of the lower file, outside of the overlay */
	over.fd = HZ_DO(open(over.path, O_RDWR | O_CLOEXEC));
	hz_clone(&a, &over, "a");
	close(over.fd);
	hz_cold();
	snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
	if (mount("overlay", merged, "overlay", 0, opts))
		hz_skip("no overlayfs here: %m");
	hz_path(over.path, sizeof(over.path), "merged/file");
	over.fd = HZ_DO(open(over.path, O_RDONLY | O_CLOEXEC));
	hz_check(&a, HZ_CACHED, "overlay");
	hz_check(&over, HZ_CACHED, "overlay");
	hz_check_shared(all, 2, "lower file through the overlay");
	old = mmap(NULL, over.size, PROT_READ, MAP_SHARED, over.fd, 0);
	if (old == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&over, old, 0, over.size, "mmap", "overlay");
	close(over.fd);
	/* Copy-up, by reflink on this file system. */
	over.fd = HZ_DO(open(over.path, O_RDWR | O_CLOEXEC));
	hz_check(&over, HZ_CACHED, "copied up");
	HZ_DO(fsync(over.fd));
	hz_cold();
	hz_check(&over, HZ_CACHED, "copied up, cold");
	hz_check(&a, HZ_CACHED, "copied up, cold");
	hz_check_shared(all, 2, "copied-up file");
	hz_want_block(&over, 5, 4, 5, 2);
	if (pwrite(over.fd, over.want + 5 * HZ_PAGE, HZ_PAGE, 5 * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
	hz_check(&over, HZ_CACHED, "written");
	hz_check(&a, HZ_CACHED, "written in the overlay");
	/* The old mapping is of the lower file, which nobody changed. */
	hz_compare(&a, old, 0, a.size, "old mapping of the lower file", "written in the overlay");
	munmap(old, over.size);
	hz_close(&over);
	HZ_DO(umount(merged));
}

/* --- what one file tells of another -------------------------------------------------------------------------------------- */

/* Another tenant's reads do not make blocks of this tenant's file look cached. */
static void tell_tale(const void *arg)
{
	const bool by_cachestat = *(const bool *)arg;
	struct hz_file a, b;
	unsigned int n;

	hz_create(&a, "a", 1, BLOCKS);
	hz_clone(&b, &a, "b");
	hz_cold();
	n = resident(&b, by_cachestat);
	if (n)
		hz_fail("%u blocks resident before anyone read", n);
	hz_map(&a);
	hz_touch(&a);
	hz_check(&a, HZ_CACHED, "read");
	n = resident(&b, by_cachestat);
	if (n)
		hz_fail("%u of %u blocks of a clone that nobody read are shown as resident", n, BLOCKS);
	hz_check(&b, HZ_CACHED, "read");
	hz_check_shared((struct hz_file *const []){ &a, &b }, 2, "read");
}

/* The last page of a mapping shows zeroes behind the end of the file, whatever the block has there. */
static void check_tail(const struct hz_file *f, const uint8_t *map, const char *stage)
{
	uint64_t i, end = (f->size + HZ_PAGE - 1) & ~(uint64_t)(HZ_PAGE - 1);

	for (i = f->size; i < end; i++)
		if (map[i])
			hz_fail("%s: byte %llu of a file of %llu is %#x", stage, (unsigned long long)i, (unsigned long long)f->size, map[i]);
}

/* Files that end inside of a block that once had more: cloned after that, and cut off while they are mapped. */
static void tail(const void *arg)
{
	/* The last one: all of the file's pages stay. */
	static const uint64_t cut[] = { 9 * HZ_PAGE + 3000, 8, HZ_PAGE - 8, 11 * HZ_PAGE + 100 };
	char name[16];
	unsigned int i;

	(void)arg;
	for (i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct hz_file golden, whole, cut_off;
		uint8_t *m;

		snprintf(name, sizeof(name), "golden%u", i);
		hz_create(&golden, name, 1, 12);
		snprintf(name, sizeof(name), "whole%u", i);
		hz_clone(&whole, &golden, name);
		HZ_DO(ftruncate(golden.fd, (off_t)cut[i]));
		hz_want_size(&golden, cut[i]);
		HZ_DO(fsync(golden.fd));
		snprintf(name, sizeof(name), "cut%u", i);
		hz_clone(&cut_off, &golden, name);
		hz_cold();
		hz_cache(&whole);
		m = mmap(NULL, cut_off.cap, PROT_READ, MAP_SHARED | MAP_POPULATE, cut_off.fd, 0);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
		check_tail(&cut_off, m, "populated");
		munmap(m, cut_off.cap);
		hz_map(&cut_off);
		hz_touch(&cut_off);
		check_tail(&cut_off, cut_off.map, "mapped");
		check_tail(&cut_off, cut_off.priv, "mapped private");
		hz_check(&cut_off, HZ_ALL, "ends inside of a block");

		/* And one that is mapped while it is cut off; then made longer again. */
		hz_map(&whole);
		hz_touch(&whole);
		HZ_DO(ftruncate(whole.fd, (off_t)cut[i]));
		hz_want_size(&whole, cut[i]);
		check_tail(&whole, whole.map, "cut off");
		check_tail(&whole, whole.priv, "cut off, private");
		hz_check(&whole, HZ_CACHED, "cut off");
		HZ_DO(ftruncate(whole.fd, 12 * HZ_PAGE));
		hz_want_size(&whole, 12 * HZ_PAGE);
		hz_check(&whole, HZ_CACHED, "longer again");
		hz_cold();
		hz_check(&whole, HZ_ALL, "longer again, cold");
		hz_close(&golden);
		hz_close(&whole);
		hz_close(&cut_off);
	}
}

/* --- behind the end ------------------------------------------------------------------------------------------------------ */

#define LATE_AT	100u	/* words that the last page has */

struct late_append {
	int fd;
	bool splice;
	/* shared: that the reader is through, bytes that he got, and the word behind the old end */
	struct late_seen {
		uint32_t done;
		ssize_t n;
		uint64_t word;
	} *seen;
};

static void late_reader(void *arg)
{
	const struct late_append *l = arg;
	loff_t off = HZ_PAGE;
	uint64_t v[HZ_WORDS];
	int p[2];

	timing_pin(1);
	if (l->splice) {
		HZ_DO(pipe(p));
		l->seen->n = HZ_DO(splice(l->fd, &off, p[1], NULL, HZ_PAGE, 0));
		if (read(p[0], v, sizeof(v)) != l->seen->n)
			hz_fail("read from the pipe: %m");
	} else {
		l->seen->n = HZ_DO(pread(l->fd, v, sizeof(v), off));
	}
	l->seen->word = v[LATE_AT];
	__atomic_store_n(&l->seen->done, 1, __ATOMIC_SEQ_CST);
}

/* Starts fn(l) with a delay of ms on its way, and returns in the midst of it. *slow: the kernel has the delay. */
static pid_t begin_late(const char *delay, unsigned int ms, void (*fn)(void *), struct late_append *l, int fd, bool *slow)
{
	char text[16];
	pid_t pid;

	l->fd = fd;
	memset(l->seen, 0, sizeof(*l->seen));
	snprintf(text, sizeof(text), "%u", ms);
	*slow = hz_put(delay, text);
	pid = hz_fork(fn, l);
	usleep(ms * 1000 / 2);
	/* For who comes now: the write looks for the page, too. */
	hz_put(delay, "0");
	return pid;
}

/*
 * A reader has found the shared page, and is then so slow that the file has become longer: he must not take what the shared page has behind
 * the old end for what has been appended.
 */
static void appended_late(const void *arg)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_found_doomed";
	struct late_append l = { .splice = *(const bool *)arg, .seen = hz_shared_memory(HZ_PAGE) };
	const uint64_t size = HZ_PAGE + LATE_AT * 8, word = hz_word(7, LATE_AT, 1);
	unsigned int ms, met = 0;
	struct hz_file golden, f;
	char text[64];
	bool slow = true;
	pid_t pid;

	/* The delay keeps a CPU busy, and nobody is let in. */
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		hz_skip("needs two CPUs");
	timing_pin(0);
	hz_create(&golden, "golden", 1, 2);
	HZ_DO(ftruncate(golden.fd, (off_t)size));
	hz_want_size(&golden, size);
	HZ_DO(fsync(golden.fd));
	for (ms = 200; slow && !met && ms < 4000; ms *= 2) {
		hz_clone(&f, &golden, "f");
		hz_cold();
		hz_cache(&f);
		pid = begin_late(delay, ms, late_reader, &l, f.fd, &slow);
		if (pwrite(f.fd, &word, 8, (off_t)size) != 8)
			hz_fail("append: %m");
		/* On XFS who appends waits for who reads, however slow he is. */
		met = hz.xfs || !__atomic_load_n(&l.seen->done, __ATOMIC_SEQ_CST);
		hz_join(pid);
		if (l.seen->n > LATE_AT * 8 && l.seen->word != word)
			hz_fail("what has been appended is %s", hz_word_text(l.seen->word, text, sizeof(text)));
		hz_unlink(&f);
	}
	if (slow && hz.sharing && !met)
		hz_fail("the reader was through before the file was longer: this test tests nothing");
}

static const bool by_read_late, by_splice_late = true;

static void late_storer(void *arg)
{
	const struct late_append *l = arg;
	uint8_t *m = mmap(NULL, 2 * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, l->fd, 0);
	unsigned int i;

	timing_pin(1);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	m[HZ_PAGE] = 1;
	__atomic_store_n(&l->seen->done, 1, __ATOMIC_SEQ_CST);
	for (i = LATE_AT * 8; i < HZ_PAGE; i++)
		if (m[HZ_PAGE + i])
			hz_fail("byte %u of the last page, behind the end of the file, is %#x in the copy of who has stored to it", i, m[HZ_PAGE + i]);
}

/*
 * The same with a store to a private mapping of the last page. btrfs leaves behind the end of a file what was there before it became shorter: the
 * copy must have zeroes there, also if the file becomes longer, far from there, while it is made.
 */
static void stored_late(const void *arg)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_test_ref";
	struct late_append l = { .seen = hz_shared_memory(HZ_PAGE) };
	const uint64_t size = HZ_PAGE + LATE_AT * 8, word = hz_word(7, 0, 1);
	struct hz_file golden, f;
	unsigned int ms, met = 0;
	bool slow = true;
	pid_t pid;

	(void)arg;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		hz_skip("needs two CPUs");
	timing_pin(0);
	hz_create(&golden, "golden", 1, 2);
	for (ms = 200; slow && !met && ms < 4000; ms *= 2) {
		hz_clone(&f, &golden, "f");
		HZ_DO(ftruncate(f.fd, (off_t)size));
		HZ_DO(fsync(f.fd));
		hz_cold();
		hz_cache(&golden);
		pid = begin_late(delay, ms, late_storer, &l, f.fd, &slow);
		if (pwrite(f.fd, &word, 8, 5 * HZ_PAGE) != 8)
			hz_fail("write behind the end: %m");
		met = !__atomic_load_n(&l.seen->done, __ATOMIC_SEQ_CST);
		hz_join(pid);
		hz_unlink(&f);
	}
	if (slow && hz.sharing && !met)
		hz_fail("the store was done before the file was longer: this test tests nothing");
}

/* Reads of nothing, and at places where nothing is: as of any file. */
static void odd_reads(const void *arg)
{
	static const struct {
		loff_t off;
		size_t len;
		int ret, err;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ 5, 0, 0, 0 },
		{ BLOCKS * HZ_PAGE, 0, 0, 0 },
		{ BLOCKS * HZ_PAGE, 8, 0, 0 },
		{ BLOCKS * HZ_PAGE - 3, 8, 3, 0 },
		{ 1ll << 50, 8, 0, 0 },
		{ INT64_MAX - 8, 8, 0, 0 },
		{ INT64_MAX, 0, 0, 0 },
		{ INT64_MAX - 7, 8, -1, EINVAL },
		{ -8, 8, -1, EINVAL },
	};
	struct hz_file own;
	unsigned int i, k;
	struct set s;
	void *nowhere;
	int p[2];

	(void)arg;
	make_set(&s, BLOCKS);
	HZ_DO(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	/* Cold, and with what there is cached. */
	for (k = 0; k < 2; k++) {
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint8_t buf[8];
			loff_t off = cases[i].off;
			ssize_t r;

			/* Not preadv(), which does not ask the file for nothing. */
			r = pread(s.clone[k].fd, buf, cases[i].len, off);
			if (r != cases[i].ret || (r < 0 && errno != cases[i].err))
				hz_fail("a read of %zu bytes at %lld returns %zd (%m)", cases[i].len, (long long)off, r);
			if (r > 0)
				hz_compare(&s.clone[k], buf, (uint64_t)off, (uint64_t)r, "pread", "odd");
			r = splice(s.clone[k].fd, &off, p[1], NULL, cases[i].len, 0);
			if (r != cases[i].ret || (r < 0 && errno != cases[i].err))
				hz_fail("a splice of %zu bytes at %lld returns %zd (%m)", cases[i].len, (long long)cases[i].off, r);
			if (r > 0 && read(p[0], buf, 8) != r)
				hz_fail("%zd bytes are not in the pipe", r);
		}
		by_read(&s.clone[k]);
	}
	hz_check_shared(s.all, CLONES + 1, "odd reads");
	/* To nowhere; of what is shared, and of a file that has its cached pages to itself. */
	hz_create(&own, "own", 2, BLOCKS);
	hz_cache(&own);
	nowhere = mmap(NULL, HZ_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (nowhere == MAP_FAILED)
		hz_fail("mmap: %m");
	if (pread(s.clone[0].fd, nowhere, 8, 0) >= 0 || errno != EFAULT)
		hz_fail("a read of a clone to an invalid address: %m");
	if (pread(own.fd, nowhere, 8, 0) >= 0 || errno != EFAULT)
		hz_fail("a read of a file to an invalid address: %m");
	by_read(&own);
	by_read(&s.clone[0]);
}

struct busy {
	struct hz_file *f;
	uint64_t *stop;		/* shared */
};

/* Appends, over and over, with the lock of the file held for a while each time. */
static void keep_busy(void *arg)
{
	const struct busy *b = arg;
	const size_t size = 1u << 20;
	uint8_t *block = hz_buffer(size);
	int fd = HZ_DO(open(b->f->path, O_WRONLY | O_CLOEXEC));

	memset(block, 0x42, size);
	while (!__atomic_load_n(b->stop, __ATOMIC_SEQ_CST)) {
		HZ_DO(pwrite(fd, block, size, (off_t)b->f->size));
		HZ_DO(ftruncate(fd, (off_t)b->f->size));
	}
	close(fd);
}

/* io_uring reads of a file that somebody else writes behind: they find its lock taken, and go on when they have it. */
static void uring_busy(const void *arg)
{
	struct busy b = { .stop = hz_shared_memory(HZ_PAGE) };
	uint8_t *buf = hz_buffer(BLOCKS * HZ_PAGE);
	unsigned int i;
	uint64_t end;
	struct set s;
	struct ring r;
	pid_t pid;

	(void)arg;
	if (!ring_open(&r))
		hz_skip("no io_uring here");
	make_set(&s, BLOCKS);
	by_read(&s.clone[0]);
	/* In pieces: shared, private, shared ... */
	for (i = 5; i < BLOCKS; i += 10) {
		hz_want_block(&s.clone[1], i, 2, i, 2);
		HZ_DO(pwrite(s.clone[1].fd, s.clone[1].want + i * HZ_PAGE, HZ_PAGE, (off_t)i * HZ_PAGE));
	}
	b.f = &s.clone[1];
	pid = hz_fork(keep_busy, &b);
	for (end = hz_ms() + 1000 * hz.seconds, i = 0; hz_ms() < end || i < 20; i++) {
		int n = ring_io(&r, IORING_OP_READ, s.clone[1].fd, buf, BLOCKS * HZ_PAGE, 0, 0, -1);

		if (n != BLOCKS * HZ_PAGE)
			hz_fail("io_uring read of %u bytes: %d", BLOCKS * HZ_PAGE, n);
		hz_compare(&s.clone[1], buf, 0, BLOCKS * HZ_PAGE, "io_uring", "busy");
	}
	*b.stop = 1;
	hz_join(pid);
	ring_close(&r);
	munmap(buf, BLOCKS * HZ_PAGE);
	hz_check(&s.clone[1], HZ_ALL, "busy");
	by_read(&s.clone[0]);
}

#define DEVICES		"/sys/class/bdi"
#define MAX_DEVICES	64u
/* Faults that find nothing in the cache, more than the kernel counts. */
#define MANY_BLOCKS	1100u

/* Without read-ahead, as storage with latencies of its own is set up: one page at a time, and one copy of it. */
static void no_readahead(const void *arg)
{
	char path[MAX_DEVICES][320], was[MAX_DEVICES][24];
	unsigned int n = 0, i;
	struct dirent *e;
	struct set s;
	uint8_t *m;
	DIR *d;

	(void)arg;
	d = opendir(DEVICES);
	if (!d)
		hz_fail("open " DEVICES ": %m");
	while ((e = readdir(d)) && n < MAX_DEVICES) {
		long long kb;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path[n], sizeof(path[n]), DEVICES "/%s/read_ahead_kb", e->d_name);
		kb = hz_stat(path[n], NULL);
		if (kb < 0 || !hz_put(path[n], "0"))
			continue;
		snprintf(was[n++], sizeof(was[0]), "%lld", kb);
	}
	closedir(d);
	if (!n)
		hz_fail("no device has a read_ahead_kb that can be set");
	/* It is taken over when a file is opened. */
	make_set(&s, MANY_BLOCKS);
	m = mmap(NULL, s.golden.size, PROT_READ, MAP_SHARED, s.clone[0].fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	for (i = MANY_BLOCKS; i--;)
		hz_compare(&s.clone[0], m + i * HZ_PAGE, i * HZ_PAGE, HZ_PAGE, "mmap", "backwards");
	munmap(m, s.golden.size);
	by_read(&s.clone[1]);
	hz_cold();
	by_splice(&s.clone[2]);
	hz_cold();
	by_read(&s.clone[3]);
	by_map_private(&s.clone[2]);
	hz_check_shared(s.all, CLONES + 1, "no read-ahead");
	/* And what is private. */
	for (i = 0; i < MANY_BLOCKS; i += 7)
		hz_want_block(&s.clone[0], i, 2, i, 2);
	if (pwrite(s.clone[0].fd, s.clone[0].want, s.clone[0].size, 0) != (ssize_t)s.clone[0].size)
		hz_fail("write: %m");
	hz_cold();
	by_backwards(&s.clone[0]);
	hz_cold();
	by_read(&s.clone[0]);
	by_read(&s.clone[1]);
	for (i = 0; i < n; i++)
		hz_put(path[i], was[i]);
}

const struct hz_test hz_share_tests[] = {
	{ "share-read", "read(2) of clones", WAY(by_read) },
	{ "share-pread", "reads of odd lengths at odd places", WAY(by_small_pread) },
	{ "share-readv", "preadv with uneven parts", WAY(by_readv) },
	{ "share-nowait", "preadv2(RWF_NOWAIT)", WAY(by_nowait) },
	{ "share-splice", "splice to a pipe", WAY(by_splice) },
	{ "share-sendfile", "sendfile", WAY(by_sendfile) },
	{ "share-mmap-shared", "MAP_SHARED", WAY(by_map_shared) },
	{ "share-mmap-private", "MAP_PRIVATE", WAY(by_map_private) },
	{ "share-map-populate", "MAP_POPULATE", WAY(by_map_populate) },
	{ "share-madv-populate", "MADV_POPULATE_READ", WAY(by_madv_populate) },
	{ "share-tail", "nothing is seen behind the end of a file", .fn = tail },
	{ "share-madv-willneed", "MADV_WILLNEED", WAY(by_willneed) },
	{ "share-madv-sequential", "MADV_SEQUENTIAL", WAY(by_sequential) },
	{ "share-madv-random", "MADV_RANDOM", WAY(by_random) },
	{ "share-backwards", "faults from the end in strides", WAY(by_backwards) },
	{ "share-readahead", "readahead(2) and POSIX_FADV_WILLNEED", WAY(by_readahead) },
	{ "share-io-uring", "io_uring buffered reads", WAY(by_uring) },
	{ "share-io-uring-busy", "io_uring reads beside writes", .fn = uring_busy },
	{ "share-direct-read", "O_DIRECT reads among buffered ones", WAY(by_direct) },
	{ "share-gup", "system calls that read from a mapping, vmsplice", WAY(by_write_from_map) },
	{ "share-exec", "clones of a program run, from one copy", .fn = exec_clones },
	{ "share-offset", "FICLONERANGE to another offset", .fn = at_other_offset },
	{ "share-dedupe", "FIDEDUPERANGE under mappings, at another offset", .fn = deduped },
	{ "share-partly-private", "a file of shared and private blocks", .fn = partly_private },
	{ "share-mixed-reads", "reads across shared, private, unwritten blocks and holes", .fn = mixed_reads },
	{ "share-same-block-twice", "one block at several places of a file", .fn = same_block_twice },
	{ "share-eof", "the shared last block under different sizes", .fn = end_of_file },
	{ "share-long-private-read", "read-ahead of what is private does not copy what is shared", .fn = long_private, .arg = &(const bool){ false } },
	{ "share-long-private-mmap", "the same through a mapping", .fn = long_private, .arg = &(const bool){ true } },
	{ "share-private-ahead-read", "read-ahead of what is private goes on from extent to extent", .fn = private_ahead, .arg = &(const bool){ false } },
	/* The window of XFS is no larger than an extent here. */
	{ "share-private-ahead-mmap", "the same through a mapping", HZ_BTRFS, .fn = private_ahead, .arg = &(const bool){ true } },
	{ "share-largest-hole", "a read at the start of a file of the largest size", .fn = largest_hole },
	{ "share-second-copy-read", "golden cached before it is cloned, then read: one copy", .fn = second_copy, .arg = &(const bool){ false } },
	{ "share-second-copy-mmap", "golden cached before it is cloned, then mapped: one copy", .fn = second_copy, .arg = &(const bool){ true } },
	{ "share-overlay", "overlayfs on top, and copy-up by reflink", .fn = overlay },
	{ "share-late-read", "read(2) that has begun before the file became longer", .fn = appended_late, .arg = &by_read_late },
	{ "share-late-splice", "splice that has begun before the file became longer", .fn = appended_late, .arg = &by_splice_late },
	{ "share-late-store", "a store to a private mapping that has begun before the file became longer", .fn = stored_late },
	{ "share-odd-reads", "reads of nothing, and where nothing is", .fn = odd_reads },
	{ "share-no-readahead", "a device without read-ahead", .fn = no_readahead },
	{ "share-mincore", "mincore tells nothing of what others read", .fn = tell_tale, .arg = &(const bool){ false } },
	{ "share-cachestat", "cachestat tells nothing of what others read", .fn = tell_tale, .arg = &(const bool){ true } },
	{ NULL, NULL, 0, NULL, NULL }
};
