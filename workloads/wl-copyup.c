// SPDX-License-Identifier: GPL-2.0
/*
 * overlayfs copies a whole file before its first byte can be written; a clone breaks the sharing of what is written. The same
 * operation, open(O_WRONLY) and a write of one byte, on files of several sizes: in mode overlay on a merged view whose lower
 * layer has the file, in mode reflink on a FICLONE of it.
 *
 * On a file system with reflinks overlayfs copies up by FICLONE when both layers are on it (param upper=same): nothing is copied,
 * but the upper file shares no page cache with the lower one. upper=tmpfs shows the copy by bytes that every other pair of
 * file systems makes. overlayfs also syncs the copy before it is used.
 *
 *   "copyup_open", "copyup_write"    ns: open(O_WRONLY), then pwrite() of one byte at offset 0
 *   "copyup_total"                   ns: both; what a container waits before its first changed byte
 *   "copyup_fsync"                   ns: fsync() afterwards
 *   "copyup_read", "copyup_written"  bytes read from and written to the device until the first byte is on it
 *   "copyup_disk"                    bytes of file system space taken (of the upper one)
 *   "copyup_frames"                  page-cache pages gained by open and write (upper=tmpfs: its pages included)
 *
 * state: cold (nothing cached) or warm (the lower file is). Verified each time: the changed file is right, the lower one
 * unchanged, in memory and after dropping the caches (check "content").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_SIZES	16
#define LOWER		TREE_MNT "/cu-lower"
#define MERGED		"/mnt/cu-merged"
#define TMPFS_UPPER	"/mnt/cu-upper"
#define CLONE		TREE_MNT "/cu-clone"
#define PATH_LEN	96	/* all names are made here */

struct state {
	struct wl_ctx *ctx;
	bool overlay, tmpfs;
	const char *upper;		/* file system that holds upper and work */
	unsigned char *data, *buf;	/* the lower file's content; as large as the largest file */
	uint64_t done, total;
};

static void lower_path(char path[PATH_LEN], uint64_t size)
{
	snprintf(path, PATH_LEN, LOWER "/f%llu", (unsigned long long)size);
}

/* The file that will be written, pristine: a merged view over an empty upper layer, or a clone. */
static int target_make(struct state *s, uint64_t size, char path[PATH_LEN])
{
	char lower[PATH_LEN], opts[256], dir[2][PATH_LEN];
	unsigned int i;
	int err;

	lower_path(lower, size);
	if (!s->overlay) {
		snprintf(path, PATH_LEN, "%s", CLONE);
		err = tree_reflink(lower, path);
		sync();
		return err ? wl_fail(s->ctx, err, "cannot clone %s", lower) : 0;
	}
	if (s->tmpfs && mount("tmpfs", TMPFS_UPPER, "tmpfs", 0, NULL))
		return wl_fail(s->ctx, -errno, "mount tmpfs on " TMPFS_UPPER ": %s", strerror(errno));
	/* New names each time: overlayfs leaves things of its own below work. */
	for (i = 0; i < 2; i++) {
		snprintf(dir[i], sizeof(dir[i]), "%s/%c%llu", s->upper, "uw"[i], (unsigned long long)s->done);
		if (mkdir(dir[i], 0755))
			return wl_fail(s->ctx, -errno, "mkdir %s: %s", dir[i], strerror(errno));
	}
	snprintf(opts, sizeof(opts), "lowerdir=" LOWER ",upperdir=%s,workdir=%s", dir[0], dir[1]);
	if (mount("overlay", MERGED, "overlay", 0, opts))
		return wl_fail(s->ctx, -errno, "mount overlay (%s): %s", opts, strerror(errno));
	snprintf(path, PATH_LEN, MERGED "%s", lower + strlen(LOWER));
	return 0;
}

static int target_drop(struct state *s, const char *path)
{
	int err = 0;

	if (unlink(path))
		err = wl_fail(s->ctx, -errno, "unlink %s: %s", path, strerror(errno));
	if (s->overlay && umount(MERGED) && !err)
		err = wl_fail(s->ctx, -errno, "umount " MERGED ": %s", strerror(errno));
	if (s->tmpfs && umount(TMPFS_UPPER) && !err)
		err = wl_fail(s->ctx, -errno, "umount " TMPFS_UPPER ": %s", strerror(errno));
	settle(TREE_MNT);
	return err;
}

static bool file_is(struct state *s, const char *path, uint64_t size, int first)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && (uint64_t)st.st_size == size && pread(fd, s->buf, size, 0) == (ssize_t)size &&
	       s->buf[0] == first && !memcmp(s->buf + 1, s->data + 1, size - 1);
	close(fd);
	return same;
}

static uint64_t free_bytes(const char *path)
{
	struct statfs sf;

	sync();
	if (statfs(path, &sf))
		return 0;
	return (uint64_t)sf.f_bfree * sf.f_bsize;
}

static int one(struct state *s, uint64_t size, bool warm)
{
	uint64_t t0, t1, t2, t3, t4, disk0, disk1;
	char path[PATH_LEN], lower[PATH_LEN];
	const char *temp = warm ? "warm" : "cold", *upper = !s->overlay ? "none" : s->tmpfs ? "tmpfs" : "same";
	unsigned char byte = s->data[0] ^ 0xff;
	struct vmcount v0, v1, v2;
	int fd, err, serr;
	ssize_t n;
	bool same;

	lower_path(lower, size);
	err = target_make(s, size, path);
	if (err)
		return err;
	tree_drop_caches();
	if (warm && !file_is(s, lower, size, s->data[0]))
		return wl_fail(s->ctx, -EIO, "%s: content changed", lower);
	disk0 = free_bytes(s->upper);
	vmcount_now(&v0);

	timing_quiet(s->ctx);
	t0 = wl_now(s->ctx);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	t1 = wl_now(s->ctx);
	n = fd < 0 ? -1 : pwrite(fd, &byte, 1, 0);
	t2 = wl_now(s->ctx);
	if (n != 1)
		return wl_fail(s->ctx, -errno, "write %s: %s", path, strerror(errno));

	vmcount_now(&v1);
	timing_quiet(s->ctx);
	t3 = wl_now(s->ctx);
	serr = fsync(fd) ? -errno : 0;
	t4 = wl_now(s->ctx);
	disk1 = free_bytes(s->upper);
	vmcount_now(&v2);
	close(fd);
	if (serr)
		return wl_fail(s->ctx, serr, "fsync %s: %s", path, strerror(-serr));

	same = file_is(s, path, size, byte) && file_is(s, lower, size, s->data[0]);
	tree_drop_caches();
	same &= file_is(s, path, size, byte) && file_is(s, lower, size, s->data[0]);

#define COORDS "size=%llu state=%s upper=%s"
#define ARGS (unsigned long long)size, temp, upper
	wl_sample(s->ctx, "copyup_open", (double)(t1 - t0), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_write", (double)(t2 - t1), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_total", (double)(t2 - t0), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_fsync", (double)(t4 - t3), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_read", (double)(v2.read_bytes - v0.read_bytes), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_written", (double)(v2.written_bytes - v0.written_bytes), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_disk", (double)(int64_t)(disk0 - disk1), COORDS, ARGS);
	wl_sample(s->ctx, "copyup_frames", (double)(int64_t)(v1.file_pages - v0.file_pages), COORDS, ARGS);
	wl_check(s->ctx, "content", same, COORDS, ARGS);
#undef COORDS
#undef ARGS
	err = target_drop(s, path);
	wl_progress(s->ctx, ++s->done, s->total, "copying up");
	return err;
}

static int run_size(struct state *s, uint64_t size, unsigned int reps)
{
	char lower[PATH_LEN];
	unsigned int rep;
	int fd, err;

	lower_path(lower, size);
	err = tree_make_file(lower, size, wl_seed(s->ctx) ^ size);
	if (err)
		return wl_fail(s->ctx, err, "cannot make %s", lower);
	fd = open(lower, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, s->data, size, 0) != (ssize_t)size)
		return wl_fail(s->ctx, -EIO, "read %s: %s", lower, strerror(errno));
	close(fd);
	for (rep = 0; rep < reps && !err; rep++) {
		err = one(s, size, false);
		if (!err)
			err = one(s, size, true);
	}
	/* Room for the next, larger one. */
	unlink(lower);
	settle(TREE_MNT);
	return err;
}

static int run(struct wl_ctx *ctx)
{
	struct state s = { .ctx = ctx, .overlay = !strcmp(wl_mode(ctx), "overlay") };
	uint64_t sizes[MAX_SIZES], largest = 0;
	unsigned int nr = wl_list(ctx, "sizes", sizes, MAX_SIZES), reps = wl_u64(ctx, "reps"), i;
	const char *upper = wl_str(ctx, "upper");
	struct tree *t;
	int err;

	if (!s.overlay && strcmp(wl_mode(ctx), "reflink"))
		return wl_skip(ctx, "modes overlay and reflink only");
	s.tmpfs = s.overlay && !strcmp(upper, "tmpfs");
	if (strcmp(upper, "same") && strcmp(upper, "tmpfs"))
		return wl_fail(ctx, -EINVAL, "param upper: same or tmpfs");
	for (i = 0; i < nr; i++) {
		if (!sizes[i])
			return wl_fail(ctx, -EINVAL, "param sizes: numbers of bytes from 1 on");
		largest = sizes[i] > largest ? sizes[i] : largest;
	}
	err = tree_create_empty(ctx, &t);
	if (!err)
		err = timing_begin(ctx);
	if (err)
		return err;
	s.upper = s.tmpfs ? TMPFS_UPPER : s.overlay ? TREE_MNT "/cu" : TREE_MNT;
	s.data = resident_alloc(largest);
	s.buf = resident_alloc(largest);
	if (!s.data || !s.buf)
		return wl_fail(ctx, -ENOMEM, "no memory for files of %llu bytes", (unsigned long long)largest);
	if (mkdir(LOWER, 0755) || (mkdir(MERGED, 0755) && errno != EEXIST) || (s.overlay && mkdir(s.upper, 0755) && errno != EEXIST))
		return wl_fail(ctx, -errno, "mkdir below " TREE_MNT ": %s", strerror(errno));
	s.total = (uint64_t)nr * reps * 2;
	for (i = 0; i < nr && !err; i++)
		err = run_size(&s, sizes[i], reps);
	return err ? err : tree_destroy(t);
}

static const struct wl_param params[] = {
	{ "sizes", "4k,64k,1M,4M", "file sizes in bytes" },
	{ "reps", "3", "repetitions, each cold and warm" },
	{ "upper", "same", "upper layer: same (file system as the lower one: copy-up by reflink), tmpfs (copy by bytes)" },
	{ NULL, NULL, NULL }
};

/* The floors of bytes and pages leave room for metadata: the journal's place on the disk is not the same each time. */
static const struct wl_metric metrics[] = {
	{ "copyup_open", "ns", WL_LOWER, 0.02, 500, "open(O_WRONLY): overlayfs copies up here" },
	{ "copyup_write", "ns", WL_LOWER, 0.02, 200, "write of the first byte" },
	{ "copyup_total", "ns", WL_LOWER, 0.02, 500, "open and first byte" },
	{ "copyup_fsync", "ns", WL_LOWER, 0.05, 500, "fsync() afterwards" },
	{ "copyup_read", "bytes", WL_LOWER, 0.01, 65536, "bytes read from the device until the byte is on it" },
	{ "copyup_written", "bytes", WL_LOWER, 0.01, 131072, "bytes written to the device until the byte is on it" },
	{ "copyup_disk", "bytes", WL_LOWER, 0.01, 65536, "file system space taken" },
	{ "copyup_frames", "pages", WL_LOWER, 0.01, 4, "page-cache pages gained" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_copyup = {
	.name = "copyup",
	.summary = "first byte into a file: overlayfs's copy-up against a clone's COW break, by file size",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_copyup);
