// SPDX-License-Identifier: GPL-2.0
/*
 * The first write into a clone: what breaking the sharing costs in time, frames, device reads and disk space.
 *
 * One cell is a way of writing, a state of the page cache, a distance between the pages written, and a number of sharers n:
 * golden, n - 2 clones that are never written, and a fresh clone that is. n = 1 is the control: a file of the same content that
 * shares nothing. In mode reflink the clones are single files made by FICLONE; in the other modes whole trees, so that a
 * snapshot's shared metadata and overlayfs's copy-up (which happens in open) are part of the cost.
 *
 *   way        write-1, write-4k, write-1m    pwrite() of one byte, a page, 1 MiB
 *              mmap-1                         store of one byte through MAP_SHARED
 *              direct-4k, direct-1m           pwrite() with O_DIRECT
 *   state      cold    nothing cached
 *              other   golden is cached, the written clone is not
 *              warm    both are
 *   stride     one operation every so many pages; 1 MiB ways take the whole file
 *
 *   "cow"            histogram, ns per operation         "cow_open"     ns, opening the clone for writing
 *   "cow_fsync"      ns per operation, fsync() afterwards: writeback and block remapping are not in "cow"
 *   "cow_read_io"    bytes read from the device during the operations
 *   "cow_frames"     page-cache pages gained, per page written
 *   "cow_footprint"  page-cache pages of golden and the clone together (and metadata in nr_file_pages) after the operations
 *   "cow_disk"       bytes of file system space taken, per byte of the pages written
 *
 * Verified in each cell: the writer sees exactly its bytes, before and after writeback and from the device; golden and a choice
 * of sharers are unchanged; at the end of each n all of them are (check "content"). Each store through MAP_SHARED must be one
 * fault, each write none (check "fault-count").
 *
 * Limits: block allocation is the file system's (XFS reserves 128 KiB around a COW write by its cowextsize hint: seen in cow_disk at
 * stride 32). O_DIRECT on a cached file also pays for the invalidation of what is cached.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "pick.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MIB		(1u << 20)
#define MAX_LIST	16
#define MAX_SHARERS	4096
/* Sharers that are compared in each cell; all of them are at the end of each n. */
#define SPOT_CHECKS	4

enum how { PWRITE, STORE, DIRECT };

static const struct way {
	const char *name;
	enum how how;
	unsigned int bytes;
} ways[] = {
	{ "write-1",	PWRITE, 1 },
	{ "write-4k",	PWRITE, PAGE },
	{ "write-1m",	PWRITE, MIB },
	{ "mmap-1",	STORE,  1 },
	{ "direct-4k",	DIRECT, PAGE },
	{ "direct-1m",	DIRECT, MIB },
};

static const struct temp {
	const char *name;
	bool golden, own;		/* what is read before */
} temps[] = {
	{ "cold", false, false },
	{ "other", true, false },
	{ "warm", true, true },
};

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	struct hist *h;
	bool single;			/* clones are single files */
	const char *rel;		/* the file, relative to a root */
	uint64_t bytes;
	const unsigned char *data;	/* golden's content */
	unsigned char *want;		/* the written clone's */
	unsigned char *src;		/* what is written: resident, page aligned */
	unsigned char *buf;
	unsigned int *sharers;		/* tree clones that are never written */
	unsigned int nr_sharers;
	uint64_t done, total;
};

struct cell {
	const struct way *way;
	const struct temp *temp;
	uint64_t n, stride;
};

static int write_whole(struct state *s, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err = 0;

	if (fd < 0)
		return wl_fail(s->ctx, -errno, "create %s: %s", path, strerror(errno));
	if (pwrite(fd, s->data, s->bytes, 0) != (ssize_t)s->bytes || fsync(fd))
		err = wl_fail(s->ctx, -EIO, "write %s: %s", path, strerror(errno));
	close(fd);
	return err;
}

static void golden_path(struct state *s, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", tree_golden(s->t), s->rel);
}

static void sharer_path(struct state *s, unsigned int k, char path[PATH_MAX])
{
	if (s->single)
		snprintf(path, PATH_MAX, TREE_MNT "/sharer%04u", k);
	else
		snprintf(path, PATH_MAX, "%s/%s", tree_root(s->t, s->sharers[k]), s->rel);
}

/* A fresh clone in the manner of the mode; its path, which is name for a single file, and its number in the tree otherwise. */
static int clone_one(struct state *s, const char *name, char path[PATH_MAX], unsigned int *index)
{
	char golden[PATH_MAX];
	int err;

	if (s->single) {
		golden_path(s, golden);
		snprintf(path, PATH_MAX, "%s", name);
		err = tree_reflink(golden, path);
		if (!err)
			sync();
	} else {
		*index = s->t->clones;
		err = tree_clone_to(s->t, s->t->clones + 1);
		if (!err)
			snprintf(path, PATH_MAX, "%s/%s", tree_root(s->t, *index), s->rel);
	}
	return err ? wl_fail(s->ctx, err, "cannot clone for %s", name) : 0;
}

static int sharers_to(struct state *s, unsigned int n)
{
	char path[PATH_MAX], name[64];
	int err = 0;

	while (s->nr_sharers < n && !err) {
		snprintf(name, sizeof(name), TREE_MNT "/sharer%04u", s->nr_sharers);
		err = clone_one(s, name, path, &s->sharers[s->nr_sharers]);
		s->nr_sharers += !err;
	}
	return err;
}

static bool file_is(struct state *s, const char *path, const unsigned char *want)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same;

	if (fd < 0)
		return false;
	same = pread(fd, s->buf, s->bytes, 0) == (ssize_t)s->bytes && !memcmp(s->buf, want, s->bytes);
	close(fd);
	return same;
}

static uint64_t free_bytes(void)
{
	struct statfs sf;

	sync();
	if (statfs(TREE_MNT, &sf))
		return 0;
	return (uint64_t)sf.f_bfree * sf.f_bsize;
}

/* The measured operations. Returns how many there were; *bad if a write was short. */
static __attribute__((noinline)) uint64_t write_ops(struct state *s, const struct cell *c, int fd, unsigned char *map, bool *bad)
{
	uint64_t step = c->way->bytes == MIB ? MIB : c->stride * PAGE, off, t0, t1, ops = 0;
	struct wl_ctx *ctx = s->ctx;
	ssize_t n = c->way->bytes;

	for (off = 0; off + c->way->bytes <= s->bytes; off += step) {
		t0 = wl_begin(ctx);
		if (map)
			*(volatile unsigned char *)(map + off) = s->src[off];
		else
			n = pwrite(fd, s->src + off, c->way->bytes, off);
		t1 = wl_end(ctx);
		hist_add(s->h, t1 - t0);
		ops++;
		if (n != (ssize_t)c->way->bytes)
			*bad = true;
	}
	return ops;
}

/* The same on the expected content. */
static void expect_ops(struct state *s, const struct cell *c)
{
	uint64_t step = c->way->bytes == MIB ? MIB : c->stride * PAGE, off;

	memcpy(s->want, s->data, s->bytes);
	for (off = 0; off + c->way->bytes <= s->bytes; off += step)
		memcpy(s->want + off, s->src + off, c->way->bytes);
}

/* Golden and some sharers, evenly spread. */
static bool others_same(struct state *s)
{
	unsigned int i, k, checks = s->nr_sharers < SPOT_CHECKS ? s->nr_sharers : SPOT_CHECKS;
	char path[PATH_MAX];
	bool same;

	golden_path(s, path);
	same = file_is(s, path, s->data);
	for (i = 0; i < checks; i++) {
		k = (uint64_t)i * (s->nr_sharers - 1) / (checks > 1 ? checks - 1 : 1);
		sharer_path(s, k, path);
		same &= file_is(s, path, s->data);
	}
	return same;
}

/* Writes into the clone at path and reports; the caches are in the cell's state. base: file pages of the empty cache. */
static int measure(struct state *s, const struct cell *c, const char *path, uint64_t base)
{
	uint64_t t0, open_ns, fsync_ns, ops, pages, disk0, disk1;
	int fd, flags = O_RDWR | O_CLOEXEC | (c->way->how == DIRECT ? O_DIRECT : 0), err = 0;
	bool bad = false, same, others, counted;
	unsigned char *map = NULL;
	struct vmcount v0, v1;
	struct faults f0, f1;
	int64_t gained, footprint;

	disk0 = free_bytes();
	hist_init(s->h);
	expect_ops(s, c);
	vmcount_now(&v0);
	timing_quiet(s->ctx);
	t0 = wl_now(s->ctx);
	fd = open(path, flags);
	open_ns = wl_now(s->ctx) - t0;
	if (fd < 0)
		return wl_fail(s->ctx, -errno, "open %s: %s", path, strerror(errno));
	if (c->way->how == STORE) {
		map = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED) {
			close(fd);
			return wl_fail(s->ctx, -errno, "mmap %s: %s", path, strerror(errno));
		}
	}
	faults_now(&f0);
	timing_quiet(s->ctx);
	ops = write_ops(s, c, fd, map, &bad);
	faults_now(&f1);
	vmcount_now(&v1);
	timing_quiet(s->ctx);
	t0 = wl_now(s->ctx);
	if (fsync(fd))
		err = wl_fail(s->ctx, -errno, "fsync %s: %s", path, strerror(errno));
	fsync_ns = wl_now(s->ctx) - t0;
	disk1 = free_bytes();
	faults_sub(&f1, &f0);
	gained = (int64_t)(v1.file_pages - v0.file_pages);
	footprint = (int64_t)(v1.file_pages - base);
	pages = ops * (c->way->bytes < PAGE ? 1 : c->way->bytes / PAGE);
	if (bad && !err)
		err = wl_fail(s->ctx, -EIO, "short write to %s: %s", path, strerror(errno));

	/* In memory, through a mapping that exists; in memory; from the device. */
	same = !map || !memcmp(map, s->want, s->bytes);
	same &= file_is(s, path, s->want);
	others = others_same(s);
	if (map)
		munmap(map, s->bytes);
	close(fd);
	tree_drop_caches();
	same &= file_is(s, path, s->want);
	others &= others_same(s);
	counted = f1.minor + f1.major == (map ? ops : 0);
	if (err)
		return err;

#define COORDS "n=%llu way=%s state=%s stride=%llu"
#define ARGS (unsigned long long)c->n, c->way->name, c->temp->name, (unsigned long long)c->stride
	wl_hist(s->ctx, "cow", s->h, COORDS, ARGS);
	wl_sample(s->ctx, "cow_open", (double)open_ns, COORDS, ARGS);
	wl_sample(s->ctx, "cow_fsync", (double)fsync_ns / (double)ops, COORDS, ARGS);
	wl_sample(s->ctx, "cow_read_io", (double)(v1.read_bytes - v0.read_bytes), COORDS, ARGS);
	wl_sample(s->ctx, "cow_frames", (double)gained / (double)pages, COORDS, ARGS);
	wl_sample(s->ctx, "cow_footprint", (double)footprint, COORDS, ARGS);
	wl_sample(s->ctx, "cow_disk", (double)(int64_t)(disk0 - disk1) / (double)(pages * PAGE), COORDS, ARGS);
	wl_check(s->ctx, "content", same, "writer, " COORDS, ARGS);
	wl_check(s->ctx, "content", others, "golden and sharers, " COORDS, ARGS);
	wl_check(s->ctx, "fault-count", counted, COORDS ": %llu operations, %llu minor, %llu major", ARGS, (unsigned long long)ops,
		 (unsigned long long)f1.minor, (unsigned long long)f1.major);
#undef COORDS
#undef ARGS
	return 0;
}

static int run_cell(struct state *s, const struct cell *c)
{
	static const char name[] = TREE_MNT "/written";
	char path[PATH_MAX] = "", golden[PATH_MAX];
	struct vmcount base;
	unsigned int index;
	int err;

	if (c->n == 1)
		err = write_whole(s, strcpy(path, name));
	else
		err = clone_one(s, name, path, &index);
	if (err)
		return err;
	tree_drop_caches();
	vmcount_now(&base);
	golden_path(s, golden);
	if (c->temp->golden && c->n > 1 && !file_is(s, golden, s->data))
		return wl_fail(s->ctx, -EIO, "golden's content changed");
	if (c->temp->own && !file_is(s, path, s->data))
		return wl_fail(s->ctx, -EIO, "%s: a fresh clone differs from golden", path);
	err = measure(s, c, path, base.file_pages);
	if (unlink(path) && !err)
		err = wl_fail(s->ctx, -errno, "unlink %s: %s", path, strerror(errno));
	settle(TREE_MNT);
	wl_progress(s->ctx, ++s->done, s->total, "writing");
	return err;
}

/* All ways, states and strides with n sharers. count: only counts the cells. */
static int run_level(struct state *s, uint64_t n, const uint64_t *strides, unsigned int nr_strides, bool count)
{
	const char *want_ways = wl_str(s->ctx, "ways"), *want_temps = wl_str(s->ctx, "states");
	unsigned int w, t, i;
	int err = 0;

	for (t = 0; t < sizeof(temps) / sizeof(temps[0]); t++) {
		/* Without another file there is no third state. */
		if (!listed(want_temps, temps[t].name) || (n == 1 && temps[t].golden && !temps[t].own))
			continue;
		for (w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
			if (!listed(want_ways, ways[w].name))
				continue;
			for (i = 0; i < nr_strides && !err; i++) {
				struct cell c = { &ways[w], &temps[t], n, strides[i] };

				if (ways[w].bytes == MIB) {
					if (i)
						break;
					c.stride = 1;
				}
				if (count)
					s->total++;
				else
					err = run_cell(s, &c);
			}
		}
	}
	return err;
}

static int run(struct wl_ctx *ctx)
{
	static struct hist h;
	struct state s = { .ctx = ctx, .h = &h, .single = !strcmp(wl_mode(ctx), "reflink") };
	unsigned int i, k, nr_n, nr_strides, most = 0;
	uint64_t n[MAX_LIST], strides[MAX_LIST], seed = wl_seed(ctx);
	char path[PATH_MAX];
	struct pick p;
	bool same;
	int err;

	nr_n = wl_list(ctx, "n", n, MAX_LIST);
	nr_strides = wl_list(ctx, "stride", strides, MAX_LIST);
	for (i = 0; i < nr_n; i++) {
		if (!n[i] || n[i] > MAX_SHARERS || (i && n[i] <= n[i - 1]))
			return wl_fail(ctx, -EINVAL, "param n: ascending numbers in 1..%u", MAX_SHARERS);
		most = n[i];
	}
	for (i = 0; i < nr_strides; i++)
		if (!strides[i])
			return wl_fail(ctx, -EINVAL, "param stride: numbers from 1 on");
	err = tree_create(ctx, &s.t);
	if (!err)
		err = timing_begin(ctx);
	if (!err)
		err = fault_around_set(ctx, AROUND_DEFAULT);
	if (!err)
		err = pick_make(ctx, s.t, wl_u64(ctx, "pages"), MIB / PAGE, &p);
	if (err)
		return err;
	s.rel = p.files[0].path;
	s.bytes = p.files[0].pages * PAGE;
	s.data = p.data;
	s.want = resident_alloc(s.bytes);
	s.src = resident_alloc(s.bytes);
	s.buf = resident_alloc(s.bytes);
	s.sharers = resident_alloc(most * sizeof(*s.sharers) + 1);
	if (!s.want || !s.src || !s.buf || !s.sharers)
		return wl_fail(ctx, -ENOMEM, "no memory for buffers of %llu bytes", (unsigned long long)s.bytes);
	/* Every byte written differs from the one there. */
	for (i = 0; i < s.bytes; i++)
		s.src[i] = s.data[i] ^ (1 + (wl_rand(&seed) & 0x7f));

	for (i = 0; i < nr_n; i++)
		run_level(&s, n[i], strides, nr_strides, true);
	for (i = 0; i < nr_n && !err; i++) {
		err = n[i] > 2 ? sharers_to(&s, n[i] - 2) : 0;
		if (!err)
			err = run_level(&s, n[i], strides, nr_strides, false);
		for (k = 0, same = !err; k < s.nr_sharers && same; k++) {
			sharer_path(&s, k, path);
			same = file_is(&s, path, s.data);
		}
		if (!err)
			wl_check(ctx, "content", same, "all %u sharers after all writes, n=%llu", s.nr_sharers, (unsigned long long)n[i]);
	}
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "pages", "512", "pages of the file, which is the image's largest; multiple of 256" },
	{ "n", "1,8", "sharers, ascending; 1 = a file that shares nothing" },
	{ "stride", "1,32", "distances between written pages" },
	{ "ways", "all", "write-1, write-4k, write-1m, mmap-1, direct-4k, direct-1m" },
	{ "states", "cold,warm", "cold, other, warm, or all" },
	{ NULL, NULL, NULL }
};

/* The floors of bytes and pages leave room for metadata: the journal's place on the disk is not the same each time. */
static const struct wl_metric metrics[] = {
	{ "cow", "ns", WL_LOWER, 0.004, 10, "one first write into a clone" },
	{ "cow_open", "ns", WL_INFO, 0, 0, "opening the clone for writing (overlay: the copy-up)" },
	{ "cow_fsync", "ns", WL_LOWER, 0.1, 2000, "fsync() after the writes, per operation" },
	{ "cow_read_io", "bytes", WL_LOWER, 0.01, 65536, "bytes read from the device during the writes" },
	{ "cow_frames", "pages/page", WL_INFO, 0, 0, "page-cache pages gained per page written" },
	{ "cow_footprint", "pages", WL_LOWER, 0.01, 16, "page-cache pages of golden and the clone after the writes" },
	{ "cow_disk", "bytes/byte", WL_LOWER, 0.01, 0.05, "file system space taken per byte of the pages written" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_cow = {
	.name = "cow",
	.summary = "first write into a clone by write, mmap and O_DIRECT: time, frames, device reads, disk space",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_cow);
