// SPDX-License-Identifier: GPL-2.0
/*
 * What is in a tree: making it (synthetic, or from a tar), listing it, hashing it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "fnv.h"
#include "timing.h"
#include "tree-internal.h"

#define CHUNK		(1u << 20)
#define FILES_PER_DIR	32

/* --- listing ------------------------------------------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_entry *)a)->path, ((const struct tree_entry *)b)->path);
}

static char *read_link(int dirfd, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	return strdup(target);
}

static int list_dir(struct wl_ctx *ctx, int parent, const char *name, const char *prefix, struct tree_list *l)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return wl_fail(ctx, -errno, "cannot list %s: %s", *prefix ? prefix : name, strerror(errno));
	}
	while (!err && (de = readdir(d))) {
		struct tree_entry *e;
		char *path;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap ? l->cap * 2 : 512;
			l->v = realloc(l->v, l->cap * sizeof(*l->v));
		}
		if (!l->v || asprintf(&path, "%s%s%s", prefix, *prefix ? "/" : "", de->d_name) < 0) {
			err = wl_fail(ctx, -ENOMEM, "no memory for a list of %u files", l->n);
			break;
		}
		e = &l->v[l->n++];
		*e = (struct tree_entry){ .path = path, .link_to = -1 };
		if (fstatat(fd, de->d_name, &e->st, AT_SYMLINK_NOFOLLOW))
			err = wl_fail(ctx, -errno, "stat %s: %s", path, strerror(errno));
		else if (S_ISLNK(e->st.st_mode) && !(e->target = read_link(fd, de->d_name)))
			err = wl_fail(ctx, -errno, "readlink %s: %s", path, strerror(errno));
		else if (S_ISDIR(e->st.st_mode))
			err = list_dir(ctx, fd, de->d_name, path, l);
	}
	closedir(d);
	return err;
}

/* Names of one inode: all but the first become links to it. Hard links are few, so a search among them is enough. */
static int find_hard_links(struct tree_list *l)
{
	unsigned int *linked = malloc((l->n + 1) * sizeof(*linked)), n = 0, i, j;

	if (!linked)
		return -ENOMEM;
	for (i = 0; i < l->n; i++) {
		if (!S_ISREG(l->v[i].st.st_mode) || l->v[i].st.st_nlink < 2)
			continue;
		for (j = 0; j < n; j++)
			if (l->v[linked[j]].st.st_ino == l->v[i].st.st_ino && l->v[linked[j]].st.st_dev == l->v[i].st.st_dev)
				break;
		if (j < n)
			l->v[i].link_to = (int)linked[j];
		else
			linked[n++] = i;
	}
	free(linked);
	return 0;
}

int tree_list(struct wl_ctx *ctx, const char *root, struct tree_list *l)
{
	int err;

	memset(l, 0, sizeof(*l));
	err = list_dir(ctx, AT_FDCWD, root, "", l);
	if (err)
		return err;
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_path);
	return find_hard_links(l) ? wl_fail(ctx, -ENOMEM, "no memory for hard links") : 0;
}

void tree_list_free(struct tree_list *l)
{
	unsigned int i;

	for (i = 0; i < l->n; i++) {
		free(l->v[i].path);
		free(l->v[i].target);
	}
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* --- making -------------------------------------------------------------------------------------------------------------- */

/* Content of page nr of a file: no two pages are alike, so that nothing can be mistaken for anything else. */
static void fill_page(uint64_t *page, uint64_t seed, uint64_t nr)
{
	uint64_t state = seed ^ (nr + 1) * 0xd6e8feb86659fd93u;
	unsigned int i;

	for (i = 0; i < PAGE / sizeof(*page); i++)
		page[i] = wl_rand(&state);
}

static int write_content(int fd, uint64_t bytes, uint64_t seed, uint64_t *buf)
{
	uint64_t done = 0;

	while (done < bytes) {
		uint64_t len = bytes - done < CHUNK ? bytes - done : CHUNK, p;
		ssize_t n;

		for (p = 0; p < len; p += PAGE)
			fill_page(buf + p / sizeof(*buf), seed, (done + p) / PAGE);
		n = write(fd, buf, len);
		if (n != (ssize_t)len)
			return n < 0 ? -errno : -ENOSPC;
		done += len;
	}
	return 0;
}

static int make_file(int dirfd, const char *path, uint64_t bytes, uint64_t seed, uint64_t *buf, bool sync_it)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err;

	if (fd < 0)
		return -errno;
	err = write_content(fd, bytes, seed, buf);
	if (!err && sync_it && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int tree_make_file(const char *path, uint64_t bytes, uint64_t seed)
{
	uint64_t *buf = malloc(CHUNK);
	int err = buf ? make_file(AT_FDCWD, path, bytes, seed, buf, true) : -ENOMEM;

	free(buf);
	return err;
}

/*
 * Sizes that are spread log-uniformly over three decades and add up to total: a power of two drawn uniformly times a factor
 * in [1,2), scaled. Integers only, so that the same seed gives the same tree on every machine.
 */
static int draw_sizes(uint64_t *size, unsigned int n, uint64_t total, uint64_t *rng)
{
	uint64_t weights = 0, left = total;
	unsigned int i, largest = 0;

	if (total < n)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		uint64_t r = wl_rand(rng);

		size[i] = (1024 + (r >> 32) % 1024) << (r % 10);
		weights += size[i];
	}
	for (i = 0; i < n; i++) {
		size[i] = 1 + (uint64_t)((unsigned __int128)size[i] * (total - n) / weights);
		left -= size[i];
		if (size[i] > size[largest])
			largest = i;
	}
	size[largest] += left;
	return 0;
}

static int make_synthetic(struct wl_ctx *ctx, const char *root)
{
	unsigned int n = (unsigned int)ctx->job.image_files, i;
	uint64_t *size = calloc((size_t)n + 1, sizeof(*size)), *buf = malloc(CHUNK), rng = ctx->job.seed;
	char path[64], target[64];
	int dir = -1, err;

	if (!n || !size || !buf || draw_sizes(size, n, ctx->job.image_bytes, &rng)) {
		err = wl_fail(ctx, -EINVAL, "image of %u files and %llu bytes: it needs at least one file, and a byte for each", n,
			      (unsigned long long)ctx->job.image_bytes);
		goto out;
	}
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = dir < 0 ? -errno : 0;
	for (i = 0; !err && i < n; i++) {
		snprintf(path, sizeof(path), "d%03u", i / FILES_PER_DIR);
		if (i % FILES_PER_DIR == 0 && mkdirat(dir, path, 0755)) {
			err = -errno;
			break;
		}
		snprintf(path, sizeof(path), "d%03u/f%05u", i / FILES_PER_DIR, i);
		err = make_file(dir, path, size[i], wl_rand(&rng), buf, false);
		if (err || (i % FILES_PER_DIR != FILES_PER_DIR - 1 && i != n - 1))
			continue;
		snprintf(target, sizeof(target), "f%05u", i);
		snprintf(path, sizeof(path), "d%03u/last", i / FILES_PER_DIR);
		if (symlinkat(target, dir, path))
			err = -errno;
	}
	if (err)
		wl_fail(ctx, err, "cannot make the image below %s: %s", root, strerror(-err));
out:
	if (dir >= 0)
		close(dir);
	free(size);
	free(buf);
	return err;
}

/* The whole disk with this serial, "/dev/vdb". */
static int find_disk(const char *serial, char *path, size_t cap)
{
	DIR *d = opendir("/sys/block");
	struct dirent *e;
	int err = -ENODEV;

	while (d && err && (e = readdir(d))) {
		char file[300], text[64] = "";
		FILE *f;

		snprintf(file, sizeof(file), "/sys/block/%s/serial", e->d_name);
		f = fopen(file, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f)) {
			text[strcspn(text, "\n")] = '\0';
			if (!strcmp(text, serial)) {
				snprintf(path, cap, "/dev/%s", e->d_name);
				err = 0;
			}
		}
		fclose(f);
	}
	if (d)
		closedir(d);
	return err;
}

int tree_disk(struct wl_ctx *ctx, const char *serial, char *path, size_t cap)
{
	return find_disk(serial, path, cap) ?
		wl_fail(ctx, -ENODEV, "no virtio disk has the serial \"%s\"", serial) : 0;
}

static int unpack_tar(struct wl_ctx *ctx, const char *root)
{
	bool inside = !access(JOB_IMAGE, R_OK);
	char path[300] = JOB_IMAGE;
	const char *argv[] = { "busybox", "tar", "-xpf", path, "-C", root, NULL };
	int err = inside ? 0 : tree_disk(ctx, JOB_DISK_IMAGE, path, sizeof(path));

	if (!err)
		err = agent_run(ctx, argv);
	/* It would stay in memory; the tree has it now. */
	if (!err && inside)
		unlink(JOB_IMAGE);
	return err;
}

int tree_fill(struct wl_ctx *ctx, const char *root)
{
	static const char *const points[] = { "proc", "dev", "tmp" };
	char path[PATH_MAX];
	int err;

	wl_progress(ctx, 0, 1, "making the golden tree");
	err = ctx->job.tar ? unpack_tar(ctx, root) : make_synthetic(ctx, root);
	/* Where a container mounts; were they made later, a clone would differ from golden. */
	for (size_t i = 0; !err && i < sizeof(points) / sizeof(points[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, points[i]);
		if (mkdir(path, 0755) && errno != EEXIST)
			err = wl_fail(ctx, -errno, "mkdir %s: %s", path, strerror(errno));
	}
	return err;
}

/* --- hashing ------------------------------------------------------------------------------------------------------------- */

/* The buffer is aligned for O_DIRECT and a multiple of a word. */
static int hash_file(int dirfd, const char *path, bool direct, void *buf, uint64_t *h)
{
	int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (direct ? O_DIRECT : 0)), err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, CHUNK)) > 0)
		*h = fnv(*h, buf, (size_t)n);
	if (n < 0)
		err = -errno;
	/* Where the file system reads through the page cache nevertheless (inline data). */
	if (direct)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return err;
}

int tree_hash_list(struct wl_ctx *ctx, const char *root, const struct tree_list *l, bool direct, uint64_t *hash)
{
	void *buf = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	uint64_t h = FNV_BASIS;
	unsigned int i;

	if (dir < 0 || buf == MAP_FAILED)
		err = wl_fail(ctx, -errno, "open %s: %s", root, strerror(errno));
	for (i = 0; !err && i < l->n; i++) {
		const struct tree_entry *e = &l->v[i];
		uint64_t size = S_ISREG(e->st.st_mode) ? (uint64_t)e->st.st_size : 0;

		h = fnv(h, e->path, strlen(e->path) + 1);
		h = fnv(h, &size, sizeof(size));
		if (e->target)
			h = fnv(h, e->target, strlen(e->target));
		if (!size)
			continue;
		err = hash_file(dir, e->path, direct, buf, &h);
		if (err)
			wl_fail(ctx, err, "read %s/%s: %s", root, e->path, strerror(-err));
	}
	if (dir >= 0)
		close(dir);
	if (buf != MAP_FAILED)
		munmap(buf, CHUNK);
	*hash = h;
	return err;
}
