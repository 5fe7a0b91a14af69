// SPDX-License-Identifier: GPL-2.0
/*
 * The file system under test, its golden tree and the clones; see tree.h for the layout.
 *
 * Clones are made by one process for each CPU in the wall lane; a clone is made by walking golden's list once, with golden's
 * files open, so that nothing is looked up twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "timing.h"
#include "tree-internal.h"

#define GOLDEN		TREE_MNT "/golden"
#define COPY_CHUNK	(1u << 20)
#define BRD		"/dev/ram0"
/* Identifiers that do not differ from run to run. */
#define UUID_FORMAT	"5cac4e00-0000-4000-8000-%012llx"

struct clone_mode;

struct impl {
	struct tree t;			/* first: what the workload sees */
	const struct clone_mode *mode;
	struct tree_list list;		/* of golden */
	char **roots;
	unsigned int nr_roots;
};

struct clone_mode {
	const char *name;
	bool btrfs_only, overlay;
	bool helpers;			/* worth more than one process */
	int (*make)(struct impl *m, const char *root, unsigned int k, const int *src);
};

static struct impl *impl(struct tree *t)
{
	return (struct impl *)t;
}

/* --- clones -------------------------------------------------------------------------------------------------------------- */

static int copy_bytes(int src, int dst)
{
	static char *buf;
	off_t at = 0;
	ssize_t n;

	if (!buf)
		buf = malloc(COPY_CHUNK);
	if (!buf)
		return -ENOMEM;
	while ((n = pread(src, buf, COPY_CHUNK, at)) > 0) {
		if (write(dst, buf, (size_t)n) != n)
			return -ENOSPC;
		at += n;
	}
	return n ? -errno : 0;
}

static int make_regular(const struct tree_entry *e, int src, int rootfd, bool copy)
{
	int fd = openat(rootfd, e->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, e->st.st_mode & 0777), err = 0;
	const struct timespec times[2] = { e->st.st_atim, e->st.st_mtim };

	if (fd < 0)
		return -errno;
	if (e->st.st_size)
		err = copy ? copy_bytes(src, fd) : ioctl(fd, FICLONE, src) ? -errno : 0;
	if (!err && (e->st.st_uid || e->st.st_gid) && fchown(fd, e->st.st_uid, e->st.st_gid))
		err = -errno;
	if (!err && (e->st.st_mode & 07000) && fchmod(fd, e->st.st_mode & 07777))
		err = -errno;
	/* Python compares its compiled files with the source's time. */
	if (!err && futimens(fd, times))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

static int make_entry(struct impl *m, const struct tree_entry *e, int src, int rootfd, bool copy)
{
	int err = 0;

	if (S_ISREG(e->st.st_mode) && e->link_to >= 0)
		return linkat(rootfd, m->list.v[e->link_to].path, rootfd, e->path, 0) ? -errno : 0;
	if (S_ISREG(e->st.st_mode))
		return make_regular(e, src, rootfd, copy);
	if (S_ISDIR(e->st.st_mode))
		err = mkdirat(rootfd, e->path, e->st.st_mode & 07777);
	else if (S_ISLNK(e->st.st_mode))
		err = symlinkat(e->target, rootfd, e->path);
	else
		err = mknodat(rootfd, e->path, e->st.st_mode, e->st.st_rdev);
	if (!err && (e->st.st_uid || e->st.st_gid))
		err = fchownat(rootfd, e->path, e->st.st_uid, e->st.st_gid, AT_SYMLINK_NOFOLLOW);
	return err ? -errno : 0;
}

static int make_tree(struct impl *m, const char *root, const int *src, bool copy)
{
	unsigned int i;
	int rootfd, err = 0;

	if (mkdir(root, 0755))
		return wl_fail(m->t.ctx, -errno, "mkdir %s: %s", root, strerror(errno));
	rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd < 0)
		return wl_fail(m->t.ctx, -errno, "open %s: %s", root, strerror(errno));
	for (i = 0; !err && i < m->list.n; i++) {
		err = make_entry(m, &m->list.v[i], src ? src[i] : -1, rootfd, copy);
		if (err)
			wl_fail(m->t.ctx, err, "%s %s/%s: %s", copy ? "copy to" : "clone to", root, m->list.v[i].path,
				strerror(-err));
	}
	close(rootfd);
	return err;
}

static int make_reflink(struct impl *m, const char *root, unsigned int k, const int *src)
{
	(void)k;
	return make_tree(m, root, src, false);
}

static int make_copy(struct impl *m, const char *root, unsigned int k, const int *src)
{
	(void)k;
	return make_tree(m, root, src, true);
}

static int make_snapshot(struct impl *m, const char *root, unsigned int k, const int *src)
{
	int dir = open(TREE_MNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC), golden = open(GOLDEN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_vol_args_v2 args = { .fd = golden };
	int err = 0;

	(void)k;
	(void)src;
	snprintf(args.name, sizeof(args.name), "%s", strrchr(root, '/') + 1);
	if (dir < 0 || golden < 0 || ioctl(dir, BTRFS_IOC_SNAP_CREATE_V2, &args))
		err = wl_fail(m->t.ctx, -errno, "snapshot %s: %s", root, strerror(errno));
	if (dir >= 0)
		close(dir);
	if (golden >= 0)
		close(golden);
	return err;
}

static int make_overlay(struct impl *m, const char *root, unsigned int k, const int *src)
{
	char upper[64], work[64], opts[256];

	(void)src;
	snprintf(upper, sizeof(upper), TREE_MNT "/up/c%04u", k);
	snprintf(work, sizeof(work), TREE_MNT "/work/c%04u", k);
	snprintf(opts, sizeof(opts), "lowerdir=" GOLDEN ",upperdir=%s,workdir=%s", upper, work);
	if (mkdir(upper, 0755) || mkdir(work, 0755) || mkdir(root, 0755) || mount("overlay", root, "overlay", 0, opts))
		return wl_fail(m->t.ctx, -errno, "overlay %s: %s", root, strerror(errno));
	return 0;
}

static int copy_up(struct impl *m, const char *root, unsigned int k, const int *src)
{
	int rootfd, fd, err = make_overlay(m, root, k, src);
	unsigned int i;

	if (err)
		return err;
	rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd < 0)
		return wl_fail(m->t.ctx, -errno, "open %s: %s", root, strerror(errno));
	for (i = 0; !err && i < m->list.n; i++) {
		const struct tree_entry *e = &m->list.v[i];

		if (!S_ISREG(e->st.st_mode) || e->link_to >= 0)
			continue;
		fd = openat(rootfd, e->path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			err = wl_fail(m->t.ctx, -errno, "copy up %s/%s: %s", root, e->path, strerror(errno));
		else
			close(fd);
	}
	close(rootfd);
	return err;
}

static const struct clone_mode modes[] = {
	{ "reflink",	    false, false, true,  make_reflink },
	{ "snapshot",	    true,  false, false, make_snapshot },
	{ "overlay",	    false, true,  false, make_overlay },
	{ "overlay-copyup", false, true,  true,  copy_up },
	{ "copy",	    false, false, true,  make_copy },
};

static const struct clone_mode *find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	return NULL;
}

const char *tree_golden(struct tree *t)
{
	(void)t;
	return GOLDEN;
}

const char *tree_root(struct tree *t, unsigned int k)
{
	struct impl *m = impl(t);

	while (m->nr_roots <= k) {
		char **more = realloc(m->roots, (m->nr_roots + 1) * sizeof(*more));

		if (!more)
			abort();
		m->roots = more;
		if (asprintf(&m->roots[m->nr_roots], TREE_MNT "/c%04u", m->nr_roots) < 0)
			abort();
		m->nr_roots++;
	}
	return m->roots[k];
}

/* Opens golden's regular files; by index of the entry, -1 for the others. NULL after wl_fail(). */
static int *open_sources(struct impl *m)
{
	int *src = malloc((m->list.n + 1) * sizeof(*src));
	int rootfd = open(GOLDEN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned int i;
	bool ok = src && rootfd >= 0;

	for (i = 0; ok && i < m->list.n; i++) {
		const struct tree_entry *e = &m->list.v[i];

		src[i] = -1;
		if (!S_ISREG(e->st.st_mode) || e->link_to >= 0)
			continue;
		src[i] = openat(rootfd, e->path, O_RDONLY | O_CLOEXEC);
		ok = src[i] >= 0;
	}
	if (!ok)
		wl_fail(m->t.ctx, -errno, "open %s: %s", i ? m->list.v[i - 1].path : GOLDEN, strerror(errno));
	if (rootfd >= 0)
		close(rootfd);
	if (ok)
		return src;
	free(src);
	return NULL;
}

static void close_sources(struct impl *m, int *src)
{
	unsigned int i;

	for (i = 0; src && i < m->list.n; i++)
		if (src[i] >= 0)
			close(src[i]);
	free(src);
}

/* Makes clones from, from + step, ... below to. */
static int make_clones(struct impl *m, unsigned int from, unsigned int to, unsigned int step, uint64_t *done)
{
	int *src = m->mode->overlay || m->mode->btrfs_only ? NULL : open_sources(m), err = 0;
	bool needed = !m->mode->overlay && !m->mode->btrfs_only;
	unsigned int k;

	if (needed && !src)
		return -EIO;
	for (k = from; !err && k < to; k += step) {
		err = m->mode->make(m, tree_root(&m->t, k), k, src);
		__atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
	}
	close_sources(m, src);
	return err;
}

/* One process for each CPU; this one reports what they have done. */
static int make_clones_parallel(struct impl *m, unsigned int from, unsigned int to)
{
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), i, running = 0;
	uint64_t *done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), last = 0, now;
	pid_t pids[8];
	int err = 0;

	if (done == MAP_FAILED)
		return wl_fail(m->t.ctx, -errno, "mmap: %s", strerror(errno));
	if (cpus > 8)
		cpus = 8;
	for (i = 0; i < cpus && from + i < to; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(make_clones(m, from + i, to, cpus, done) ? 1 : 0);
		if (pids[i] < 0) {
			err = wl_fail(m->t.ctx, -errno, "fork: %s", strerror(errno));
			break;
		}
		running++;
	}
	for (i = 0; i < running;) {
		int status;
		pid_t p = waitpid(pids[i], &status, WNOHANG);

		if (p == pids[i]) {
			if (status)
				err = wl_fail(m->t.ctx, -EIO, "a process that makes clones ended with status %#x", status);
			i++;
			continue;
		}
		usleep(20000);
		now = __atomic_load_n(done, __ATOMIC_RELAXED);
		if ((now - last) * 10 >= to - from) {
			wl_progress(m->t.ctx, from + now, to, "cloning");
			last = now;
		}
	}
	munmap(done, PAGE);
	return err;
}

int tree_clone_to(struct tree *t, unsigned int n)
{
	struct impl *m = impl(t);
	unsigned int from = t->clones, k, step;
	uint64_t done = 0;
	int err = 0;

	if (n <= from)
		return 0;
	tree_root(t, n - 1);
	wl_progress(t->ctx, from, n, "cloning");
	if (m->mode->helpers && !wl_icount(t->ctx) && n - from > 1) {
		err = make_clones_parallel(m, from, n);
	} else {
		step = (n - from + 9) / 10;
		for (k = from; !err && k < n; k += step) {
			err = make_clones(m, k, k + step < n ? k + step : n, 1, &done);
			wl_progress(t->ctx, from + done, n, "cloning");
		}
	}
	if (err)
		return err;
	t->clones = n;
	sync();
	return 0;
}

/* --- the file system ----------------------------------------------------------------------------------------------------- */

static int find_device(struct wl_ctx *ctx, char *path, size_t cap)
{
	uint64_t size = 0;
	int fd, err;

	if (ctx->job.virtio) {
		err = tree_disk(ctx, JOB_DISK_SCRATCH, path, cap);
		if (err)
			return err;
	} else {
		snprintf(path, cap, BRD);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
		err = wl_fail(ctx, -errno, "%s: %s", path, strerror(errno));
	else if (size >> 20 < ctx->job.device_mb)
		err = wl_fail(ctx, -ENOSPC, "%s has %llu MB, the job wants %llu (ramdisk: brd.rd_size= on the command line)", path,
			      (unsigned long long)size >> 20, (unsigned long long)ctx->job.device_mb);
	else
		err = 0;
	if (fd >= 0)
		close(fd);
	return err;
}

static int make_fs(struct wl_ctx *ctx, const char *dev)
{
	bool xfs = !strcmp(ctx->job.fs, "xfs");
	char uuid[64], opts[512], *save, *word;
	const char *argv[40];
	unsigned int n = 0;

	snprintf(uuid, sizeof(uuid), UUID_FORMAT, (unsigned long long)(ctx->job.seed & 0xffffffffffffu));
	argv[n++] = xfs ? "mkfs.xfs" : "mkfs.btrfs";
	argv[n++] = "-q";
	argv[n++] = "-f";
	argv[n++] = "-K";
	if (xfs) {
		argv[n++] = "-m";
		snprintf(opts, sizeof(opts), "reflink=1,uuid=%s", uuid);
		argv[n++] = strdup(opts);
	} else {
		argv[n++] = "-U";
		argv[n++] = uuid;
	}
	snprintf(opts, sizeof(opts), "%s", ctx->job.mkfs_opts);
	for (word = strtok_r(opts, " ", &save); word && n < 38; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	argv[n++] = dev;
	argv[n] = NULL;
	return agent_run(ctx, argv);
}

/* Options that are flags of mount(2) and not the file system's. Access times are not kept unless asked for. */
static unsigned long mount_flags(const char *opts, char *rest, size_t cap)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = {
		{ "noatime", MS_NOATIME }, { "relatime", MS_RELATIME }, { "strictatime", MS_STRICTATIME }, { "ro", MS_RDONLY },
		{ "nodiratime", MS_NODIRATIME }, { "lazytime", MS_LAZYTIME },
	};
	unsigned long flags = 0;
	size_t i, len = 0;

	rest[0] = '\0';
	while (*opts) {
		size_t n = strcspn(opts, ",");

		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (strlen(known[i].name) == n && !memcmp(known[i].name, opts, n))
				break;
		if (i < sizeof(known) / sizeof(known[0]))
			flags |= known[i].flag;
		else if (len + n + 2 < cap)
			len += (size_t)snprintf(rest + len, cap - len, "%s%.*s", len ? "," : "", (int)n, opts);
		opts += n + (opts[n] == ',');
	}
	return flags & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME) ? flags : flags | MS_NOATIME;
}

int tree_mount(struct wl_ctx *ctx, const char *dev)
{
	char rest[512];
	unsigned long flags = mount_flags(ctx->job.mount_opts, rest, sizeof(rest));

	mkdir("/mnt", 0755);
	mkdir(TREE_MNT, 0755);
	if (mount(dev, TREE_MNT, ctx->job.fs, flags, rest))
		return wl_fail(ctx, -errno, "mount -t %s -o %s %s: %s", ctx->job.fs, ctx->job.mount_opts, dev, strerror(errno));
	return 0;
}

static int make_golden_dir(struct wl_ctx *ctx)
{
	struct btrfs_ioctl_vol_args args = { .name = "golden" };
	int fd, err = 0;

	if (!strcmp(ctx->job.fs, "btrfs")) {
		fd = open(TREE_MNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args))
			err = wl_fail(ctx, -errno, "make subvolume " GOLDEN ": %s", strerror(errno));
		if (fd >= 0)
			close(fd);
	} else if (mkdir(GOLDEN, 0755)) {
		err = wl_fail(ctx, -errno, "mkdir " GOLDEN ": %s", strerror(errno));
	}
	return err;
}

/* What workloads and the host see of golden. */
static int take_stock(struct impl *m)
{
	struct tree *t = &m->t;
	unsigned int i;
	int err = tree_list(t->ctx, GOLDEN, &m->list);

	if (err)
		return err;
	t->nr_entries = m->list.n;
	t->files = calloc(m->list.n + 1, sizeof(*t->files));
	if (!t->files)
		return wl_fail(t->ctx, -ENOMEM, "no memory for %u files", m->list.n);
	for (i = 0; i < m->list.n; i++) {
		const struct tree_entry *e = &m->list.v[i];
		struct tree_file *f = &t->files[t->nr_files];

		if (!S_ISREG(e->st.st_mode) || e->link_to >= 0)
			continue;
		f->path = e->path;
		f->size = (uint64_t)e->st.st_size;
		f->pages = (f->size + PAGE - 1) / PAGE;
		t->bytes += f->size;
		t->pages += f->pages;
		t->nr_files++;
	}
	err = tree_hash_list(t->ctx, GOLDEN, &m->list, true, &t->hash);
	wl_info(t->ctx, "image_files", "%u", t->nr_files);
	wl_info(t->ctx, "image_entries", "%u", t->nr_entries);
	wl_info(t->ctx, "image_bytes", "%llu", (unsigned long long)t->bytes);
	wl_info(t->ctx, "image_pages", "%llu", (unsigned long long)t->pages);
	wl_info(t->ctx, "image_hash", "%016llx", (unsigned long long)t->hash);
	return err;
}

static int create(struct wl_ctx *ctx, bool golden, struct tree **out)
{
	struct impl *m = calloc(1, sizeof(*m));
	char dev[300];
	int err;

	if (!m)
		return wl_fail(ctx, -ENOMEM, "no memory for a tree");
	m->t.ctx = ctx;
	m->mode = find_mode(ctx->job.mode);
	*out = &m->t;
	if (!m->mode)
		return wl_fail(ctx, -EINVAL, "no clone mode %s", ctx->job.mode);
	if (m->mode->btrfs_only && strcmp(ctx->job.fs, "btrfs"))
		return wl_skip(ctx, "mode %s needs btrfs, not %s", ctx->job.mode, ctx->job.fs);
	wl_progress(ctx, 0, 1, "making the file system");
	err = find_device(ctx, dev, sizeof(dev));
	if (!err)
		err = make_fs(ctx, dev);
	if (!err)
		err = tree_mount(ctx, dev);
	if (!err && m->mode->overlay && (mkdir(TREE_MNT "/up", 0755) || mkdir(TREE_MNT "/work", 0755)))
		err = wl_fail(ctx, -errno, "mkdir " TREE_MNT "/up: %s", strerror(errno));
	if (!err)
		err = make_golden_dir(ctx);
	if (!err && golden)
		err = tree_fill(ctx, GOLDEN);
	if (err)
		return err;
	sync();
	err = take_stock(m);
	tree_drop_caches();
	return err;
}

int tree_create(struct wl_ctx *ctx, struct tree **out)
{
	return create(ctx, true, out);
}

int tree_create_empty(struct wl_ctx *ctx, struct tree **out)
{
	return create(ctx, false, out);
}

int tree_reflink(const char *src, const char *dst)
{
	int in = open(src, O_RDONLY | O_CLOEXEC), out, err = 0;

	if (in < 0)
		return -errno;
	out = open(dst, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out < 0 || ioctl(out, FICLONE, in))
		err = -errno;
	close(in);
	if (out >= 0)
		close(out);
	return err;
}

int tree_hash(struct tree *t, const char *root, uint64_t *hash)
{
	struct tree_list l;
	int err = tree_list(t->ctx, root, &l);

	if (!err)
		err = tree_hash_list(t->ctx, root, &l, true, hash);
	tree_list_free(&l);
	return err;
}

/* Reads through the page cache. */
static int hash_cached(struct tree *t, const char *root, uint64_t *hash)
{
	struct tree_list l;
	int err = tree_list(t->ctx, root, &l);

	if (!err)
		err = tree_hash_list(t->ctx, root, &l, false, hash);
	tree_list_free(&l);
	return err;
}

int tree_verify(struct tree *t, const char *phase, unsigned int from, unsigned int to)
{
	uint64_t h = 0;
	unsigned int k;
	int err;

	/* First what programs see, through the page cache as it is; then what golden has on the device. */
	for (k = from; k < to; k++) {
		err = hash_cached(t, tree_root(t, k), &h);
		if (err)
			return err;
		if (h != t->hash)
			break;
		wl_progress(t->ctx, k + 1 - from, to - from, "verifying");
	}
	if (k < to) {
		wl_check(t->ctx, "content", false, "%s: clone %u has hash %016llx, golden had %016llx", phase, k,
			 (unsigned long long)h, (unsigned long long)t->hash);
		return 0;
	}
	err = hash_cached(t, GOLDEN, &h);
	if (!err && h == t->hash) {
		tree_drop_caches();
		err = tree_hash(t, GOLDEN, &h);
	}
	if (err)
		return err;
	wl_check(t->ctx, "content", h == t->hash, "%s: golden and clones %u to %u: %016llx", phase, from, to,
		 (unsigned long long)h);
	return 0;
}

static void drop(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "3", 1) != 1)
		fprintf(stderr, "agent: drop_caches: %s\n", strerror(errno));
	close(fd);
}

void tree_drop_caches(void)
{
	struct vmcount before, after;
	unsigned int i;

	/* The first drop frees the dentries that hold the inodes which the second one frees. */
	sync();
	drop();
	drop();
	vmcount_now(&before);
	/* Inodes are evicted by a worker; more often than once is not expected. */
	for (i = 0; i < 20; i++) {
		usleep(5000);
		vmcount_now(&after);
		if (after.file_pages == before.file_pages)
			break;
		before = after;
	}
}

void tree_say_counters(struct wl_ctx *ctx)
{
	char text[2048];
	glob_t g;
	ssize_t n;
	int fd;

	if (glob("/sys/kernel/debug/shcache/*/stats", 0, NULL, &g))
		return;
	fd = open(g.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		for (n--; n >= 0; n--)
			if (text[n] == '\n')
				text[n] = text[n + 1] ? ';' : '\0';
		wl_info(ctx, "shcache", "%s", text);
	}
	if (fd >= 0)
		close(fd);
	globfree(&g);
}

int tree_destroy(struct tree *t)
{
	struct impl *m = impl(t);
	struct wl_ctx *ctx = t->ctx;
	unsigned int k;
	int err = 0;

	if (m->mode && m->mode->overlay)
		for (k = 0; k < t->clones; k++)
			if (umount(tree_root(t, k)))
				err = -errno;
	/* No lazy unmount: whoever still holds a reference is a bug that must show. */
	if (umount(TREE_MNT))
		err = -errno;
	wl_check(ctx, "unmount", !err, "%s", err ? strerror(-err) : TREE_MNT);
	tree_list_free(&m->list);
	for (k = 0; k < m->nr_roots; k++)
		free(m->roots[k]);
	free(m->roots);
	free(t->files);
	free(m);
	return 0;
}
