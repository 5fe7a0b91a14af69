// SPDX-License-Identifier: GPL-2.0
/*
 * What only btrfs has: snapshots, compressed extents, files without checksums, relocation, several devices, repair. With mappings
 * of clones that must not notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent.h"
#include "dm.h"
#include "hz.h"
#include "timing.h"

#define BLOCKS		96u
#define CLONES		3u
#define DIR		"/mnt/extra"
#define VMSTAT		"/proc/vmstat"
#define MAX_DEVS	4u
#define CONTROL		"/dev/btrfs-control"
#define PRINTK		"/proc/sys/kernel/printk"
#define GARBAGE		0x67726162616765full

struct set {
	struct hz_file golden, clone[CLONES];
	struct hz_file *all[CLONES + 1];
};

static void clone_all(struct set *s)
{
	char name[16];
	unsigned int k;

	s->all[0] = &s->golden;
	for (k = 0; k < CLONES; k++) {
		snprintf(name, sizeof(name), "clone%u", k);
		hz_clone(&s->clone[k], &s->golden, name);
		s->all[k + 1] = &s->clone[k];
	}
	hz_cold();
}

static void map_all(struct set *s)
{
	unsigned int k;

	for (k = 0; k <= CLONES; k++) {
		hz_map(s->all[k]);
		hz_touch(s->all[k]);
	}
}

static void check_all(const struct set *s, unsigned int ways, const char *stage)
{
	unsigned int k;

	for (k = 0; k <= CLONES; k++)
		hz_check(s->all[k], ways, stage);
}

static void close_all(struct set *s)
{
	unsigned int k;

	for (k = 0; k <= CLONES; k++)
		hz_close(s->all[k]);
}

/* --- subvolumes ---------------------------------------------------------------------------------------------------------- */

static void subvol(const char *parent, const char *name, int snapshot_of)
{
	struct btrfs_ioctl_vol_args args = { .fd = snapshot_of };
	int fd = HZ_DO(open(parent, O_RDONLY | O_CLOEXEC));

	snprintf(args.name, sizeof(args.name), "%s", name);
	HZ_DO(ioctl(fd, snapshot_of >= 0 ? BTRFS_IOC_SNAP_CREATE : BTRFS_IOC_SUBVOL_CREATE, &args));
	close(fd);
}

static void subvol_delete(const char *parent, const char *name)
{
	struct btrfs_ioctl_vol_args args = {};
	int fd = HZ_DO(open(parent, O_RDONLY | O_CLOEXEC));

	snprintf(args.name, sizeof(args.name), "%s", name);
	HZ_DO(ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &args));
	close(fd);
}

/* The same file as src, below another directory; only for reading in a snapshot that is. */
static void open_in(struct hz_file *dst, const struct hz_file *src, const char *dir)
{
	*dst = *src;
	snprintf(dst->path, sizeof(dst->path), "%s/golden", dir);
	dst->fd = open(dst->path, O_RDWR | O_CLOEXEC);
	if (dst->fd < 0 && errno == EROFS)
		dst->fd = HZ_DO(open(dst->path, O_RDONLY | O_CLOEXEC));
	if (dst->fd < 0)
		hz_fail("open %s: %m", dst->path);
	dst->map = dst->priv = NULL;
	dst->want = hz_buffer(src->cap);
	memcpy(dst->want, src->want, src->size);
}

/* A subvolume whose file is cached and mapped gets snapshots; then each is changed. */
static void snapshots(const void *arg)
{
	char top[128], dir[CLONES + 1][160];
	struct set s;
	unsigned int k;
	int fd;

	(void)arg;
	/* What a batch of another CPU's LRU lists holds is not dropped. */
	timing_pin(0);
	snprintf(top, sizeof(top), "%s", hz.dir);
	subvol(top, "sub0", -1);
	snprintf(dir[0], sizeof(dir[0]), "%s/sub0", top);
	snprintf(hz.dir, sizeof(hz.dir), "%.120s", dir[0]);
	hz_create(&s.golden, "golden", 1, BLOCKS);
	hz_cold();
	hz_cache(&s.golden);
	hz_map(&s.golden);
	hz_touch(&s.golden);
	s.all[0] = &s.golden;
	fd = HZ_DO(open(dir[0], O_RDONLY | O_CLOEXEC));
	for (k = 0; k < CLONES; k++) {
		char name[16];

		snprintf(name, sizeof(name), "sub%u", k + 1);
		subvol(top, name, fd);
		snprintf(dir[k + 1], sizeof(dir[0]), "%s/%s", top, name);
		open_in(&s.clone[k], &s.golden, dir[k + 1]);
		s.all[k + 1] = &s.clone[k];
	}
	close(fd);
	check_all(&s, HZ_CACHED, "snapshots of what was cached");
	hz_check_shared(s.all, CLONES + 1, "snapshots of what was cached");
	hz_cold_mapped(s.all, CLONES + 1);
	for (k = 0; k < CLONES; k++) {
		hz_map(&s.clone[k]);
		hz_touch(&s.clone[k]);
	}
	check_all(&s, HZ_ALL, "cold");
	hz_check_shared(s.all, CLONES + 1, "cold");
	for (k = 0; k <= CLONES; k++) {
		hz_want_block(s.all[k], 10 + k, 5 + k, 10, 2);
		memcpy(s.all[k]->map + (10 + k) * HZ_PAGE, s.all[k]->want + (10 + k) * HZ_PAGE, HZ_PAGE);
		hz_want_block(s.all[k], 40, 5 + k, 40, 2);
		if (pwrite(s.all[k]->fd, s.all[k]->want + 40 * HZ_PAGE, HZ_PAGE, 40 * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
		check_all(&s, HZ_CACHED, "changed");
	}
	sync();
	check_all(&s, HZ_CACHED, "changed, written back");
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "changed, cold");
	/* One subvolume goes; its extents are freed by the cleaner. */
	hz_close(&s.clone[0]);
	subvol_delete(top, "sub1");
	settle(top);
	for (k = 0; k <= CLONES; k++)
		if (k != 1)
			hz_check(s.all[k], HZ_ALL, "one snapshot is gone");
	for (k = 0; k <= CLONES; k++)
		if (k != 1)
			hz_close(s.all[k]);
	for (k = 0; k <= CLONES; k++) {
		char name[16];

		snprintf(name, sizeof(name), "sub%u", k);
		if (k != 1)
			subvol_delete(top, name);
	}
}

/* --- compressed extents -------------------------------------------------------------------------------------------------- */

static void create_compressed(struct hz_file *f, const char *name, unsigned int id, const char *how)
{
	unsigned int i;

	hz_create(f, name, id, 0);
	HZ_DO(fsetxattr(f->fd, "btrfs.compression", how, strlen(how), 0));
	for (i = 0; i < BLOCKS; i++)
		hz_want_block(f, i, id, i, 1);
	if (pwrite(f->fd, f->want, f->size, 0) != (ssize_t)f->size || fsync(f->fd))
		hz_fail("write: %m");
}

/* Clones of a compressed file, whole and in parts at other offsets; read in an order that would decompress extents many times. */
static void compressed(const void *arg)
{
	struct file_clone_range part = { .src_offset = 20 * HZ_PAGE, .src_length = 50 * HZ_PAGE, .dest_offset = 7 * HZ_PAGE };
	struct fiemap_extent old[HZ_EXTENTS], new[HZ_EXTENTS];
	unsigned int i, j, k, n_old, n_new, again = 0;
	struct hz_file part_of;
	long long fill;
	struct set s;

	create_compressed(&s.golden, "golden", 1, arg);
	n_old = hz_extents(s.golden.fd, old);
	hz_create(&part_of, "part", 2, 80);
	part.src_fd = s.golden.fd;
	HZ_DO(ioctl(part_of.fd, FICLONERANGE, &part));
	for (i = 0; i < 50; i++)
		hz_want_block(&part_of, 7 + i, 1, 20 + i, 1);
	clone_all(&s);

	/* Each page by another file, from the end on. */
	fill = hz_stat(VMSTAT, "shcache_fill");
	map_all(&s);
	for (i = BLOCKS; i--;) {
		uint64_t v;

		if (!hz_peek(s.all[i % (CLONES + 1)]->map + (uint64_t)i * HZ_PAGE, &v) || v != hz_word(1, i, 1))
			hz_fail("block %u is wrong", i);
	}
	check_all(&s, HZ_ALL, "compressed");
	hz_check(&part_of, HZ_ALL, "compressed, a part");
	hz_check_shared(s.all, CLONES + 1, "compressed");
	fill = hz_stat(VMSTAT, "shcache_fill") - fill;
	if (hz.sharing && (fill < (long long)BLOCKS - 4 || fill > (long long)BLOCKS + 32))
		hz_fail("%lld pages were filled for %u blocks", fill, BLOCKS);
	for (k = 0; k <= CLONES; k++) {
		hz_want_block(s.all[k], 33 + k, 5 + k, 33, 2);
		memcpy(s.all[k]->map + (33 + k) * HZ_PAGE, s.all[k]->want + (33 + k) * HZ_PAGE, HZ_PAGE);
		hz_want_block(s.all[k], 60, 5 + k, 60, 2);
		if (pwrite(s.all[k]->fd, s.all[k]->want + 60 * HZ_PAGE, HZ_PAGE, 60 * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
		check_all(&s, HZ_CACHED, "changed");
	}
	hz_check(&part_of, HZ_ALL, "a part of what was changed");
	sync();
	check_all(&s, HZ_CACHED, "changed, written back");
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "changed, cold");
	/* The golden one goes; its extents stay as long as somebody has a part of them. */
	hz_unlink(&s.golden);
	settle(hz.dir);
	for (k = 0; k < CLONES; k++) {
		hz_check(&s.clone[k], HZ_ALL, "the first owner is gone");
		hz_unlink(&s.clone[k]);
	}
	settle(hz.dir);
	hz_check(&part_of, HZ_ALL, "all but a part are gone");
	hz_unlink(&part_of);
	settle(hz.dir);
	/* The addresses of the extents are used again, with other contents. */
	for (i = 0; i < 40 && !again; i++) {
		struct hz_file other, clone;
		char name[24];

		snprintf(name, sizeof(name), "other%u", i);
		create_compressed(&other, name, 20 + i, arg);
		n_new = hz_extents(other.fd, new);
		for (j = 0; j < n_new; j++)
			for (k = 0; k < n_old; k++)
				again += new[j].fe_physical == old[k].fe_physical;
		/* Clones, so that it is the shared cache that is asked. */
		snprintf(name, sizeof(name), "other-clone%u", i);
		hz_clone(&clone, &other, name);
		hz_check(&clone, HZ_ALL, "another file's clone");
		hz_cold();
		hz_check(&other, HZ_ALL, "another file");
		hz_close(&clone);
		hz_close(&other);
	}
	if (!again)
		hz_fail("no address was used again: this test tests nothing");
}

/* Pages of the largest extent that is compressed. */
#define COMPRESSED	(128u * 1024 / HZ_PAGE)

/* What is decompressed for one page that somebody wants, here and there, is there for all who want another one. */
static void compressed_here_and_there(const void *arg)
{
	unsigned int i, fills = 0, extents;
	struct fiemap_extent e[HZ_EXTENTS];
	long long fill = 0, now, before;
	struct set s;
	int fd[2];

	create_compressed(&s.golden, "golden", 1, arg);
	extents = hz_extents(s.golden.fd, e);
	if (extents < BLOCKS / COMPRESSED || extents > BLOCKS / 8)
		hz_fail("%u extents for %u blocks: they were not compressed as this test wants them", extents, BLOCKS);
	clone_all(&s);
	hz_cold();
	for (i = 0; i < 2; i++) {
		fd[i] = HZ_DO(open(s.clone[i].path, O_RDONLY | O_CLOEXEC));
		HZ_DO(posix_fadvise(fd[i], 0, 0, POSIX_FADV_RANDOM));
	}
	for (i = 0; i < BLOCKS; i++) {
		/* From the middle of the file on, in large steps. */
		unsigned int b = (BLOCKS / 2 + i * 37) % BLOCKS;
		uint64_t v;

		before = hz_stat(VMSTAT, "shcache_fill");
		HZ_DO(pread(fd[i % 2], &v, sizeof(v), (off_t)b * HZ_PAGE));
		now = hz_stat(VMSTAT, "shcache_fill");
		if (v != hz_word(1, b, 1))
			hz_fail("block %u shows %016llx", b, (unsigned long long)v);
		fill += now - before;
		fills += now > before;
	}
	if (hz.sharing && (fill < (long long)BLOCKS - 4 || fill > (long long)BLOCKS + 32))
		hz_fail("%lld pages were filled for %u blocks", fill, BLOCKS);
	if (hz.sharing && fills > extents + 2)
		hz_fail("%u extents were decompressed %u times", extents, fills);
	close(fd[0]);
	close(fd[1]);
	check_all(&s, HZ_ALL, "compressed");
	hz_check_shared(s.all, CLONES + 1, "compressed");
}

/* Verity is enabled for a file that is shared and mapped: from then on it has pages of its own, which are verified. */
static void verity(const void *arg)
{
	struct fsverity_enable_arg enable = { .version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = HZ_PAGE };
	struct hz_file *f, *two[2];
	struct set s;

	(void)arg;
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	f = &s.clone[0];
	close(f->fd);
	f->fd = HZ_DO(open(f->path, O_RDONLY | O_CLOEXEC));
	f->maplen = f->size;
	f->map = mmap(NULL, f->maplen, PROT_READ, MAP_SHARED, f->fd, 0);
	f->priv = mmap(NULL, f->maplen, PROT_READ, MAP_PRIVATE, f->fd, 0);
	if (f->map == MAP_FAILED || f->priv == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_touch(f);
	check_all(&s, HZ_READ | HZ_NEW_MAP, "shared");
	hz_check_shared(s.all, CLONES + 1, "shared");
	if (ioctl(f->fd, FS_IOC_ENABLE_VERITY, &enable)) {
		if (errno == EOPNOTSUPP || errno == ENOTTY)
			hz_skip("a kernel without fs-verity");
		hz_fail("FS_IOC_ENABLE_VERITY: %m");
	}
	check_all(&s, HZ_CACHED, "verity");
	two[0] = &s.golden;
	two[1] = f;
	if (hz_unique(two, 2) != 2 * BLOCKS)
		hz_fail("a file with verity and one without have %u frames for 2 x %u blocks", hz_unique(two, 2), BLOCKS);
	hz_cold();
	check_all(&s, HZ_CACHED, "verity, cold");
}

/* Without checksums, blocks are written in place: never shared, always right. */
static void nocow(const void *arg)
{
	int flags = FS_NOCOW_FL, fd;
	struct hz_file a, b;
	unsigned int i, round;
	char path[160];

	(void)arg;
	hz_create(&a, "a", 1, 0);
	HZ_DO(ioctl(a.fd, FS_IOC_SETFLAGS, &flags));
	for (i = 0; i < BLOCKS; i++)
		hz_want_block(&a, i, 1, i, 1);
	if (pwrite(a.fd, a.want, a.size, 0) != (ssize_t)a.size || fsync(a.fd))
		hz_fail("write: %m");
	for (round = 0; round < 3; round++) {
		/* A clone can be made only into a file that is as it is. */
		hz_path(path, sizeof(path), "b");
		fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
		HZ_DO(ioctl(fd, FS_IOC_SETFLAGS, &flags));
		close(fd);
		hz_clone(&b, &a, "b");
		hz_cold();
		hz_map(&a);
		hz_map(&b);
		hz_check(&a, HZ_ALL, "no checksums");
		hz_check(&b, HZ_ALL, "no checksums, clone");
		for (i = 0; i < BLOCKS; i += 5) {
			hz_want_block(&a, i, 1, i, 2 + round);
			if (pwrite(a.fd, a.want + (uint64_t)i * HZ_PAGE, HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE)
				hz_fail("write: %m");
		}
		hz_check(&b, HZ_CACHED, "the other one is written");
		hz_check(&a, HZ_CACHED, "written");
		hz_unlink(&b);
		settle(hz.dir);
		for (i = 1; i < BLOCKS; i += 5) {
			hz_want_block(&a, i, 1, i, 3 + round);
			if (pwrite(a.fd, a.want + (uint64_t)i * HZ_PAGE, HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE)
				hz_fail("write: %m");
		}
		fsync(a.fd);
		hz_check(&a, HZ_ALL, "written in place");
		hz_unmap(&a);
		/* Without its own pages, the file would show what is shared, if there were something. */
		posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED);
		hz_check(&a, HZ_READ | HZ_NEW_MAP, "written in place, and dropped");
	}
}

/*
 * What a file says of a piece, a hole or an extent, and for how long, may be no more than a reader has locked: somebody may be replacing what is
 * behind that. Each place is tried once, since what is known of it afterwards is not asked again.
 */
#define PLACES		3000u
#define PLACE_STEP	(16u << 20)	/* farther apart than any reader looks; what he locks ends at a multiple of 2 MiB */
#define PLACE_EXTENT	(8u * HZ_PAGE)

struct piece {
	void (*change)(int fd, off_t at, int src);	/* what is at a place, and behind it */
	off_t from;		/* relative to the place: what is read meanwhile */
	size_t len;
	unsigned int max;	/* places, at most PLACES */
	bool extent;		/* it lies in an extent that covers the place too, and not in a hole */
	bool files;		/* each place is a file, */
};

struct places {
	const struct piece *piece;
	int fd[PLACES + 1];
	unsigned int ready, begun;	/* number of the place, from 1 */
	uint64_t took;			/* the fastest change, in units of wl_now(): the others have waited for something */
};

/* and is at the same offset. */
static off_t place(const struct piece *piece, unsigned int i)
{
	return (off_t)(piece->files ? 1 : i) * PLACE_STEP;
}

/* Busy for a random time less than that, in units of wl_now(). */
static void wait_less(uint64_t most)
{
	uint64_t from = wl_now(hz.ctx), after = wl_rand(&hz.rand) % (most + 1);

	while (wl_now(hz.ctx) - from < after)
		;
}

static void read_places(void *arg)
{
	uint8_t *buf = hz_buffer(PLACE_EXTENT);
	struct places *p = arg;
	unsigned int i;

	for (i = 1; i <= p->piece->max; i++) {
		__atomic_store_n(&p->ready, i, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&p->begun, __ATOMIC_SEQ_CST) < i)
			;
		wait_less(2 * __atomic_load_n(&p->took, __ATOMIC_SEQ_CST));
		HZ_DO(pread(p->fd[i], buf, p->piece->len, place(p->piece, i) + p->piece->from));
	}
	__atomic_store_n(&p->ready, i, __ATOMIC_SEQ_CST);
}

static void change_by_clone(int fd, off_t at, int src)
{
	struct file_clone_range part = { .src_fd = src, .src_length = PLACE_EXTENT, .dest_offset = (uint64_t)at };

	HZ_DO(ioctl(fd, FICLONERANGE, &part));
}

static void change_by_cut(int fd, off_t at, int src)
{
	(void)src;
	HZ_DO(ftruncate(fd, at));
}

/* One file for all places, or as many as there are places. */
static void place_files(struct hz_file *dst, const struct piece *piece)
{
	uint8_t old[PLACE_EXTENT];
	unsigned int i, n = piece->files ? piece->max : 1;
	char name[16];

	for (i = 0; i < PLACE_EXTENT / HZ_PAGE; i++)
		hz_fill(old + i * HZ_PAGE, 2, i, 1);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "dst%u", i);
		hz_create(&dst[i], name, 2, 0);
	}
	for (i = 1; piece->extent && i <= piece->max; i++)
		HZ_DO(pwrite(dst[piece->files ? i - 1 : 0].fd, old, PLACE_EXTENT, place(piece, i) + piece->from));
	if (!piece->files)
		HZ_DO(ftruncate(dst->fd, (off_t)(piece->max + 1) * PLACE_STEP));
	/* The inodes go, and with them what they know: that all of it is one hole. */
	for (i = 0; i < n; i++)
		close(dst[i].fd);
	hz_cold();
	for (i = 0; i < n; i++) {
		dst[i].fd = HZ_DO(open(dst[i].path, O_RDWR | O_CLOEXEC));
		HZ_DO(posix_fadvise(dst[i].fd, 0, 0, POSIX_FADV_RANDOM));
	}
}

static void changed_behind(const void *arg)
{
	struct places *p = hz_shared_memory(sizeof(*p));
	static struct hz_file dst[PLACES];
	const struct piece *piece = arg;
	struct hz_file src;
	uint64_t from, v;
	unsigned int i;
	pid_t reader;

	hz_create(&src, "src", 1, PLACE_EXTENT / HZ_PAGE);
	place_files(dst, piece);
	for (i = 1; i <= piece->max; i++)
		p->fd[i] = dst[piece->files ? i - 1 : 0].fd;
	p->piece = piece;
	reader = hz_fork(read_places, p);
	for (i = 1; i <= piece->max; i++) {
		while (__atomic_load_n(&p->ready, __ATOMIC_SEQ_CST) < i)
			usleep(50);
		__atomic_store_n(&p->begun, i, __ATOMIC_SEQ_CST);
		from = wl_now(hz.ctx);
		piece->change(p->fd[i], place(piece, i), src.fd);
		from = wl_now(hz.ctx) - from;
		if (from < p->took || i == 1)
			__atomic_store_n(&p->took, from, __ATOMIC_SEQ_CST);
		if (piece->files) {
			/* Longer again, with what is allocated now: nothing is known to be there. */
			while (__atomic_load_n(&p->ready, __ATOMIC_SEQ_CST) <= i)
				usleep(50);
			HZ_DO(fallocate(p->fd[i], 0, place(piece, i) + piece->from, PLACE_EXTENT));
		}
		HZ_DO(pread(p->fd[i], &v, sizeof(v), place(piece, i)));
		if (v != (piece->files ? 0 : hz_word(1, 0, 1)))
			hz_fail("place %u shows %016llx after it was changed", i, (unsigned long long)v);
	}
	hz_join(reader);
	hz_close(&src);
	for (i = 0; i < (piece->files ? piece->max : 1); i++)
		hz_unlink(&dst[i]);
}

/* --- what moves extents -------------------------------------------------------------------------------------------------- */

struct mover {
	void (*fn)(int fd);	/* the file system's root */
	unsigned int moves;	/* the file that must lie elsewhere afterwards: 1 + its place in struct set's all[]; 0: none */
	bool at_end;		/* the files lie at the end of the device */
	bool pieces;		/* that file is in pieces before */
};

struct look {
	struct set *s;
	bool *stop;
};

static void look(void *arg)
{
	struct look *l = arg;

	while (!__atomic_load_n(l->stop, __ATOMIC_SEQ_CST)) {
		check_all(l->s, HZ_CACHED, "meanwhile");
		hz_check(&l->s->clone[0], HZ_DIRECT, "meanwhile");
	}
}

static void balance(int fd)
{
	struct btrfs_ioctl_balance_args args = { .flags = BTRFS_BALANCE_DATA | BTRFS_BALANCE_METADATA };

	if (ioctl(fd, BTRFS_IOC_BALANCE_V2, &args) && errno != ENOSPC)
		hz_fail("balance: %m");
}

static void defrag(int fd)
{
	struct btrfs_ioctl_defrag_range_args args = { .len = UINT64_MAX, .extent_thresh = 64u << 20, .flags = BTRFS_DEFRAG_RANGE_START_IO };
	char path[160];
	int file;

	(void)fd;
	hz_path(path, sizeof(path), "clone1");
	file = HZ_DO(open(path, O_RDWR | O_CLOEXEC));
	HZ_DO(ioctl(file, BTRFS_IOC_DEFRAG_RANGE, &args));
	close(file);
}

static void resize(int fd)
{
	static const char *const sizes[] = { "1:272m", "1:max" };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct btrfs_ioctl_vol_args args = {};

		snprintf(args.name, sizeof(args.name), "%s", sizes[i]);
		if (ioctl(fd, BTRFS_IOC_RESIZE, &args) && errno != ENOSPC)
			hz_fail("resize to %s: %m", sizes[i]);
	}
}

static void scrub(int fd)
{
	struct btrfs_ioctl_scrub_args args = { .devid = 1, .end = UINT64_MAX };

	HZ_DO(ioctl(fd, BTRFS_IOC_SCRUB, &args));
	if (args.progress.csum_errors || args.progress.uncorrectable_errors)
		hz_fail("scrub found %llu errors", (unsigned long long)args.progress.csum_errors);
}

/* The logical address of the chunk that is last on the first device, and of data: not beyond end, where the data ends. */
static uint64_t last_chunk(uint64_t end)
{
	struct btrfs_ioctl_search_args args = { .key = { .tree_id = BTRFS_DEV_TREE_OBJECTID, .min_objectid = 1, .max_objectid = 1,
							 .min_type = BTRFS_DEV_EXTENT_KEY, .max_type = BTRFS_DEV_EXTENT_KEY,
							 .max_offset = UINT64_MAX, .max_transid = UINT64_MAX, .nr_items = 64 } };
	struct btrfs_ioctl_search_header head;
	struct btrfs_dev_extent extent;
	uint64_t chunk = 0;
	size_t at = 0;
	unsigned int i;
	int fd;

	fd = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	HZ_DO(ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args));
	close(fd);
	/* In the order of their places on the device. */
	for (i = 0; i < args.key.nr_items; i++) {
		memcpy(&head, args.buf + at, sizeof(head));
		memcpy(&extent, args.buf + at + sizeof(head), sizeof(extent));
		at += sizeof(head) + head.len;
		if (le64toh(extent.chunk_offset) < end)
			chunk = le64toh(extent.chunk_offset);
	}
	return chunk;
}

/* Takes all the space for data but some in the chunk at the end of the device. Returns the descriptor of the file that has it. */
static int fill_up(void)
{
	const uint64_t step = 1 << 20;
	struct fiemap_extent e[HZ_EXTENTS];
	uint64_t off = 0, end = 0, chunk;
	unsigned int i, n;
	char path[160];
	int fd;

	hz_path(path, sizeof(path), "filler");
	fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	while (!fallocate(fd, 0, (off_t)off, (off_t)step))
		off += step;
	n = hz_extents(fd, e);
	for (i = 0; i < n; i++)
		if (e[i].fe_physical + e[i].fe_length > end)
			end = e[i].fe_physical + e[i].fe_length;
	chunk = last_chunk(end);
	for (i = 0; i < n; i++)
		if (chunk >= e[i].fe_physical && chunk + step <= e[i].fe_physical + e[i].fe_length)
			HZ_DO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)(e[i].fe_logical + chunk - e[i].fe_physical), (off_t)step));
	settle(DIR);
	return fd;
}

static void moved(const void *arg)
{
	const struct mover *op = arg;
	bool *stop = hz_shared_memory(HZ_PAGE);
	char dev[32];
	struct set s;
	struct look l = { &s, stop };
	struct fiemap_extent old[HZ_EXTENTS], new[HZ_EXTENTS];
	struct hz_file *f = NULL;
	unsigned int round, n_old = 0, b;
	pid_t pid;
	int err, fd, filler = -1;

	err = hz_extra_fs(DIR, "", hz.sharing ? "shcache" : "", dev);
	if (err)
		hz_fail("mount %s: %s", dev, strerror(-err));
	snprintf(hz.dir, sizeof(hz.dir), DIR);
	fd = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	if (op->at_end)
		filler = fill_up();
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	if (filler >= 0) {
		HZ_DO(ftruncate(filler, 0));
		close(filler);
		settle(DIR);
	}
	map_all(&s);
	check_all(&s, HZ_ALL, "before");
	hz_check_shared(s.all, CLONES + 1, "before");
	if (op->moves)
		f = s.all[op->moves - 1];
	for (b = 0; op->pieces && b < BLOCKS; b += 2) {
		hz_want_block(f, b, 7, b, 2);
		if (pwrite(f->fd, f->want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE || fsync(f->fd))
			hz_fail("write: %m");
	}
	if (f)
		n_old = hz_extents(f->fd, old);
	pid = hz_fork(look, &l);
	for (round = 0; round < 3; round++) {
		op->fn(fd);
		check_all(&s, HZ_ALL, "moved");
	}
	if (f && hz_overlap(new, hz_extents(f->fd, new), old, n_old) == BLOCKS)
		hz_fail("nothing has moved: this test tests nothing");
	__atomic_store_n(stop, true, __ATOMIC_SEQ_CST);
	hz_join(pid);
	check_all(&s, HZ_ALL, "after");
	hz_want_block(&s.clone[2], 3, 9, 3, 2);
	memcpy(s.clone[2].map + 3 * HZ_PAGE, s.clone[2].want + 3 * HZ_PAGE, HZ_PAGE);
	check_all(&s, HZ_CACHED, "changed after");
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "cold");
	close_all(&s);
	close(fd);
	hz_extra_fs_end(DIR, dev);
}

/* --- a relocation that a power cut has interrupted ------------------------------------------------------------------------ */

#define CUT_FILES	3u
#define CUT_BLOCKS	600u
#define CUT_MB		160u
#define CUT_ROUNDS	20u
#define CUT_PLACES	4u
#define CUT_IMAGE	"/tmp/hz-cut.img"
#define JUNK		(1u << 20)

/* Is a subvolume being merged with its tree of relocation? That has a reference then, which is what tells recovery. */
static bool merging(int fd)
{
	struct btrfs_ioctl_search_args args = { .key = { .tree_id = BTRFS_ROOT_TREE_OBJECTID, .min_objectid = BTRFS_TREE_RELOC_OBJECTID,
							 .max_objectid = BTRFS_TREE_RELOC_OBJECTID, .min_type = BTRFS_ROOT_ITEM_KEY,
							 .max_type = BTRFS_ROOT_ITEM_KEY, .max_offset = UINT64_MAX, .max_transid = UINT64_MAX,
							 .nr_items = 1 } };
	struct btrfs_root_item root;

	HZ_DO(ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args));
	if (!args.key.nr_items)
		return false;
	memcpy(&root, args.buf + sizeof(struct btrfs_ioctl_search_header), sizeof(root));
	return le32toh(root.refs);
}

struct cut_fs {
	char loop[32], dev[32];		/* of the file system, and with requests that can be held */
	char copy[32];			/* of what the power cut has left */
	struct hz_file f[CUT_FILES + 1];
	uint64_t where[CUT_FILES + 1][CUT_BLOCKS];
	int fd;				/* of its root */
	bool *done;			/* shared: the balance has ended */
};

static void balance_data(void *arg)
{
	const struct cut_fs *c = arg;
	struct btrfs_ioctl_balance_args args = { .flags = BTRFS_BALANCE_DATA };

	if (ioctl(c->fd, BTRFS_IOC_BALANCE_V2, &args) && errno != ENOSPC && errno != ECANCELED)
		hz_fail("balance: %m");
	__atomic_store_n(c->done, true, __ATOMIC_SEQ_CST);
}

/* The medium as a power cut would leave it now. */
static void cut_copy(void)
{
	const size_t step = 1 << 20;
	uint8_t *buf = hz_buffer(step);
	int in = HZ_DO(open(HZ_EXTRA_IMAGE, O_RDONLY | O_CLOEXEC)), out;
	off_t at, end = 0;
	int error = 0;
	ssize_t n;

	hz_image(CUT_IMAGE, CUT_MB);
	out = HZ_DO(open(CUT_IMAGE, O_WRONLY | O_CLOEXEC));
	HZ_DO(dm_pause(true));
	/* Nothing may fail here: a device that stays paused would hang the umount. */
	while (!error && (at = lseek(in, end, SEEK_DATA)) >= 0) {
		end = lseek(in, at, SEEK_HOLE);
		if (end < 0)
			error = errno;
		for (; at < end && !error; at += n) {
			errno = EIO;
			n = pread(in, buf, end - at < (off_t)step ? (size_t)(end - at) : step, at);
			if (n <= 0 || pwrite(out, buf, (size_t)n, at) != n)
				error = errno;
		}
	}
	HZ_DO(dm_pause(false));
	if (error)
		hz_fail("copy of %s: %s", HZ_EXTRA_IMAGE, strerror(error));
	close(in);
	close(out);
	munmap(buf, step);
}

static void mount_cut(const char *dev, unsigned long flags)
{
	const char *opts = hz.sharing ? "skip_balance,shcache" : "skip_balance";

	if (mount(dev, DIR, "btrfs", MS_NOATIME | flags, opts))
		hz_fail("mount %s -o %s: %m", dev, opts);
}

/* Reads around the page cache: btrfs lets go of what it knows of an extent when the pages go. */
static void check_direct(const struct hz_file *f)
{
	int fd = HZ_DO(open(f->path, O_RDONLY | O_DIRECT | O_CLOEXEC));
	uint8_t *buf = hz_buffer(f->size);

	if (pread(fd, buf, f->size, 0) != (ssize_t)f->size)
		hz_fail("read: %m");
	hz_compare(f, buf, 0, f->size, "O_DIRECT", "read-only");
	munmap(buf, f->size);
	close(fd);
}

/* Where the blocks of a file are. */
static void places(int fd, uint64_t where[CUT_BLOCKS])
{
	struct { struct fiemap m; struct fiemap_extent e[HZ_EXTENTS]; } q;
	uint64_t at = 0;
	unsigned int i;

	memset(where, 0, CUT_BLOCKS * sizeof(*where));
	do {
		memset(&q, 0, sizeof(q));
		q.m.fm_start = at;
		q.m.fm_length = FIEMAP_MAX_OFFSET;
		q.m.fm_extent_count = HZ_EXTENTS;
		HZ_DO(ioctl(fd, FS_IOC_FIEMAP, &q));
		for (i = 0; i < q.m.fm_mapped_extents; i++) {
			for (at = q.e[i].fe_logical; at < q.e[i].fe_logical + q.e[i].fe_length; at += HZ_PAGE)
				where[at / HZ_PAGE] = q.e[i].fe_physical + at - q.e[i].fe_logical;
		}
	} while (i == HZ_EXTENTS && at < CUT_BLOCKS * HZ_PAGE);
}

/* A file system whose files have so many extents that to move them takes time. It stays unmounted. */
static void make_cut_fs(struct cut_fs *c)
{
	unsigned int i, b;
	char name[16];
	int err;

	err = hz_extra_fs_mb(DIR, CUT_MB, "", "", c->loop);
	if (err)
		hz_fail("mount %s: %s", c->loop, strerror(-err));
	HZ_DO(umount(DIR));
	err = dm_create(c->loop, c->dev);
	if (err == -ENODEV)
		hz_skip("no device mapper here");
	if (err)
		hz_fail("device mapper on %s: %s", c->loop, strerror(-err));
	mount_cut(c->dev, 0);
	snprintf(hz.dir, sizeof(hz.dir), DIR);
	for (i = 0; i < CUT_FILES; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		hz_create(&c->f[i], name, i + 1, CUT_BLOCKS);
		for (b = 0; b < CUT_BLOCKS; b += 2) {
			hz_want_block(&c->f[i], b, i + 1, b, 2);
			if (pwrite(c->f[i].fd, c->f[i].want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
				hz_fail("write: %m");
		}
		HZ_DO(fsync(c->f[i].fd));
	}
	hz_clone(&c->f[i], &c->f[0], "clone");
	settle(DIR);
	for (i = 0; i <= CUT_FILES; i++)
		close(c->f[i].fd);
	HZ_DO(umount(DIR));
}

/* Cuts the power during a balance, when it is about to give files other extents for the n-th time. Returns whether that was met. */
static bool balance_cut(struct cut_fs *c, unsigned int n)
{
	bool now, before = false;
	pid_t pid;

	mount_cut(c->dev, 0);
	c->fd = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	*c->done = false;
	pid = hz_fork(balance_data, c);
	while (n && !__atomic_load_n(c->done, __ATOMIC_SEQ_CST)) {
		now = merging(c->fd);
		if (now && !before) {
			/* The reference is not on the medium yet. */
			HZ_DO(syncfs(c->fd));
			now = merging(c->fd);
			if (now && !--n)
				cut_copy();
		}
		before = now;
		usleep(500);
	}
	/* The rest is of no interest; it may have ended. */
	ioctl(c->fd, BTRFS_IOC_BALANCE_CTL, BTRFS_BALANCE_CTL_CANCEL);
	hz_join(pid);
	close(c->fd);
	HZ_DO(umount(DIR));
	return !n;
}

static void recover_end(struct cut_fs *c)
{
	unsigned int i;

	for (i = 0; i <= CUT_FILES; i++)
		close(c->f[i].fd);
	close(c->fd);
	HZ_DO(umount(DIR));
	hz_loop_end(CUT_IMAGE, c->copy);
}

/*
 * Mounts what the power cut has left read-only, reads the files, and lets the relocation be brought to an end. Returns how many blocks are elsewhere
 * now than where they were read; what is mounted stays if there are any.
 */
static unsigned int recover(struct cut_fs *c)
{
	static uint64_t now[CUT_BLOCKS];
	unsigned int i, b, n = 0;

	hz_loop(CUT_IMAGE, c->copy);
	mount_cut(c->copy, MS_RDONLY);
	c->fd = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	for (i = 0; i <= CUT_FILES; i++) {
		c->f[i].fd = HZ_DO(open(c->f[i].path, O_RDONLY | O_CLOEXEC));
		check_direct(&c->f[i]);
		places(c->f[i].fd, c->where[i]);
	}
	mount_cut(c->copy, MS_REMOUNT);
	if (merging(c->fd))
		hz_fail("the relocation was not brought to an end");
	settle(DIR);
	for (i = 0; i <= CUT_FILES; i++) {
		places(c->f[i].fd, now);
		for (b = 0; b < CUT_BLOCKS; b++)
			n += now[b] != c->where[i][b];
	}
	if (!n)
		recover_end(c);
	return n;
}

/*
 * The relocation of data has begun to give files other extents, then there is a power cut. It is brought to an end when the file system becomes
 * writable, which may be long after files were read: what is known of where they were must not be used any more.
 */
static void recovered(const void *arg)
{
	static struct cut_fs c;
	unsigned int i, round, moved = 0;
	char name[160];
	uint8_t *buf;
	int junk;

	(void)arg;
	c.done = hz_shared_memory(HZ_PAGE);
	make_cut_fs(&c);
	for (round = 0; round < CUT_ROUNDS && !moved; round++)
		if (balance_cut(&c, round % CUT_PLACES + 1))
			moved = recover(&c);
	if (!moved)
		hz_fail("none of %u power cuts has met a relocation that had moved data: this test tests nothing", CUT_ROUNDS);
	/* Now others get what has become free. */
	hz_path(name, sizeof(name), "junk");
	junk = HZ_DO(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	buf = hz_buffer(JUNK);
	memset(buf, 0x6a, JUNK);
	while (write(junk, buf, JUNK) > 0)
		;
	sync();
	for (i = 0; i <= CUT_FILES; i++)
		hz_check(&c.f[i], HZ_ALL, "recovered");
	close(junk);
	recover_end(&c);
	dm_remove();
	hz_loop_end(HZ_EXTRA_IMAGE, c.loop);
}

/* --- several devices ----------------------------------------------------------------------------------------------------- */

/* The first in_fs of nr devices are the file system's. */
struct devs {
	unsigned int nr, in_fs;
	char image[MAX_DEVS][40], dev[MAX_DEVS][32];
};

/* With the devices from the first-th on; opts: "" or ",option". */
static void mount_devs(const struct devs *d, unsigned int first, const char *more)
{
	char opts[256] = "";
	unsigned int i;

	for (i = first; i < d->in_fs; i++)
		snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts), "%sdevice=%s", i > first ? "," : "", d->dev[i]);
	snprintf(opts + strlen(opts), sizeof(opts) - strlen(opts), "%s%s", more, hz.sharing ? ",shcache" : "");
	mkdir(DIR, 0755);
	if (mount(d->dev[first], DIR, "btrfs", MS_NOATIME, opts))
		hz_fail("mount %s -o %s: %m", d->dev[first], opts);
	snprintf(hz.dir, sizeof(hz.dir), DIR);
}

static void make_devs(struct devs *d, unsigned int nr, unsigned int in_fs, const char *profile)
{
	const char *argv[8 + MAX_DEVS] = { "mkfs.btrfs", "-q", "-f", "-d", profile, "-m", in_fs > 1 ? "raid1" : "dup" };
	unsigned int i;

	d->nr = nr;
	d->in_fs = in_fs;
	for (i = 0; i < nr; i++) {
		snprintf(d->image[i], sizeof(d->image[i]), "/tmp/hz-dev%u.img", i);
		hz_image(d->image[i], HZ_EXTRA_MB);
		if (i < in_fs)
			argv[7 + i] = d->image[i];
	}
	if (agent_run(hz.ctx, argv))
		hz_fail("mkfs.btrfs -d %s failed", profile);
	for (i = 0; i < nr; i++)
		hz_loop(d->image[i], d->dev[i]);
}

static void end_devs(const struct devs *d, unsigned int first)
{
	unsigned int i;

	for (i = first; i < d->nr; i++)
		hz_loop_end(d->image[i], d->dev[i]);
}

/*
 * Overwrites every fourth copy of the file's blocks on a device, beginning with the first-th (@spoil), or counts those that still are.
 */
static unsigned int spoilt(const char *image, unsigned int first, bool spoil)
{
	uint64_t buf[HZ_WORDS], bad[HZ_WORDS];
	unsigned int i, n = 0;
	off_t off = 0;
	int fd;

	for (i = 0; i < HZ_WORDS; i++)
		bad[i] = GARBAGE;
	fd = HZ_DO(open(image, O_RDWR | O_CLOEXEC));
	for (;;) {
		off = lseek(fd, off, SEEK_DATA);
		if (off < 0 || pread(fd, buf, sizeof(buf), off) != (ssize_t)sizeof(buf))
			break;
		if (!spoil) {
			n += buf[0] == GARBAGE && buf[HZ_WORDS - 1] == GARBAGE;
		} else {
			for (i = first; i < BLOCKS; i += 4) {
				if (buf[0] != hz_word(1, i, 1) || buf[HZ_WORDS - 1] != buf[0])
					continue;
				if (pwrite(fd, bad, sizeof(bad), off) != (ssize_t)sizeof(bad))
					hz_fail("write to %s: %m", image);
				n++;
			}
		}
		off += HZ_PAGE;
	}
	close(fd);
	return n;
}

static void read_clones(void *arg)
{
	check_all(arg, HZ_READ | HZ_NEW_MAP, "a mirror is bad");
}

/* Each mirror has blocks that are bad: nobody sees them, and reading repairs them. */
static void repair(const void *arg)
{
	unsigned int i, round, bad[2], left[2];
	struct devs d;
	struct set s;

	(void)arg;
	make_devs(&d, 2, 2, "raid1");
	mount_devs(&d, 0, "");
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	/* The models are still needed. */
	for (i = 0; i <= CLONES; i++)
		close(s.all[i]->fd);
	HZ_DO(umount(DIR));
	for (i = 0; i < 2; i++) {
		bad[i] = spoilt(d.image[i], i, true);
		if (!bad[i])
			hz_fail("%s has no copy of the file: this test tests nothing", d.image[i]);
	}
	hz_cold();
	/* What the kernel rightly says now is not for the console, where it would count as a failure. */
	hz_put(PRINTK, "3");
	mount_devs(&d, 0, "");
	for (i = 0; i <= CLONES; i++)
		s.all[i]->fd = HZ_DO(open(s.all[i]->path, O_RDWR | O_CLOEXEC));
	/* The process id chooses the mirror. */
	for (round = 0; round < 8; round++) {
		hz_join(hz_fork(read_clones, &s));
		check_all(&s, HZ_CACHED, "a mirror is bad");
		hz_cold();
	}
	for (i = 0; i <= CLONES; i++)
		hz_close(s.all[i]);
	HZ_DO(umount(DIR));
	hz_put(PRINTK, "7");
	for (i = 0; i < 2; i++)
		left[i] = spoilt(d.image[i], i, false);
	if (left[0] == bad[0] && left[1] == bad[1])
		hz_fail("of %u and %u bad blocks all are still bad", bad[0], bad[1]);
	end_devs(&d, 0);
}

/* A device is replaced by another one, and one is removed, under mapped clones. */
static void replaced(const void *arg)
{
	struct btrfs_ioctl_dev_replace_args args = { .cmd = BTRFS_IOCTL_DEV_REPLACE_CMD_START };
	struct btrfs_ioctl_vol_args gone = {};
	bool *stop = hz_shared_memory(HZ_PAGE);
	struct devs d;
	struct set s;
	struct look l = { &s, stop };
	long long fill;
	pid_t pid;
	int fd;

	(void)arg;
	make_devs(&d, 3, 2, "raid0");
	mount_devs(&d, 0, "");
	fd = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	map_all(&s);
	check_all(&s, HZ_ALL, "before");
	hz_check_shared(s.all, CLONES + 1, "before");
	pid = hz_fork(look, &l);
	args.start.srcdevid = 2;
	snprintf((char *)args.start.tgtdev_name, sizeof(args.start.tgtdev_name), "%s", d.dev[2]);
	HZ_DO(ioctl(fd, BTRFS_IOC_DEV_REPLACE, &args));
	if (args.result != BTRFS_IOCTL_DEV_REPLACE_RESULT_NO_ERROR)
		hz_fail("replace: result %llu", (unsigned long long)args.result);
	check_all(&s, HZ_ALL, "replaced");
	__atomic_store_n(stop, true, __ATOMIC_SEQ_CST);
	hz_join(pid);
	/* What is in the shared cache now was read from the new device. */
	fill = hz_stat(VMSTAT, "shcache_fill");
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "replaced, cold");
	fill = hz_stat(VMSTAT, "shcache_fill") - fill;
	if (hz.sharing && fill < (long long)BLOCKS)
		hz_fail("%lld pages were filled for %u blocks", fill, BLOCKS);
	/* Two are too few for raid0 and raid1: add the old one, remove the new one. */
	snprintf(gone.name, sizeof(gone.name), "%s", d.dev[1]);
	HZ_DO(ioctl(fd, BTRFS_IOC_ADD_DEV, &gone));
	snprintf(gone.name, sizeof(gone.name), "%s", d.dev[2]);
	HZ_DO(ioctl(fd, BTRFS_IOC_RM_DEV, &gone));
	check_all(&s, HZ_ALL, "removed");
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "removed, cold");
	hz_check_shared(s.all, CLONES + 1, "removed, cold");
	close_all(&s);
	close(fd);
	HZ_DO(umount(DIR));
	end_devs(&d, 0);
}

struct profile {
	const char *name;
	unsigned int devices;
	bool redundant;		/* one device may be missing */
};

/* Shared, mapped and changed on each profile; and, where the profile allows it, read without one of its devices. */
static void profile(const void *arg)
{
	const struct profile *p = arg;
	struct btrfs_ioctl_vol_args gone = {};
	struct devs d;
	struct set s;
	unsigned int i, k;
	int ctl;

	make_devs(&d, p->devices, p->devices, p->name);
	mount_devs(&d, 0, "");
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	map_all(&s);
	check_all(&s, HZ_ALL, p->name);
	hz_check_shared(s.all, CLONES + 1, p->name);
	for (k = 0; k <= CLONES; k++) {
		hz_want_block(s.all[k], 20 + k, 5 + k, 20, 2);
		memcpy(s.all[k]->map + (20 + k) * HZ_PAGE, s.all[k]->want + (20 + k) * HZ_PAGE, HZ_PAGE);
		hz_want_block(s.all[k], 70, 5 + k, 70, 2);
		if (pwrite(s.all[k]->fd, s.all[k]->want + 70 * HZ_PAGE, HZ_PAGE, 70 * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
		check_all(&s, HZ_CACHED, "changed");
	}
	sync();
	hz_cold_mapped(s.all, CLONES + 1);
	check_all(&s, HZ_ALL, "changed, cold");
	for (k = 0; k <= CLONES; k++) {
		hz_unmap(s.all[k]);
		close(s.all[k]->fd);
	}
	HZ_DO(umount(DIR));
	if (p->redundant) {
		hz_loop_end(d.image[0], d.dev[0]);
		ctl = HZ_DO(open(CONTROL, O_RDWR | O_CLOEXEC));
		/* All that are not mounted. */
		HZ_DO(ioctl(ctl, BTRFS_IOC_FORGET_DEV, &gone));
		close(ctl);
		hz_put(PRINTK, "3");
		mount_devs(&d, 1, ",degraded");
		for (i = 0; i <= CLONES; i++) {
			s.all[i]->fd = HZ_DO(open(s.all[i]->path, O_RDWR | O_CLOEXEC));
			hz_map(s.all[i]);
			hz_touch(s.all[i]);
		}
		check_all(&s, HZ_ALL, "a device is missing");
		hz_cold_mapped(s.all, CLONES + 1);
		check_all(&s, HZ_ALL, "a device is missing, cold");
		close_all(&s);
		HZ_DO(umount(DIR));
		hz_put(PRINTK, "7");
	}
	end_devs(&d, p->redundant);
}

/* --- send, quotas ---------------------------------------------------------------------------------------------------------- */

#define STREAM	"/tmp/hz-stream"

/* A read-only snapshot is sent, while its mapped clones are written, and received as another subvolume; and what has changed since then. */
static void send_receive(const void *arg)
{
	struct btrfs_ioctl_vol_args_v2 snap = { .flags = BTRFS_SUBVOL_RDONLY };
	char top[128], path[2][160], stream[2][32];
	struct set s;
	struct hz_file got;
	unsigned int k, i, round;
	int fd;

	(void)arg;
	snprintf(top, sizeof(top), "%s", hz.dir);
	subvol(top, "sub", -1);
	subvol(top, "into", -1);
	snprintf(hz.dir, sizeof(hz.dir), "%.100s/sub", top);
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	map_all(&s);
	hz_check_shared(s.all, CLONES + 1, "before");
	for (round = 0; round < 2; round++) {
		const char *send[] = { "btrfs", "-q", "send", "-f", stream[round], path[round], NULL };
		const char *send_more[] = { "btrfs", "-q", "send", "-p", path[0], "-f", stream[round], path[round], NULL };
		const char *receive[] = { "btrfs", "-q", "receive", "-f", stream[round], path[0], NULL };
		char into[160];

		snprintf(stream[round], sizeof(stream[0]), STREAM "%u", round);
		snprintf(path[round], sizeof(path[0]), "%.120s/snap%u", top, round);
		fd = HZ_DO(open(top, O_RDONLY | O_CLOEXEC));
		snap.fd = HZ_DO(open(hz.dir, O_RDONLY | O_CLOEXEC));
		snprintf(snap.name, sizeof(snap.name), "snap%u", round);
		HZ_DO(ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, &snap));
		close((int)snap.fd);
		close(fd);
		open_in(&got, &s.golden, path[round]);
		if (agent_run(hz.ctx, round ? send_more : send))
			hz_fail("btrfs send failed");
		check_all(&s, HZ_CACHED, "sent");
		/* What was sent must not change with it. */
		for (k = 0; k <= CLONES; k++) {
			hz_want_block(s.all[k], 8 + 2 * round, 5 + k, 8, 2 + round);
			i = (8 + 2 * round) * HZ_PAGE;
			memcpy(s.all[k]->map + i, s.all[k]->want + i, HZ_PAGE);
		}
		check_all(&s, HZ_CACHED, "changed");
		hz_check(&got, HZ_READ, "the snapshot");
		hz_close(&got);
		snprintf(into, sizeof(into), "%.120s/into", top);
		receive[5] = into;
		if (agent_run(hz.ctx, receive))
			hz_fail("btrfs receive failed");
	}
	/* The second one has been received on top of the first one. */
	for (round = 0; round < 2; round++) {
		char dir[160];

		snprintf(dir, sizeof(dir), "%.120s/into/snap%u", top, round);
		open_in(&got, &s.golden, dir);
		/* As the golden file was then. */
		hz_want_block(&got, 10, 1, 10, 1);
		if (!round)
			hz_want_block(&got, 8, 1, 8, 1);
		hz_check(&got, HZ_READ, round ? "received, changed" : "received");
		hz_close(&got);
	}
	hz_cold();
	check_all(&s, HZ_ALL, "in the end");
	close_all(&s);
	unlink(STREAM "0");
	unlink(STREAM "1");
}

static bool poke_block(const struct hz_file *f, unsigned int block)
{
	unsigned int i;

	for (i = 0; i < HZ_WORDS; i++)
		if (!hz_poke(f->map + (uint64_t)block * HZ_PAGE + 8 * i, hz_word(7, block, 3)))
			return false;
	return true;
}

/* A subvolume at its limit: breaking what is shared needs space, and is refused; nobody's data suffers. */
static void quota(const void *arg)
{
	struct btrfs_ioctl_quota_ctl_args on = { .cmd = BTRFS_QUOTA_CTL_ENABLE };
	struct btrfs_ioctl_qgroup_limit_args limit = { .lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_EXCL } };
	unsigned int i, stored = 0, written = 0;
	char top[128], dev[32];
	struct set s;
	int fd, err;

	(void)arg;
	err = hz_extra_fs(DIR, "", hz.sharing ? "shcache" : "", dev);
	if (err)
		hz_fail("mount %s: %s", dev, strerror(-err));
	snprintf(top, sizeof(top), DIR);
	subvol(top, "sub", -1);
	snprintf(hz.dir, sizeof(hz.dir), DIR "/sub");
	fd = HZ_DO(open(hz.dir, O_RDONLY | O_CLOEXEC));
	HZ_DO(ioctl(fd, BTRFS_IOC_QUOTA_CTL, &on));
	HZ_DO(ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT));
	hz_create(&s.golden, "golden", 1, BLOCKS);
	clone_all(&s);
	map_all(&s);
	check_all(&s, HZ_ALL, "before");
	hz_check_shared(s.all, CLONES + 1, "before");
	limit.lim.max_excl = (BLOCKS + 64) * HZ_PAGE;
	HZ_DO(ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &limit));
	for (i = 0; i < BLOCKS; i++) {
		if (!poke_block(&s.clone[0], i))
			break;
		hz_want_block(&s.clone[0], i, 7, i, 3);
		stored++;
	}
	for (i = 0; i < BLOCKS; i++) {
		uint64_t block[HZ_WORDS];

		hz_fill(block, 7, i, 3);
		if (pwrite(s.clone[1].fd, block, HZ_PAGE, (off_t)i * HZ_PAGE) != HZ_PAGE) {
			if (errno != EDQUOT)
				hz_fail("write at the limit: %m");
			break;
		}
		hz_want_block(&s.clone[1], i, 7, i, 3);
		written++;
	}
	if (stored + written >= 2 * BLOCKS)
		hz_fail("the limit of the quota was not met: this test tests nothing");
	check_all(&s, HZ_CACHED, "at the limit");
	limit.lim.max_excl = UINT64_MAX;
	HZ_DO(ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &limit));
	for (i = 0; i < BLOCKS; i++) {
		if (!poke_block(&s.clone[2], i))
			hz_fail("SIGBUS without a limit, at block %u", i);
		hz_want_block(&s.clone[2], i, 7, i, 3);
	}
	check_all(&s, HZ_CACHED, "without a limit");
	sync();
	hz_cold();
	check_all(&s, HZ_ALL, "cold");
	close_all(&s);
	close(fd);
	hz_extra_fs_end(DIR, dev);
}

#define BTRFS_TEST(n, p, f, ...)	{ n, p, .needs = HZ_BTRFS, .fn = f, ##__VA_ARGS__ }

#define PROFILE(n, devices, redundant)						\
	BTRFS_TEST("btrfs-" n, "the data profile " n, profile, .arg = &(const struct profile){ n, devices, redundant })

const struct hz_test hz_btrfs_tests[] = {
	BTRFS_TEST("btrfs-snapshot", "snapshots of a cached file are one copy, and apart when changed", snapshots),
	BTRFS_TEST("btrfs-zlib", "compressed extents, zlib", compressed, .arg = "zlib"),
	BTRFS_TEST("btrfs-lzo", "compressed extents, lzo", compressed, .arg = "lzo"),
	BTRFS_TEST("btrfs-zstd", "compressed extents, zstd", compressed, .arg = "zstd"),
	BTRFS_TEST("btrfs-zstd-random", "compressed extents, read here and there", compressed_here_and_there, .arg = "zstd"),
	BTRFS_TEST("btrfs-nocow", "files without checksums", nocow),
	BTRFS_TEST("btrfs-hole", "a reader meets a clone that fills the hole behind him", changed_behind,
		   .arg = &(const struct piece){ change_by_clone, -(off_t)HZ_PAGE, PLACE_EXTENT, .max = PLACES }),
	/* Not without the option: the kernel without the series does show the old extent now and then. */
	{ "btrfs-behind", "a reader meets a clone that replaces the extent behind him", .needs = HZ_BTRFS | HZ_SHARING, .fn = changed_behind,
	  .arg = &(const struct piece){ change_by_clone, -(off_t)PLACE_EXTENT / 2, HZ_PAGE, .max = PLACES, .extent = true } },
	{ "btrfs-cut", "a reader meets a truncation behind him", .needs = HZ_BTRFS | HZ_SHARING, .fn = changed_behind,
	  .arg = &(const struct piece){ change_by_cut, -(off_t)PLACE_EXTENT / 2, HZ_PAGE, .max = 900, .extent = true, .files = true } },
	/* Nor this. */
	{ "btrfs-balance-cut", "a relocation that a power cut has interrupted goes on under files in use", .needs = HZ_BTRFS | HZ_SHARING, .fn = recovered },
	BTRFS_TEST("btrfs-verity", "verity is enabled for one of mapped clones", verity),
	BTRFS_TEST("btrfs-balance", "balance under mapped clones", moved, .arg = &(const struct mover){ .fn = balance, .moves = 1 }),
	BTRFS_TEST("btrfs-defrag", "defragmentation of one of mapped clones", moved, .arg = &(const struct mover){ .fn = defrag, .moves = 3, .pieces = true }),
	BTRFS_TEST("btrfs-resize", "shrink and grow under mapped clones", moved, .arg = &(const struct mover){ .fn = resize, .moves = 1, .at_end = true }),
	BTRFS_TEST("btrfs-scrub", "scrub under mapped clones", moved, .arg = &(const struct mover){ .fn = scrub }),
	BTRFS_TEST("btrfs-repair", "bad blocks of each mirror are not seen, and repaired", repair),
	BTRFS_TEST("btrfs-replace", "replace and remove of a device under mapped clones", replaced),
	PROFILE("dup", 1, false), PROFILE("raid0", 2, false), PROFILE("raid1c3", 3, true), PROFILE("raid1c4", 4, true),
	PROFILE("raid10", 4, true), PROFILE("raid5", 3, true), PROFILE("raid6", 4, true),
	BTRFS_TEST("btrfs-send", "send and receive of a snapshot whose clones are mapped and written", send_receive),
	BTRFS_TEST("btrfs-quota", "writes to clones at the limit of a quota", quota),
	{ NULL, NULL, 0, NULL, NULL }
};
