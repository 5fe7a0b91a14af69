// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks get a second life: freed and given to another file, or overwritten in place once the last other owner is gone. What was
 * cached of the first life must never show again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"
#include "tree.h"

#define BLOCKS	64u

/* How the second life is written. */
struct way {
	const char *name;
	void (*write)(struct hz_file *f, uint64_t off, uint64_t len);
};

/* Writes what the model says. */
static void by_write(struct hz_file *f, uint64_t off, uint64_t len)
{
	if (pwrite(f->fd, f->want + off, len, (off_t)off) != (ssize_t)len)
		hz_fail("write: %m");
}

static void by_write_sync(struct hz_file *f, uint64_t off, uint64_t len)
{
	by_write(f, off, len);
	HZ_DO(fsync(f->fd));
}

static void by_store(struct hz_file *f, uint64_t off, uint64_t len)
{
	uint8_t *m;

	if (off + len > f->size)
		hz_fail("store behind the end");
	m = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	memcpy(m + off, f->want + off, len);
	HZ_DO(msync(m, f->size, MS_SYNC));
	munmap(m, f->size);
}

static void by_direct(struct hz_file *f, uint64_t off, uint64_t len)
{
	int fd = hz_open_direct(f);

	if (pwrite(fd, f->want + off, len, (off_t)off) != (ssize_t)len)
		hz_fail("direct write: %m");
	close(fd);
}

static void by_aio(struct hz_file *f, uint64_t off, uint64_t len)
{
	int fd = hz_open_direct(f);

	hz_aio_write(fd, f->want + off, len, off);
	close(fd);
}

/* Sector by sector: XFS does unaligned direct writes under other locks. */
static void by_direct_512(struct hz_file *f, uint64_t off, uint64_t len)
{
	int fd = hz_open_direct(f);
	uint64_t done;

	for (done = 0; done < len; done += 512)
		if (pwrite(fd, f->want + off + done, 512, (off_t)(off + done)) != 512)
			hz_fail("direct write of a sector: %m");
	close(fd);
}

/* The file's blocks go to another file, which must show its own data, also through clones of its own. */
static void freed(const void *arg)
{
	const struct way *way = arg;
	struct fiemap_extent old[HZ_EXTENTS], new[HZ_EXTENTS];
	struct hz_file a, b, c, d, *two[] = { &c, &d };
	unsigned int n_old, n_new, i, blk, round, hits, total = 0;
	char name[16];
	int filler;

	for (round = 0; round < 4; round++) {
		hz_create(&a, "a", 1, BLOCKS);
		hz_clone(&b, &a, "b");
		hz_cold();
		hz_map(&a);
		hz_touch(&a);
		hz_cache(&a);
		hz_cache(&b);
		n_old = hz_extents(a.fd, old);
		filler = hz_take_space(2048);
		/* The last owner goes by unlink or by truncate. */
		hz_unlink(&b);
		if (round & 1) {
			HZ_DO(ftruncate(a.fd, 0));
			hz_want_size(&a, 0);
			HZ_DO(fsync(a.fd));
		} else {
			hz_unlink(&a);
		}
		settle(TREE_MNT);
		/* Another tenant's files, until one got those blocks. */
		for (i = 0, hits = 0; i < 14 && !hits; i++) {
			snprintf(name, sizeof(name), "d%u", i);
			hz_create(&d, name, 4, 0);
			for (blk = 0; blk < BLOCKS; blk++)
				hz_want_block(&d, blk, 5 + i, blk, 2);
			if (fallocate(d.fd, 0, 0, (off_t)d.size)) {
				if (errno != ENOSPC)
					hz_fail("fallocate: %m");
				hz_close(&d);
				break;
			}
			way->write(&d, 0, d.size);
			n_new = hz_extents(d.fd, new);
			hits = hz_overlap(new, n_new, old, n_old);
			snprintf(name, sizeof(name), "e%u", i);
			hz_clone(&c, &d, name);
			if (round & 1)
				hz_check(&a, HZ_OLD_MAP | HZ_READ, "truncated");
			hz_check(&d, HZ_CACHED, "second life");
			hz_check(&c, HZ_CACHED, "clone of the second life");
			hz_cold();
			hz_check(&c, HZ_CACHED, "second life, cold");
			hz_check_shared(two, 2, "second life");
			hz_check(&d, HZ_ALL, "second life, cold");
			hz_close(&c);
			hz_close(&d);
		}
		total += hits;
		for (; i--;) {
			char path[160];

			snprintf(name, sizeof(name), "d%u", i);
			hz_path(path, sizeof(path), name);
			unlink(path);
			snprintf(name, sizeof(name), "e%u", i);
			hz_path(path, sizeof(path), name);
			unlink(path);
		}
		if (filler >= 0) {
			HZ_DO(ftruncate(filler, 0));
			close(filler);
		}
		if (round & 1)
			hz_unlink(&a);
		settle(TREE_MNT);
	}
	if (!total && hz.xfs)
		hz_fail("the file system never used the freed blocks again: this test tests nothing");
	if (!total)
		hz_skip("the file system never used the freed blocks again");
}

/* Only one owner is left: writes go to the same blocks. */
static void in_place(const void *arg)
{
	const struct way *way = arg;
	struct fiemap_extent old[HZ_EXTENTS], new[HZ_EXTENTS];
	unsigned int round, i, n_old, n_new, same = 0;
	struct hz_file a, b, c;
	const char *name = "b";

	hz_create(&a, "a", 1, BLOCKS);
	for (round = 0; round < 6; round++) {
		hz_clone(&b, &a, name);
		hz_cold();
		if (round & 1)
			hz_map(&a);
		hz_touch(&a);
		hz_cache(&a);
		if (round & 2) {
			hz_map(&b);
			hz_touch(&b);
		}
		hz_check(&b, HZ_READ, "both");
		n_old = hz_extents(a.fd, old);
		/* The other owner goes: all at once, or by writing its own. */
		if (round < 3) {
			hz_unlink(&b);
		} else {
			for (i = 0; i < BLOCKS; i++)
				hz_want_block(&b, i, 2, i, round);
			by_write_sync(&b, 0, b.size);
			hz_unlink(&b);
		}
		settle(TREE_MNT);
		for (i = 0; i < BLOCKS; i++) {
			if (i % 3 == 2)
				continue;
			hz_want_block(&a, i, 1, i, 10 + round);
			way->write(&a, (uint64_t)i * HZ_PAGE, HZ_PAGE);
			if (!(i % 8))
				hz_check(&a, HZ_OLD_MAP | HZ_READ, "overwriting");
		}
		hz_check(&a, HZ_CACHED, "overwritten");
		sync();
		n_new = hz_extents(a.fd, new);
		same += hz_overlap(new, n_new, old, n_old);
		/* A new clone, so that the blocks are looked up as shared ones again. */
		hz_clone(&c, &a, "c");
		hz_check(&c, HZ_CACHED, "clone of the overwritten");
		hz_check(&a, HZ_CACHED, "cloned again");
		hz_unmap(&a);
		hz_cold();
		hz_check(&c, HZ_CACHED, "clone of the overwritten, cold");
		hz_check(&a, HZ_ALL, "overwritten, cold");
		hz_unlink(&c);
		settle(TREE_MNT);
	}
	if (!same && hz.xfs)
		hz_fail("not one block was written in place: this test tests nothing");
}

/*
 * The moment in which the old page leaves the cache, with its mark, while a reader who comes after the write has found it already: both the
 * reaper and the look-up are made slower, where the kernel offers that.
 */
static void reaped(const void *arg)
{
	static const char reap[] = "/sys/module/shcache/parameters/delay_doom_reap";
	static const char look[] = "/sys/module/shcache/parameters/delay_found_doomed";
	struct hz_file a, b;
	unsigned int i;
	uint64_t v;

	(void)arg;
	hz_create(&a, "a", 1, 8);
	hz_clone(&b, &a, "b");
	hz_cold();
	hz_check(&b, HZ_READ, "both");
	hz_check(&a, HZ_READ, "both");
	hz_unlink(&b);
	settle(TREE_MNT);
	for (i = 0; i < 8; i += 3) {
		hz_want_block(&a, i, 1, i, 2);
		hz_put(reap, "150");
		hz_put(look, "400");
		by_direct(&a, (uint64_t)i * HZ_PAGE, HZ_PAGE);
		HZ_DO(pread(a.fd, &v, sizeof(v), (off_t)i * HZ_PAGE));
		hz_put(look, "0");
		hz_put(reap, "0");
		if (v != hz_word(1, i, 2))
			hz_fail("block %u shows %016llx after a write in place has returned", i, (unsigned long long)v);
	}
	hz_check(&a, HZ_ALL, "in the end");
}

struct window {
	struct hz_file *f;
	const struct way *way;
	unsigned int block;	/* is written */
	unsigned int at;	/* is looked at ... */
	unsigned int first;	/* ... by a read that starts here, */
	size_t len;		/* of so many bytes, */
	bool by_read;		/* or through the mapping */
	uint64_t old;		/* what may be seen at first */
};

static void write_window(void *arg)
{
	struct window *w = arg;

	w->way->write(w->f, (uint64_t)w->block * HZ_PAGE, HZ_PAGE);
}

/* The old data or the new, while it is being written. */
static void look_window(void *arg)
{
	struct window *w = arg;
	uint8_t buf[8 * HZ_PAGE];
	uint64_t v;

	if (w->by_read) {
		HZ_DO(pread(w->f->fd, buf, w->len, (off_t)w->first * HZ_PAGE));
		memcpy(&v, buf + (w->at - w->first) * HZ_PAGE, sizeof(v));
	} else if (!hz_peek(w->f->map + w->at * HZ_PAGE, &v)) {
		hz_fail("SIGBUS");
	}
	if (v != w->old && v != hz_word(1, w->at, 2))
		hz_fail("block %u shows %016llx", w->at, (unsigned long long)v);
}

/* Pages that were read into the shared cache, and had to yield to a writer; 0 on a kernel that does not count them. */
static long long yielded(void)
{
	long long n = hz_stat("/proc/vmstat", "shcache_yield");

	return n < 0 ? 0 : n;
}

/* Returns whether the kernel offers the delays, of times "scale". */
static bool overwrite_in_window(const struct way *way, bool beside, unsigned int scale)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_purge_write";
	static const char before[] = "/sys/module/shcache/parameters/delay_lookup_insert";
	struct hz_file a, b;
	struct window w = { .f = &a, .way = way, .len = beside ? 8 * HZ_PAGE : sizeof(uint64_t) };
	char ms[2][12];
	bool slow = true;
	unsigned int i;
	uint64_t end, v;
	int fd;

	snprintf(ms[0], sizeof(ms[0]), "%u", 60 * scale);
	snprintf(ms[1], sizeof(ms[1]), "%u", 40 * scale);
	hz_create(&a, "a", 1, BLOCKS);
	hz_map(&a);
	for (i = BLOCKS / 2; i < BLOCKS; i += 2) {
		pid_t early = -1, writer;

		/* What is mapped would stay. */
		hz_unmap(&a);
		hz_cold();
		hz_map(&a);
		hz_clone(&b, &a, "b");
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED));
		/* Now it is known as shared, for a while, by a page far away, and that alone. */
		fd = HZ_DO(open(a.path, O_RDONLY | O_CLOEXEC));
		HZ_DO(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
		HZ_DO(pread(fd, &v, sizeof(v), 0));
		close(fd);
		w.block = i;
		w.at = beside ? i ^ 4 : i;
		w.first = beside ? i & ~7u : i;
		w.by_read = (i & 2) != 0;
		memcpy(&w.old, a.want + w.at * HZ_PAGE, sizeof(w.old));
		hz_want_block(&a, i, 1, i, 2);
		/*
		 * One reader has looked while it was shared, and goes on after the writer has begun: the kernel need not remember for that,
		 * which it does for a second only. A store would wait for the reader where it reads. Nobody else looks before that reader
		 * is done: he would find no writer yet, and read all.
		 */
		if ((beside || i & 4) && hz_put(before, ms[1])) {
			early = hz_fork(look_window, &w);
			usleep(10000 * scale);
			hz_put(before, "0");
		}
		HZ_DO(ftruncate(b.fd, 0));
		slow = hz_put(delay, ms[0]);
		writer = hz_fork(write_window, &w);
		if (early > 0)
			hz_join(early);
		for (end = hz_ms() + 40 * scale; hz_ms() < end;) {
			look_window(&w);
			HZ_DO(madvise(a.map, a.size, MADV_DONTNEED));
		}
		hz_join(writer);
		hz_put(delay, "0");
		HZ_DO(fdatasync(a.fd));
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED));
		hz_check(&a, HZ_READ | HZ_OLD_MAP, "written");
		hz_unlink(&b);
	}
	hz_check(&a, HZ_ALL, "in the end");
	hz_unlink(&a);
	return slow;
}

/*
 * Population while the last owner writes in place: the moment between the purge and the submission of the write is made longer, where the
 * kernel offers that, and the block is looked up again and again meanwhile. With "beside", it is the page next to it, in a window with it: both
 * may be in one folio. There, and on XFS, a reader must have met the writer; on a machine that is too slow for that, with longer delays.
 */
static void windows(const struct way *way, bool beside)
{
	long long before = yielded();
	unsigned int scale;

	for (scale = 1; scale <= 16; scale *= 2)
		if (!overwrite_in_window(way, beside, scale) || !hz.sharing || !hz.xfs || yielded() != before)
			return;
	hz_fail("no reader has met a writer: this test tests nothing");
}

static void window(const void *arg)
{
	windows(arg, false);
}

static void window_beside(const void *arg)
{
	windows(arg, true);
}

struct slow_read {
	int fd;
	uint64_t *seen;		/* shared: the word that the reader got */
};

static void read_slowly(void *arg)
{
	struct slow_read *r = arg;
	uint64_t v = 0;

	HZ_DO(pread(r->fd, &v, sizeof(v), 0));
	__atomic_store_n(r->seen, v, __ATOMIC_SEQ_CST);
}

#define OTHERS	40u

/* Another tenant's empty file gets blocks, if there are any left, and is written. Returns how many of them lie in one of the extents. */
static unsigned int take_and_write(const char *name, unsigned int blocks, const struct fiemap_extent *old, unsigned int n_old)
{
	struct fiemap_extent new[HZ_EXTENTS];
	unsigned int hits = 0;
	char path[160];
	void *buf;
	int fd;

	hz_path(path, sizeof(path), name);
	fd = HZ_DO(open(path, O_RDWR | O_DIRECT | O_CLOEXEC));
	if (!fallocate(fd, 0, 0, blocks * HZ_PAGE)) {
		buf = hz_buffer(blocks * HZ_PAGE);
		memset(buf, 0x77, blocks * HZ_PAGE);
		if (pwrite(fd, buf, blocks * HZ_PAGE, 0) != (ssize_t)(blocks * HZ_PAGE))
			hz_fail("direct write of %s: %m", name);
		munmap(buf, blocks * HZ_PAGE);
		hits = hz_overlap(new, hz_extents(fd, new), old, n_old);
	}
	close(fd);
	return hits;
}

/*
 * A read is on its way to the device; meanwhile its block loses all owners, is freed, given to another tenant and written. What the
 * reader gets must be its own file's data, old or new. Where the reads can be delayed, and XFS frees blocks at once, it must have happened.
 */
static void window_freed(const void *arg)
{
	static const char delay[] = "/sys/module/shcache/parameters/delay_insert_read";
	struct fiemap_extent old[HZ_EXTENTS];
	const unsigned int blocks = 16;
	uint64_t *seen = hz_shared_memory(HZ_PAGE);
	/* The first one reads; the second one finds what is being read, and waits for it. */
	struct slow_read r[2] = { { .seen = &seen[0] }, { .seen = &seen[1] } };
	unsigned int round, i, n_old, hits, total = 0;
	unsigned int ms = 1500;
	struct hz_file a, b, c;
	char name[16], text[64];
	bool slow = true;
	pid_t pid[2];
	int filler;

	(void)arg;
	/* If this machine is too slow for the delay, with a longer one. */
	for (round = 0; round < 3 || (slow && hz.sharing && hz.xfs && !total && round < 4); round++) {
		/* The other tenant's files, while there is room for their inodes. */
		for (i = 0; i < OTHERS; i++) {
			snprintf(name, sizeof(name), "c%u", i);
			hz_create(&c, name, 77, 0);
			hz_close(&c);
		}
		hz_create(&a, "a", 1, blocks);
		hz_clone(&b, &a, "b");
		n_old = hz_extents(a.fd, old);
		filler = hz_take_space(2048);
		hz_cold();
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_RANDOM));
		if (round && !total)
			ms *= 2;
		snprintf(text, sizeof(text), "%u", ms);
		slow = hz_put(delay, text);
		for (i = 0; i < 2; i++) {
			r[i].fd = a.fd;
			seen[i] = 0;
			pid[i] = hz_fork(read_slowly, &r[i]);
			usleep(60000);
		}
		/* A direct write waits neither for who reads this file, as write(2), nor for what is being read, as a store. */
		for (i = 0; i < blocks; i++)
			hz_want_block(&a, i, 1, i, 2);
		by_direct(&a, 0, a.size);
		hz_put(delay, "0");
		HZ_DO(ftruncate(b.fd, 0));
		settle(TREE_MNT);
		for (i = 0, hits = 0; i < OTHERS && !hits; i++) {
			snprintf(name, sizeof(name), "c%u", i);
			hits = take_and_write(name, blocks, old, n_old);
		}
		/* Only worth something if the reader was still on his way. */
		if (!seen[0] && !seen[1])
			total += hits;
		for (i = 0; i < 2; i++)
			hz_join(pid[i]);
		for (i = 0; i < 2; i++)
			if (seen[i] != hz_word(1, 0, 1) && seen[i] != hz_word(1, 0, 2))
				hz_fail("reader %u got %s", i + 1, hz_word_text(seen[i], text, sizeof(text)));
		hz_check(&a, HZ_ALL, "afterwards");
		for (i = 0; i < OTHERS; i++) {
			char path[160];

			snprintf(name, sizeof(name), "c%u", i);
			hz_path(path, sizeof(path), name);
			HZ_DO(unlink(path));
		}
		if (filler >= 0) {
			HZ_DO(ftruncate(filler, 0));
			close(filler);
		}
		hz_unlink(&a);
		hz_unlink(&b);
		settle(TREE_MNT);
	}
	wl_info(hz.ctx, "reuse-window-freed", "%u blocks were given away under a reader", total);
	if (slow && hz.sharing && hz.xfs && !total)
		hz_fail("not one block was given away under a reader: this test tests nothing");
}

/* Without dropping anything in between: clone, populate, unclone, overwrite, clone ... the keys stay, the contents change. */
static void generations(const void *arg)
{
	const struct way *way = arg;
	struct hz_file a, b;
	unsigned int round, i;

	hz_create(&a, "a", 1, BLOCKS);
	hz_map(&a);
	for (round = 2; round < 22; round++) {
		hz_clone(&b, &a, "b");
		hz_map(&b);
		/* Read through the clone first: golden's private pages must not hide what is in the shared ones. */
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED));
		hz_check(&b, HZ_OLD_MAP | HZ_READ, "clone");
		hz_check(&a, HZ_OLD_MAP | HZ_READ, "cloned");
		hz_unlink(&b);
		settle(TREE_MNT);
		for (i = round % 4; i < BLOCKS; i += 4)
			hz_want_block(&a, i, 1, i, round);
		for (i = round % 4; i < BLOCKS; i += 4)
			way->write(&a, (uint64_t)i * HZ_PAGE, HZ_PAGE);
		hz_check(&a, HZ_OLD_MAP | HZ_READ, "overwritten");
		HZ_DO(fsync(a.fd));
		/* Clean and unmapped pages go; a look-up comes next. */
		hz_unmap(&a);
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED));
		hz_check(&a, HZ_READ, "overwritten, private pages dropped");
		hz_map(&a);
	}
	hz_check(&a, HZ_ALL, "in the end");
}

/*
 * unshare takes the file out of sharing altogether; then it is written in place, and shared again. In every other round there is nothing to copy
 * any more, since the other owner has gone: the blocks stay, and what is cached of them is of their time as shared ones.
 */
static void unshare_then_write(const void *arg)
{
	struct hz_file a, b, c;
	unsigned int i, round;

	(void)arg;
	hz_create(&a, "a", 1, BLOCKS);
	for (round = 2; round < 8; round++) {
		bool alone = round % 2;

		hz_clone(&b, &a, "b");
		hz_cold();
		hz_map(&a);
		hz_map(&b);
		hz_touch(&a);
		hz_touch(&b);
		if (alone) {
			hz_unmap(&b);
			hz_unlink(&b);
			settle(TREE_MNT);
		}
		if (fallocate(a.fd, 0x40, 0, (off_t)a.size))
			hz_skip("no unshare here: %m");
		HZ_DO(fsync(a.fd));
		for (i = 0; i < BLOCKS; i += 2) {
			hz_want_block(&a, i, 1, i, round);
			by_direct(&a, (uint64_t)i * HZ_PAGE, HZ_PAGE);
		}
		hz_check(&a, HZ_CACHED, "unshared and written");
		hz_unmap(&a);
		if (!alone) {
			hz_check(&b, HZ_CACHED, "unshared from");
			hz_unlink(&b);
		}
		/* The clone first: the file's own pages must not hide what is in the shared ones. */
		hz_clone(&c, &a, "c");
		hz_check(&c, HZ_CACHED, "shared again");
		HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED));
		hz_check(&a, HZ_CACHED, "shared again");
		hz_unlink(&c);
	}
	hz_check(&a, HZ_ALL, "in the end");
}

/* What the medium has is what the file is expected to be. Its own pages may be older, which is nobody's business here. */
static void expect_medium(struct hz_file *f)
{
	uint8_t *buf = hz_buffer(f->size);
	int fd = hz_open_direct(f);

	if (pread(fd, buf, f->size, 0) != (ssize_t)f->size)
		hz_fail("direct read: %m");
	close(fd);
	memcpy(f->want, buf, f->size);
	munmap(buf, f->size);
	HZ_DO(posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED));
}

/* Swap writes behind the file system's back, on blocks that were shared and cached once. */
static void swap_file(const void *arg)
{
	const unsigned int blocks = 512, pages = 300;
	struct hz_file a, b;
	unsigned int i, round;
	uint32_t *head;
	uint8_t *anon;

	(void)arg;
	hz_create(&a, "a", 1, blocks);
	for (round = 0; round < 2; round++) {
		/* A swap header, as mkswap makes it: version, last page; signature at the end of the page. */
		head = (uint32_t *)(void *)(a.want + 1024);
		memset(a.want, 0, HZ_PAGE);
		head[0] = 1;
		head[1] = blocks - 1;
		memcpy(a.want + HZ_PAGE - 10, "SWAPSPACE2", 10);
		by_direct(&a, 0, HZ_PAGE);
		HZ_DO(fchmod(a.fd, 0600));
		hz_clone(&b, &a, "b");
		hz_cold();
		hz_map(&a);
		hz_touch(&a);
		hz_cache(&b);
		hz_unmap(&a);
		hz_unlink(&b);
		settle(TREE_MNT);
		if (swapon(a.path, 0))
			hz_skip("swapon: %m");
		anon = hz_buffer(pages * HZ_PAGE);
		for (i = 0; i < pages; i++)
			hz_fill(anon + i * HZ_PAGE, 66, i, round);
		HZ_DO(madvise(anon, pages * HZ_PAGE, 21 /* MADV_PAGEOUT */));
		for (i = 0; i < pages; i++)
			if (*(volatile uint64_t *)(void *)(anon + i * HZ_PAGE) != hz_word(66, i, round))
				hz_fail("swapped-out page %u came back wrong", i);
		HZ_DO(madvise(anon, pages * HZ_PAGE, 21));
		while (hz_stat("/proc/vmstat", "nr_writeback") > 0)
			usleep(1000);
		/* Whatever swap has written there, all see it, from its first page on. */
		expect_medium(&a);
		hz_check(&a, HZ_CACHED, "a file that is being swapped to");
		HZ_DO(swapoff(a.path));
		munmap(anon, pages * HZ_PAGE);
		expect_medium(&a);
		hz_clone(&b, &a, "c");
		hz_check(&b, HZ_CACHED, "clone of the swap file");
		hz_check(&a, HZ_CACHED, "after swapoff");
		hz_unlink(&b);
	}
}

#define WAY(kind, how)	.fn = kind, .arg = &(const struct way){ #how, how }

struct reclaimed {
	int fd;
	uint64_t off, len;
	int go, done;		/* pipes: a byte comes, or is sent */
};

static void read_and_wait(void *arg)
{
	struct reclaimed *r = arg;
	uint64_t done, v;
	char c;

	HZ_DO(read(r->go, &c, 1));
	for (done = 0; done < r->len; done += HZ_PAGE)
		HZ_DO(pread(r->fd, &v, sizeof(v), (off_t)(r->off + done)));
	HZ_DO(write(r->done, &c, 1));
	for (;;)
		pause();
}

/*
 * Blocks are freed when most of what was cached of them has been reclaimed, and has left its marks in the page cache (shadow entries). All
 * that is still cached must go as well. 512 marks and then folios, from a place in the page cache that is aligned to its nodes.
 */
static void shadows(const void *arg)
{
	static const char group[] = "/sys/fs/cgroup/hazard";
	const unsigned int blocks = 1024, marks = 512, folios = 128, next = 200;
	struct fiemap_extent old[HZ_EXTENTS], new[HZ_EXTENTS];
	long long pages;
	unsigned int i, n_old, start, hits = 0;
	struct hz_file a, b, c, d;
	struct reclaimed r;
	char name[16], path[64], text[32];
	uint64_t first;
	int go[2], done[2], filler;
	pid_t pid;

	(void)arg;
	hz_create(&a, "a", 1, blocks);
	hz_clone(&b, &a, "b");
	n_old = hz_extents(a.fd, old);
	first = old[0].fe_physical / HZ_PAGE;
	start = (unsigned int)((first + 63) / 64 * 64 - first);
	if (old[0].fe_length < (uint64_t)(start + marks + folios) * HZ_PAGE)
		hz_skip("the file is in %u extents", n_old);
	filler = hz_take_space(2048);
	hz_cold();
	HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_RANDOM));
	if (mkdir(group, 0755) && errno != EEXIST)
		hz_skip("no cgroup: %m");
	HZ_DO(pipe(go));
	HZ_DO(pipe(done));
	r = (struct reclaimed){ .fd = a.fd, .off = (uint64_t)start * HZ_PAGE, .len = (uint64_t)marks * HZ_PAGE, .go = go[0], .done = done[1] };
	pid = hz_fork(read_and_wait, &r);
	snprintf(text, sizeof(text), "%d", (int)pid);
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	if (!hz_put(path, text))
		hz_skip("cannot move to a cgroup: %m");
	HZ_DO(write(go[1], "x", 1));
	close(done[1]);
	HZ_DO(read(done[0], text, 1));
	snprintf(path, sizeof(path), "%s/memory.reclaim", group);
	pages = hz_shared_pages();
	for (i = 0; i < 5; i++)
		hz_put(path, "4M");
	if (hz.sharing && hz_shared_pages() > pages - (long long)marks / 2)
		hz_fail("of %lld cached pages %lld are left after reclaim: this test tests nothing", pages, hz_shared_pages());
	hz_kill(pid);
	rmdir(group);
	/* What is still cached, behind the marks. */
	for (i = 0; i < folios; i++)
		HZ_DO(pread(a.fd, &first, sizeof(first), (off_t)(start + marks + i) * HZ_PAGE));

	hz_unlink(&b);
	hz_unlink(&a);
	settle(TREE_MNT);
	for (i = 0; i < 40 && hits < marks + folios; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		hz_create(&c, name, 77, 0);
		if (fallocate(c.fd, 0, 0, next * HZ_PAGE)) {
			hz_close(&c);
			break;
		}
		hz_want_size(&c, next * HZ_PAGE);
		memset(c.want, 0x77, c.size);
		by_direct(&c, 0, c.size);
		hits += hz_overlap(new, hz_extents(c.fd, new), old, n_old);
		/* Shared, so that it is read through the shared cache. */
		snprintf(name, sizeof(name), "d%u", i);
		hz_clone(&d, &c, name);
		hz_check(&d, HZ_READ | HZ_NEW_MAP, "the next owner of the blocks");
		hz_check(&c, HZ_READ, "the next owner of the blocks");
		hz_close(&d);
		hz_close(&c);
	}
	if (filler >= 0 && !hits)
		hz_fail("no block was used again: the test tests nothing");
	if (filler >= 0)
		close(filler);
}

const struct hz_test hz_reuse_tests[] = {
	{ "reuse-freed-write", "freed blocks, written anew by write(2)", WAY(freed, by_write_sync) },
	{ "reuse-freed-direct", "freed blocks, written anew by O_DIRECT", WAY(freed, by_direct) },
	{ "reuse-freed-store", "freed blocks, written anew by stores", WAY(freed, by_store) },
	{ "reuse-in-place-write", "in-place overwrite by write(2)", WAY(in_place, by_write) },
	{ "reuse-in-place-write-sync", "in-place overwrite by write(2) and fsync", WAY(in_place, by_write_sync) },
	{ "reuse-in-place-store", "in-place overwrite by stores and msync", WAY(in_place, by_store) },
	{ "reuse-in-place-direct", "in-place overwrite by O_DIRECT", WAY(in_place, by_direct) },
	{ "reuse-in-place-direct-512", "in-place overwrite by O_DIRECT, by sectors", WAY(in_place, by_direct_512) },
	{ "reuse-in-place-reaped", "a reader meets the old page when it is leaving", .fn = reaped },
	{ "reuse-in-place-aio", "in-place overwrite by AIO", WAY(in_place, by_aio) },
	{ "reuse-window-write", "population while write(2) and fsync are in place", WAY(window, by_write_sync) },
	{ "reuse-window-store", "population while stores and msync are in place", WAY(window, by_store) },
	{ "reuse-window-direct", "population while O_DIRECT is in place", WAY(window, by_direct) },
	{ "reuse-window-aio", "population while AIO is in place", WAY(window, by_aio) },
	{ "reuse-window-beside", "population of the page beside while write(2) is in place", WAY(window_beside, by_write_sync) },
	{ "reuse-shadows", "blocks freed after most of their pages were reclaimed", .fn = shadows },
	{ "reuse-window-freed", "blocks freed and given away while they are being read", .fn = window_freed },
	{ "reuse-generations-write", "clone, unclone, overwrite by write(2), again and again", WAY(generations, by_write_sync) },
	{ "reuse-generations-direct", "clone, unclone, overwrite by O_DIRECT, again and again", WAY(generations, by_direct) },
	{ "reuse-generations-aio", "clone, unclone, overwrite by AIO, again and again", WAY(generations, by_aio) },
	{ "reuse-swapfile", "swap to blocks that were shared and cached", .fn = swap_file, .needs = HZ_XFS },
	{ "reuse-unshare", "unshare, overwrite in place, share again", .fn = unshare_then_write, .needs = HZ_XFS },
	{ NULL, NULL, 0, NULL, NULL }
};
