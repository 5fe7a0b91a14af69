// SPDX-License-Identifier: GPL-2.0
/*
 * Folios of several pages: a file may have only a part of one, at another alignment, more than once, and mapped in parts. Read sequentially
 * from the start, a file of this size is cached in folios of up to 32 pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"
#include "tree.h"

#define BLOCKS		256u
#define WINDOW		5u	/* pages of a mapping that is smaller than a folio */

#define MADV_PAGEOUT_		21
#define MADV_SOFT_OFFLINE_	101

/* Golden, a whole clone, and two that have parts of it. */
struct set {
	struct hz_file golden, a, shifted, twice;
	struct hz_file *all[4];
};

static void make_set(struct set *s)
{
	hz_create(&s->golden, "golden", 1, BLOCKS);
	hz_clone(&s->a, &s->golden, "a");
	/* Begins and ends in the middle of folios, and what comes before golden's folio has no place in the file. */
	hz_create(&s->shifted, "shifted", 2, BLOCKS);
	HZ_DO(ftruncate(s->shifted.fd, 0));
	hz_want_size(&s->shifted, 0);
	hz_clone_range(&s->golden, 7, 200, &s->shifted, 0);
	/* Two places of one file show the same folios, at different distances. */
	hz_create(&s->twice, "twice", 3, BLOCKS);
	hz_clone_range(&s->golden, 20, 100, &s->twice, 3);
	hz_clone_range(&s->golden, 50, 100, &s->twice, 114);
	s->all[0] = &s->golden;
	s->all[1] = &s->a;
	s->all[2] = &s->shifted;
	s->all[3] = &s->twice;
	hz_cold();
	hz_cache(&s->golden);
	hz_check_large(&s->golden, "cached");
}

static void map_set(struct set *s)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		hz_map(s->all[i]);
		hz_touch(s->all[i]);
	}
}

static void check_set(const struct set *s, unsigned int ways, const char *stage)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		hz_check(s->all[i], ways, stage);
}

/* Pages of the set, each counted once: golden's, and those that only "twice" has. */
static void check_frames(const struct set *s, unsigned int own, const char *stage)
{
	unsigned int want = BLOCKS + (BLOCKS - 200) + own, unique = hz_unique((struct hz_file *const *)s->all, 4);

	/* A page that drop_caches met in some batch stays private to its file: legal, and rare. */
	if (hz.sharing && (unique < want || unique > want + 4))
		hz_fail("%s: %u frames instead of %u", stage, unique, want);
}

static void write_block(struct hz_file *f, unsigned int b, unsigned int id, unsigned int version)
{
	hz_want_block(f, b, id, b, version);
	if (pwrite(f->fd, f->want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
}

/* Parts of folios, at other offsets and more than once, by every way. */
static void parts(const void *arg)
{
	struct set s;

	(void)arg;
	make_set(&s);
	check_set(&s, HZ_READ, "read");
	check_frames(&s, 0, "read");
	map_set(&s);
	check_set(&s, HZ_ALL, "mapped");
	check_frames(&s, 0, "mapped");
	hz_cold();
	check_set(&s, HZ_OLD_MAP, "after drop_caches");
	hz_unmap(&s.golden);
	hz_unmap(&s.a);
	hz_unmap(&s.twice);
	hz_unmap(&s.shifted);
	hz_cold();
	/* Filled by the file that has only a part. */
	hz_cache(&s.shifted);
	check_set(&s, HZ_ALL, "filled by the shifted one");
	check_frames(&s, 0, "filled by the shifted one");
}

/* Compaction moves whole folios, soft offline splits them first; all PTEs of all files must come back to the right page. */
static void moved(const void *arg)
{
	unsigned int i, b, gone = 0;
	uint64_t before[BLOCKS];
	struct set s;

	(void)arg;
	make_set(&s);
	map_set(&s);
	for (i = 0; i < 4; i++) {
		for (b = 0; b < BLOCKS; b++)
			before[b] = hz_pfn(s.golden.map + b * HZ_PAGE);
		hz_put("/proc/sys/vm/compact_memory", "1");
		for (b = 0; b < BLOCKS; b++)
			gone += hz_pfn(s.golden.map + b * HZ_PAGE) != before[b];
		check_set(&s, HZ_OLD_MAP, "after compaction");
		for (b = 11 + i; b < BLOCKS; b += 50)
			if (madvise(s.a.map + b * HZ_PAGE, HZ_PAGE, MADV_SOFT_OFFLINE_) && errno == EINVAL)
				hz_skip("no soft offline here");
		check_set(&s, HZ_CACHED, "after soft offline");
		hz_touch(&s.golden);
		hz_touch(&s.a);
		hz_touch(&s.shifted);
		hz_touch(&s.twice);
	}
	check_set(&s, HZ_ALL, "in the end");
	if (!gone)
		hz_skip("compaction moved nothing");
}

/* One page of a folio becomes private to one file: the others, and its neighbours, stay shared. */
static void broken(const void *arg)
{
	static const unsigned int blocks[] = { 0, 40, 41, 47, 63, 64, 100, 150 };
	struct set s;
	unsigned int i;

	(void)arg;
	make_set(&s);
	map_set(&s);
	for (i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		write_block(&s.a, blocks[i], 9, 2);
		check_set(&s, HZ_CACHED, "written");
		check_frames(&s, i + 1, "written");
	}
	for (i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		hz_want_block(&s.shifted, blocks[i], 8, blocks[i], 3);
		memcpy(s.shifted.map + blocks[i] * HZ_PAGE, s.shifted.want + blocks[i] * HZ_PAGE, HZ_PAGE);
		check_set(&s, HZ_CACHED, "stored");
	}
	HZ_DO(fsync(s.a.fd));
	HZ_DO(fsync(s.shifted.fd));
	hz_cold_mapped(s.all, 4);
	check_set(&s, HZ_ALL, "in the end");
}

#define NEXT	60u	/* files that are made, at most, until one has the freed blocks */

/* Another tenant's file gets the blocks of "old"; it is looked at by its own clone, and so by the shared cache. Returns how many it got. */
static unsigned int next_owner(const char *name, unsigned int id, unsigned int blocks, const struct fiemap_extent *old, unsigned int n_old)
{
	struct fiemap_extent new[HZ_EXTENTS];
	struct hz_file next, c;
	unsigned int hits;
	char clone[32];

	hz_create(&next, name, id, blocks);
	hits = hz_overlap(new, hz_extents(next.fd, new), old, n_old);
	if (hits) {
		snprintf(clone, sizeof(clone), "%s-clone", name);
		hz_clone(&c, &next, clone);
		hz_check(&c, HZ_CACHED, "clone of the next owner");
		hz_cold();
		hz_check(&c, HZ_ALL, "clone of the next owner, cold");
		hz_check(&next, HZ_ALL, "the next owner");
		hz_close(&c);
	}
	hz_close(&next);
	return hits;
}

/*
 * Blocks in the middle of a folio become free and are another file's, while the pages around them stay mapped. They are punched out of all
 * their owners.
 */
static void freed(const void *arg)
{
	static const unsigned int first[] = { 30, 85, 150 };
	struct fiemap_extent all[HZ_EXTENTS], old;
	unsigned int i, j, b, n_all, hits, total = 0;
	struct set s;
	int filler;

	(void)arg;
	make_set(&s);
	map_set(&s);
	n_all = hz_extents(s.golden.fd, all);
	filler = hz_take_space(1024);
	for (i = 0; i < 3; i++) {
		const unsigned int n = 3;
		/* Where golden's block b is in the others. */
		const struct { struct hz_file *f; unsigned int from, to, at; } places[] = {
			{ &s.golden, 0, BLOCKS, 0 }, { &s.a, 0, BLOCKS, 0 }, { &s.shifted, 7, 207, 0 },
			{ &s.twice, 20, 120, 3 }, { &s.twice, 50, 150, 114 },
		};
		char name[24];

		for (j = 0; j < sizeof(places) / sizeof(*places); j++)
			for (b = first[i]; b < first[i] + n; b++) {
				uint64_t off;

				if (b < places[j].from || b >= places[j].to)
					continue;
				off = (uint64_t)(b - places[j].from + places[j].at) * HZ_PAGE;
				HZ_DO(fallocate(places[j].f->fd, 3 /* punch, keep size */, (off_t)off, HZ_PAGE));
				hz_want_zero(places[j].f, off, HZ_PAGE);
			}
		check_set(&s, HZ_CACHED, "punched");
		settle(TREE_MNT);
		for (j = 0; j < n_all; j++) {
			const uint64_t at = (uint64_t)first[i] * HZ_PAGE;

			if (at < all[j].fe_logical || at + n * HZ_PAGE > all[j].fe_logical + all[j].fe_length)
				continue;
			old = (struct fiemap_extent){ .fe_physical = all[j].fe_physical + at - all[j].fe_logical,
						      .fe_length = n * HZ_PAGE };
			for (b = 0, hits = 0; b < NEXT && !hits; b++) {
				snprintf(name, sizeof(name), "next%u-%u", i, b);
				hits = next_owner(name, 20 + i, n, &old, 1);
			}
			total += hits;
		}
		check_set(&s, HZ_ALL, "after the next owner has written");
	}
	if (filler >= 0)
		close(filler);
	if (hz.xfs && !total)
		hz_fail("no freed block was given away: this test tests nothing");
}

/* Mappings that show a few pages of a folio each; reclaim and truncation find all of them. */
static void windows(const void *arg)
{
	uint8_t *m[BLOCKS / WINDOW];
	unsigned int i, b, round, left;
	struct set s;

	(void)arg;
	make_set(&s);
	for (i = 0; i < BLOCKS / WINDOW; i++) {
		m[i] = mmap(NULL, WINDOW * HZ_PAGE, PROT_READ, MAP_SHARED, s.a.fd, (off_t)i * WINDOW * HZ_PAGE);
		if (m[i] == MAP_FAILED)
			hz_fail("mmap: %m");
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < BLOCKS / WINDOW; i++)
			for (b = 0; b < WINDOW; b++)
				hz_compare(&s.a, m[i] + b * HZ_PAGE, (uint64_t)(i * WINDOW + b) * HZ_PAGE, HZ_PAGE, "a small mapping",
					   "windows");
		switch (round) {
		case 0:
			for (i = 0; i < BLOCKS / WINDOW; i += 2)
				if (madvise(m[i], WINDOW * HZ_PAGE, MADV_PAGEOUT_))
					hz_fail("MADV_PAGEOUT: %m");
			/* Which goes for no folio that is mapped in several places. */
			for (i = 0, left = BLOCKS; i < 20 && left > BLOCKS / 2 && hz_reclaim(64); i++)
				for (left = 0, b = 0; b < BLOCKS / WINDOW * WINDOW; b++)
					left += hz_mapped(m[b / WINDOW] + b % WINDOW * HZ_PAGE) != 0;
			if (i && left > BLOCKS / 2)
				hz_fail("%u of %u pages are still mapped after reclaim", left, BLOCKS);
			break;
		case 1:
			for (b = 9; b < BLOCKS; b += 31)
				write_block(&s.a, b, 9, 2);
			break;
		}
	}
	HZ_DO(ftruncate(s.a.fd, 100 * HZ_PAGE));
	hz_want_size(&s.a, 100 * HZ_PAGE);
	for (i = 100 / WINDOW; i < BLOCKS / WINDOW; i++) {
		uint64_t v;

		if (hz_peek(m[i], &v))
			hz_fail("a page beyond the end is still mapped");
	}
	check_set(&s, HZ_ALL, "truncated");
}

/*
 * The blocks are in the file at a larger index than they have as keys, and the mapping begins at the start of the file: a walk of the reverse
 * map that takes the one for the other ends before it has begun, and nothing of it could ever be reclaimed.
 */
static void far(const void *arg)
{
	const off_t at = 4ll << 30;	/* more blocks than the device has */
	struct file_clone_range r = { .src_length = BLOCKS * HZ_PAGE, .dest_offset = (uint64_t)at };
	const size_t len = (size_t)at + BLOCKS * HZ_PAGE;
	struct hz_file golden;
	unsigned int b, left = 0;
	char path[160];
	uint8_t *m;
	int fd;

	(void)arg;
	hz_create(&golden, "golden", 1, BLOCKS);
	hz_path(path, sizeof(path), "far");
	fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	r.src_fd = golden.fd;
	HZ_DO(ioctl(fd, FICLONERANGE, &r));
	hz_cold();
	hz_cache(&golden);
	hz_check_large(&golden, "cached");
	m = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&golden, m + at, 0, BLOCKS * HZ_PAGE, "the far mapping", "mapped");
	if (madvise(m + at, BLOCKS * HZ_PAGE, MADV_PAGEOUT_))
		hz_fail("MADV_PAGEOUT: %m");
	for (b = 0; b < BLOCKS; b++)
		left += hz_mapped(m + at + b * HZ_PAGE) != 0;
	/* Some may be in a batch of another CPU's. */
	if (left > BLOCKS / 2)
		hz_fail("%u of %u pages are still mapped after MADV_PAGEOUT", left, BLOCKS);
	hz_compare(&golden, m + at, 0, BLOCKS * HZ_PAGE, "the far mapping", "mapped again");
	munmap(m, len);
	close(fd);
}

/*
 * Mapped in pieces that have no first page of a folio: a walk of the reverse map that asks for the first one alone finds none of them, so that
 * nothing can be split or moved.
 */
static void inside(const void *arg)
{
	struct fiemap_extent extent[HZ_EXTENTS];
	unsigned int i, tried = 0, failed = 0;
	struct hz_file golden, a;
	uint64_t before;
	uint8_t *m;

	(void)arg;
	hz_create(&golden, "golden", 1, BLOCKS);
	hz_clone(&a, &golden, "a");
	if (hz_extents(a.fd, extent) != 1)
		hz_skip("the file is in several extents");
	hz_cold();
	hz_cache(&golden);
	hz_check_large(&golden, "cached");
	/* Folios begin at multiples of their size on the device. */
	for (i = 0; i + 1 < BLOCKS && tried < 8; i++) {
		if ((extent[0].fe_physical / HZ_PAGE + i) % 16 != 9)
			continue;
		m = mmap(NULL, 2 * HZ_PAGE, PROT_READ, MAP_SHARED, a.fd, (off_t)i * HZ_PAGE);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
		before = hz_pfn(m);
		if (hz_pfn(m + HZ_PAGE) == 0 || before == 0)
			hz_fail("SIGBUS in a piece");
		tried++;
		if (madvise(m, HZ_PAGE, MADV_SOFT_OFFLINE_)) {
			if (errno == EINVAL)
				hz_skip("no soft offline here");
			failed++;
		} else if (hz_pfn(m) == before) {
			hz_fail("a page that was taken out of use is still mapped");
		}
		hz_compare(&a, m, (uint64_t)i * HZ_PAGE, 2 * HZ_PAGE, "a piece", "moved");
		munmap(m, 2 * HZ_PAGE);
	}
	/* One may be in a batch of another CPU's. */
	if (failed > tried / 2)
		hz_fail("%u of %u pages could not be taken out of use", failed, tried);
	hz_check(&a, HZ_ALL, "in the end");
	hz_check(&golden, HZ_ALL, "in the end");
}

const struct hz_test hz_large_tests[] = {
	{ "large-parts", "files that have parts of folios, at other offsets and twice", .fn = parts },
	{ "large-moved", "compaction and soft offline of folios that several files map in parts", .fn = moved },
	{ "large-broken", "one page of a folio becomes private, its neighbours stay shared", .fn = broken },
	{ "large-freed", "blocks in the middle of a folio are freed and become another file's", .fn = freed },
	{ "large-windows", "mappings smaller than a folio: reclaim, write, truncate", .fn = windows },
	{ "large-far", "blocks that are further from the start of the file than from that of the device: reclaim", .fn = far },
	{ "large-inside", "mappings that have no first page of a folio: soft offline", .fn = inside },
	{ NULL, NULL, 0, NULL, NULL }
};
