// SPDX-License-Identifier: GPL-2.0
/* Reading and mapping all files, see reader.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "container.h"
#include "fnv.h"
#include "reader.h"
#include "timing.h"

#define CHUNK (256u << 10)

/* The hash is over the files' contents in the order of the list; an aligned buffer serves O_DIRECT as well. */
static int read_file(int rootfd, const struct tree_file *f, int flags, void *buf, uint64_t *hash)
{
	int fd = openat(rootfd, f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags), err = 0;
	uint64_t left = f->size;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (left && (n = read(fd, buf, CHUNK)) > 0) {
		*hash = fnv(*hash, buf, (size_t)n);
		left -= (uint64_t)n < left ? (uint64_t)n : left;
	}
	if (left)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

static int read_all(const char *root, const struct tree *t, int flags, uint64_t *hash)
{
	int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = rootfd < 0 ? -errno : 0;
	void *buf = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	unsigned int i;

	if (buf == MAP_FAILED)
		err = -ENOMEM;
	*hash = FNV_BASIS;
	for (i = 0; !err && i < t->nr_files; i++)
		err = read_file(rootfd, &t->files[i], flags, buf, hash);
	if (rootfd >= 0)
		close(rootfd);
	if (buf != MAP_FAILED)
		munmap(buf, CHUNK);
	return err;
}

int reader_expected(struct tree *t, uint64_t *hash)
{
	int err = read_all(tree_golden(t), t, O_DIRECT, hash);

	return err ? wl_fail(t->ctx, err, "read %s: %s", tree_golden(t), strerror(-err)) : 0;
}

static int map_all(const struct tree *t, unsigned char **maps)
{
	int rootfd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = rootfd < 0 ? -errno : 0;
	unsigned int i;

	for (i = 0; !err && i < t->nr_files; i++) {
		const struct tree_file *f = &t->files[i];
		int fd;

		if (!f->pages)
			continue;
		fd = openat(rootfd, f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			err = -errno;
			break;
		}
		/* As a dynamic linker maps: private, never written. */
		maps[i] = mmap(NULL, f->pages * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		if (maps[i] == MAP_FAILED)
			err = -errno;
		close(fd);
	}
	if (rootfd >= 0)
		close(rootfd);
	return err;
}

/* In pieces like read_file()'s, so that both give the same hash. */
static uint64_t hash_maps(const struct tree *t, unsigned char *const *maps)
{
	uint64_t h = FNV_BASIS, at;
	unsigned int i;

	for (i = 0; i < t->nr_files; i++)
		for (at = 0; at < t->files[i].size; at += CHUNK)
			h = fnv(h, maps[i] + at, t->files[i].size - at < CHUNK ? t->files[i].size - at : CHUNK);
	return h;
}

int reader_main(void *arg)
{
	const struct tree *t = arg;
	unsigned char **maps = calloc(t->nr_files + 1, sizeof(*maps));
	bool mapped = false;
	struct order o;

	if (!maps)
		return 1;
	while (container_next(&o)) {
		struct answer a = { .v = { 0, t->bytes } };

		if (o.what == READER_MAP && !mapped) {
			a.err = map_all(t, maps);
			mapped = !a.err;
		}
		if (mapped)
			a.v[0] = hash_maps(t, maps);
		else if (!a.err)
			a.err = read_all("/", t, 0, &a.v[0]);
		container_answer(&a);
	}
	return 0;
}
