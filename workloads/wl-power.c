// SPDX-License-Identifier: GPL-2.0
/*
 * Power cuts, the guest's part; the host's is harness/power.c.
 *
 * do=work: clonex's operations (clonex.h) on one set of files until the host ends the machine, with many more fsyncs. After each one
 * its number goes, first, to a mark at the end of the disk, behind the file system, and then to the host as a progress record. The mark is
 * written directly and is not followed by a flush: in a log of the disk's writes it stands behind all that had to be durable by then.
 *
 * do=check: each disk cut0, cut1 ... is mounted, which recovers its log; what its files hold must be what promise.h allows after
 * the operation whose number the host says was promised. Then clonex works on the file system for a while, after which the files must be
 * as they were found. Whether the file system is consistent the host looks at afterwards.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fnv.h"
#include "job.h"
#include "power-mark.h"
#include "promise.h"
#include "tree-internal.h"

#define MAX_CUTS	24u
#define COUNT_EVERY	16u		/* promises between two reports of the kernel's counters */

struct power {
	struct wl_ctx *ctx;
	struct cx_model m;
	uint64_t seed;
	uint32_t ops;
};

static int begin(struct power *p, struct wl_ctx *ctx)
{
	int err;

	p->ctx = ctx;
	p->seed = wl_u64(ctx, "seed");
	if (!p->seed)
		p->seed = wl_seed(ctx);
	p->ops = (uint32_t)wl_u64(ctx, "ops");
	err = cx_model_init(&p->m, (unsigned int)wl_u64(ctx, "files"), (uint32_t)wl_u64(ctx, "size"));
	return err ? wl_fail(ctx, err, "parameters files and size: %s", strerror(-err)) : 0;
}

/* --- work ---------------------------------------------------------------------------------------------------------------- */

struct mark {
	int fd;
	uint64_t at;
	struct power_mark *m;		/* a sector */
};

static int mark_open(struct power *p, struct mark *k)
{
	uint64_t size;
	char dev[64];
	int err = tree_disk(p->ctx, JOB_DISK_SCRATCH, dev, sizeof(dev));

	if (err)
		return err;
	k->m = aligned_alloc(4096, POWER_SECTOR);
	k->fd = open(dev, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (!k->m || k->fd < 0 || ioctl(k->fd, BLKGETSIZE64, &size))
		return wl_fail(p->ctx, -errno, "open %s: %s", dev, strerror(errno));
	memset(k->m, 0, POWER_SECTOR);
	k->at = size - POWER_MARK_BACK;
	return 0;
}

static int mark_write(struct power *p, struct mark *k, uint32_t nr)
{
	*k->m = (struct power_mark){ .magic = POWER_MAGIC, .seed = p->seed, .nr = nr };
	if (pwrite(k->fd, k->m, POWER_SECTOR, (off_t)k->at) != (ssize_t)POWER_SECTOR)
		return wl_fail(p->ctx, -EIO, "cannot write a mark to the disk: %s", strerror(errno));
	wl_progress(p->ctx, nr, p->ops, "promised");
	return 0;
}

/* Reads all files by name again and again, so that they are cached, and shared, while they change. */
static pid_t start_reader(const struct power *p)
{
	static char buf[1 << 16];
	char path[128];
	pid_t worker = getpid(), pid = fork();
	unsigned int i;

	for (i = 0; !pid; i = (i + 1) % p->m.nr_files) {
		off_t at = 0;
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), TREE_MNT "/clonex.%d/f%02u", (int)worker, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && (n = pread(fd, buf, sizeof(buf), at)) > 0)
			at += n;
		if (fd >= 0)
			close(fd);
		usleep(2000);
	}
	return pid;
}

static int work(struct power *p)
{
	struct cx_failure bad = {};
	struct mark mark;
	struct cx_exec *x;
	struct tree *t;
	struct cx_op op;
	pid_t reader;
	char text[CX_TEXT];
	uint32_t nr, promises = 0;
	int err = tree_create_empty(p->ctx, &t), fd;

	if (!err)
		err = mark_open(p, &mark);
	if (err)
		return err;
	err = cx_exec_open(&x, TREE_MNT, &p->m, ~pr_without());
	if (!err)
		err = cx_exec_reset(x);
	fd = open(TREE_MNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (err || fd < 0 || syncfs(fd))
		return wl_fail(p->ctx, err ? err : -errno, "cannot begin in " TREE_MNT ": %s", strerror(err ? -err : errno));
	/* The other boot may run another kernel. */
	wl_info(p->ctx, "features", "%" PRIu64, p->m.features);
	wl_info(p->ctx, "dio", "%u", p->m.dio);
	err = mark_write(p, &mark, 0);
	reader = start_reader(p);
	for (nr = 1; !err && nr <= p->ops; nr++) {
		pr_generate(&p->m, p->seed, nr, &op);
		cx_apply(&p->m, &op);
		err = cx_exec_op(x, &op, &bad);
		if (err) {
			cx_text(&op, text);
			wl_check(p->ctx, "content", false, "seed %" PRIu64 " op %s: %s", p->seed, text, bad.what);
		} else if (pr_is_promise(&op)) {
			err = mark_write(p, &mark, nr);
			if (!(++promises % COUNT_EVERY))
				tree_say_counters(p->ctx);
		}
	}
	if (reader > 0)
		kill(reader, SIGKILL);
	/* Nobody has cut the power. */
	return err ? 0 : wl_fail(p->ctx, -ETIME, "all %" PRIu32 " operations are done and the machine is still there", p->ops);
}

/* --- check --------------------------------------------------------------------------------------------------------------- */

struct found {
	bool there;
	uint8_t *data;
	uint64_t size;
};

/* The directory that the work was done in: the only one of its name. */
static bool find_dir(char *path, size_t cap)
{
	DIR *d = opendir(TREE_MNT);
	struct dirent *e;
	bool found = false;

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "clonex.", 7) && e->d_type != DT_REG) {
			snprintf(path, cap, TREE_MNT "/%.200s", e->d_name);
			found = true;
		}
	if (d)
		closedir(d);
	return found;
}

/* What a file holds: through the page cache, or what is on the disk. */
static int look(struct power *p, const char *dir, unsigned int file, bool direct, struct found *f)
{
	char path[512];
	struct stat st;
	ssize_t n = 0;
	int fd, err = 0;

	*f = (struct found){};
	snprintf(path, sizeof(path), "%s/f%02u", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st))
		err = wl_fail(p->ctx, -errno, "open %s: %s", path, strerror(errno));
	f->there = true;
	f->size = err ? 0 : (uint64_t)st.st_size;
	f->data = aligned_alloc(CX_BLOCK, (f->size / CX_BLOCK + 2) * CX_BLOCK);
	if (!err && f->data)
		n = pread(fd, f->data, (f->size / CX_BLOCK + 1) * CX_BLOCK, 0);
	if (!err && n != (ssize_t)f->size)
		err = wl_fail(p->ctx, -EIO, "read %s: %zd of %" PRIu64 " bytes: %s", path, n, f->size, n < 0 ? strerror(errno) : "short");
	if (fd >= 0)
		close(fd);
	return err;
}

/* All files against the promises; *hash: of what they hold. */
static int look_at_all(struct power *p, const struct promises *pr, const char *dir, bool direct, char why[CX_WHY], uint64_t *hash)
{
	unsigned int i;

	*hash = FNV_BASIS;
	for (i = 0; i < p->m.nr_files; i++) {
		char text[CX_WHY];
		struct found f;
		int err = look(p, dir, i, direct, &f);
		bool ok = !err && pr_legal(pr, i, f.there ? f.data : NULL, f.size, text);

		if (!err && f.there)
			*hash = fnv(fnv(*hash, &f.size, sizeof(f.size)), f.data, f.size);
		free(f.data);
		if (err)
			return err;
		if (!ok) {
			snprintf(why, CX_WHY, "file %u %s: %.900s", i, direct ? "on the disk" : "through the page cache", text);
			return -EUCLEAN;
		}
	}
	return 0;
}

/* Goes through the operations again: all that were promised for sure, and those that may have been begun. */
static int replay(struct power *p, uint32_t promised, struct promises *pr)
{
	struct cx_op op = {};
	uint32_t nr;
	int err;

	cx_model_reset(&p->m);
	err = pr_init(pr, &p->m);
	/* The next promise was not made, so nothing behind it was begun. */
	for (nr = 1; !err && (nr <= promised + 1 || !pr_is_promise(&op)); nr++) {
		pr_generate(&p->m, p->seed, nr, &op);
		cx_apply(&p->m, &op);
		err = pr_done(pr, &op, nr <= promised);
	}
	return err ? wl_fail(p->ctx, err, "no memory for what may be there") : 0;
}

static void quiet(void *arg, bool progress, const char *line)
{
	(void)arg;
	if (!progress)
		fprintf(stderr, "clonex: %s\n", line);
}

/* Other files come and go, which use and share blocks that are free. */
static int work_on(struct power *p, char why[CX_WHY])
{
	const struct cx_config c = { .dir = TREE_MNT, .seed = p->seed ^ 1, .files = p->m.nr_files, .size = p->m.cap, .say = quiet,
				     .ops = wl_u64(p->ctx, "after"), .epoch = (unsigned int)wl_u64(p->ctx, "after"),
				     .without = pr_without() };
	static struct cx_stats s;
	int err = c.ops ? cx_sequential(&c, &s) : 0;

	if (err)
		snprintf(why, CX_WHY, "clonex on the recovered file system: %.900s", s.why);
	return err;
}

static int check_files(struct power *p, const struct promises *pr, char why[CX_WHY])
{
	char dir[256];
	uint64_t first, again;
	int err;

	if (!find_dir(dir, sizeof(dir))) {
		snprintf(why, CX_WHY, "the directory is missing");
		return -EUCLEAN;
	}
	err = look_at_all(p, pr, dir, false, why, &first);
	if (err)
		return err;
	/* clonex makes a directory of its own, whose name may be the same. */
	if (rename(dir, TREE_MNT "/found"))
		return wl_fail(p->ctx, -errno, "rename %s: %s", dir, strerror(errno));
	err = work_on(p, why);
	if (!err)
		err = look_at_all(p, pr, TREE_MNT "/found", false, why, &again);
	tree_drop_caches();
	if (!err && first == again)
		err = look_at_all(p, pr, TREE_MNT "/found", true, why, &again);
	if (!err && first != again) {
		snprintf(why, CX_WHY, "the files have changed while others were written");
		err = -EUCLEAN;
	}
	return err;
}

static int check_disk(struct power *p, unsigned int nr, uint32_t promised)
{
	char serial[16], dev[64], why[CX_WHY] = "", name[24];
	struct promises pr;
	int err;

	snprintf(serial, sizeof(serial), "cut%u", nr);
	snprintf(name, sizeof(name), "cut%u", nr);
	err = tree_disk(p->ctx, serial, dev, sizeof(dev));
	if (!err)
		err = replay(p, promised, &pr);
	if (err)
		return err;
	err = tree_mount(p->ctx, dev);
	if (err) {
		snprintf(why, sizeof(why), "cannot be mounted: %s", strerror(-err));
	} else {
		err = check_files(p, &pr, why);
		if (umount(TREE_MNT) && !err) {
			snprintf(why, sizeof(why), "umount: %s", strerror(errno));
			err = -errno;
		}
	}
	pr_free(&pr);
	if (err && !why[0])
		snprintf(why, sizeof(why), "%s", strerror(-err));
	wl_check(p->ctx, name, !err, "promised %" PRIu32 "%s%.400s", promised, err ? ": " : "", why);
	return 0;
}

static int check(struct power *p)
{
	uint64_t promised[MAX_CUTS];
	unsigned int n = wl_list(p->ctx, "promised", promised, MAX_CUTS), i;
	int err = 0;

	p->m.features = wl_u64(p->ctx, "features");
	p->m.dio = (uint32_t)wl_u64(p->ctx, "dio");
	for (i = 0; !err && i < n; i++) {
		wl_progress(p->ctx, i, n, "checking");
		err = check_disk(p, i, (uint32_t)promised[i]);
	}
	return err;
}

static int run(struct wl_ctx *ctx)
{
	static struct power p;
	const char *todo = wl_str(ctx, "do");
	int err = begin(&p, ctx);

	if (err)
		return err;
	if (!strcmp(todo, "work"))
		return work(&p);
	if (!strcmp(todo, "check"))
		return check(&p);
	return wl_fail(ctx, -EINVAL, "parameter do: \"%s\" is neither work nor check", todo);
}

static const struct wl_param params[] = {
	{ "do", "work", "work: until the machine is ended; check: what is left on the disks cut0, cut1 ..." },
	{ "seed", "0", "of the operations; 0: the run's" },
	{ "ops", "1000000", "work: how many operations at most" },
	{ "files", "6", "files" },
	{ "size", "128k", "how large a file becomes, bytes" },
	{ "promised", "", "check: for each disk the number of the last operation that was promised, separated by commas" },
	{ "features", "0", "check: as the work's info record says" },
	{ "dio", "512", "check: as the work's info record says" },
	{ "after", "400", "check: operations of clonex on the recovered file system" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_power = {
	.name = "power",
	.summary = "power cuts: what fsync has promised is there afterwards",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_power);
