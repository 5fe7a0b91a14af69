// SPDX-License-Identifier: GPL-2.0
/*
 * Choosing and mapping ranges of a tree's files, see pick.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pick.h"
#include "timing.h"

#define AREA_ALIGN	(2u << 20)
#define CACHE_CHUNK	(64u << 10)

static int by_size(const void *a, const void *b)
{
	const struct tree_file *x = *(const struct tree_file *const *)a, *y = *(const struct tree_file *const *)b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* One file's part of the linear content, by pread in large pieces. */
static int load(struct pick *p, struct pick_file *f)
{
	uint64_t done = 0, len = f->pages * PAGE;
	ssize_t n;

	while (done < len) {
		n = pread(f->fd, p->data + f->first * PAGE + done, len - done, done);
		if (n <= 0)
			return wl_fail(p->ctx, n ? -errno : -EIO, "read %s: %s", f->path, n ? strerror(errno) : "end of file");
		done += n;
	}
	return 0;
}

int pick_make(struct wl_ctx *ctx, struct tree *t, uint64_t pages, uint64_t align, struct pick *p)
{
	const struct tree_file **sorted;
	unsigned int i;
	uintptr_t at;
	int err = 0;

	memset(p, 0, sizeof(*p));
	p->ctx = ctx;
	sorted = malloc((t->nr_files + 1) * sizeof(*sorted));
	p->files = calloc(t->nr_files + 1, sizeof(*p->files));
	if (!sorted || !p->files) {
		free(sorted);
		return wl_fail(ctx, -ENOMEM, "no memory for a list of %u files", t->nr_files);
	}
	for (i = 0; i < t->nr_files; i++)
		sorted[i] = &t->files[i];
	qsort(sorted, t->nr_files, sizeof(*sorted), by_size);
	for (i = 0; i < t->nr_files && p->pages < pages; i++) {
		uint64_t use = sorted[i]->size / PAGE;

		if (use > pages - p->pages)
			use = pages - p->pages;
		use -= use % align;
		if (!use)
			break;
		p->files[p->nr++] = (struct pick_file){ sorted[i]->path, p->pages, use, -1 };
		p->pages += use;
	}
	free(sorted);
	if (!p->pages)
		return wl_fail(ctx, -ENODATA, "no file of the image has %llu pages", (unsigned long long)align);
	wl_info(ctx, "pick", "%llu pages of %u files (asked for %llu, in units of %llu)", (unsigned long long)p->pages, p->nr,
		(unsigned long long)pages, (unsigned long long)align);

	p->data = resident_alloc(p->pages * PAGE);
	p->area = mmap(NULL, p->pages * PAGE + 2 * AREA_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!p->data || p->area == MAP_FAILED)
		return wl_fail(ctx, -ENOMEM, "no memory for %llu pages", (unsigned long long)p->pages);
	at = ((uintptr_t)p->area + AREA_ALIGN - 1) & ~(uintptr_t)(AREA_ALIGN - 1);
	p->area = (unsigned char *)at;

	err = pick_open(p, tree_golden(t), O_RDONLY | O_DIRECT);
	for (i = 0; !err && i < p->nr; i++)
		err = load(p, &p->files[i]);
	pick_close(p);
	return err;
}

int pick_open(struct pick *p, const char *root, int flags)
{
	char path[PATH_MAX];
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, p->files[i].path);
		p->files[i].fd = open(path, flags | O_CLOEXEC);
		if (p->files[i].fd < 0) {
			int err = wl_fail(p->ctx, -errno, "open %s: %s", path, strerror(errno));

			pick_close(p);
			return err;
		}
	}
	return 0;
}

void pick_close(struct pick *p)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		if (p->files[i].fd >= 0)
			close(p->files[i].fd);
		p->files[i].fd = -1;
	}
}

int pick_map(struct pick *p, int prot, int flags, int advice)
{
	unsigned int i;
	void *m;

	for (i = 0; i < p->nr; i++) {
		const struct pick_file *f = &p->files[i];

		m = mmap(p->area + f->first * PAGE, f->pages * PAGE, prot, flags | MAP_FIXED, f->fd, 0);
		if (m == MAP_FAILED || madvise(m, f->pages * PAGE, advice))
			return wl_fail(p->ctx, -errno, "mmap %s: %s", f->path, strerror(errno));
	}
	return 0;
}

void pick_unmap(struct pick *p)
{
	/* Back to reserved address space: nobody else may be given the place. */
	mmap(p->area, p->pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

int pick_cache(struct pick *p, const char *root)
{
	static unsigned char buf[CACHE_CHUNK];
	unsigned int i;
	int err;

	err = pick_open(p, root, O_RDONLY);
	if (err)
		return err;
	for (i = 0; i < p->nr && !err; i++) {
		const struct pick_file *f = &p->files[i];
		uint64_t off, len = f->pages * PAGE;
		ssize_t n;

		for (off = 0; off < len; off += n) {
			n = pread(f->fd, buf, len - off < sizeof(buf) ? len - off : sizeof(buf), off);
			if (n <= 0) {
				err = wl_fail(p->ctx, n ? -errno : -EIO, "read %s/%s: %s", root, f->path,
					      n ? strerror(errno) : "end of file");
				break;
			}
		}
	}
	pick_close(p);
	return err;
}

bool pick_same(const struct pick *p, const unsigned char *mem)
{
	return !memcmp(mem, p->data, p->pages * PAGE);
}
