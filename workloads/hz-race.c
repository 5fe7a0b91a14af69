// SPDX-License-Identifier: GPL-2.0
/*
 * Races. One writer takes files through numbered phases; readers, each a process of its own, look at single words by every path
 * and check that what they saw belongs to a phase between the one that had ended before they looked and the one that had begun
 * when they had looked. So data that is one phase too old fails the test, and data of another file does at any time.
 *
 *   phase counter p: even 2k = state k stands; odd 2k+1 = the change from state k to k+1 is under way
 *   legal for a look with p1 before and p2 after it: any state in [p1 / 2, (p2 + 1) / 2], and what the change itself may show
 *
 * Meanwhile others drop caches, compact memory, page out, and make and delete more clones.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"
#include "tree.h"

#define BLOCKS	32u
#define FILES	3u		/* a changes; b is cloned from it now and then; golden never changes */
#define GONE	1ull		/* a look ended in SIGBUS, or read(2) at the end of the file */

#define MADV_PAGEOUT_		21
#define MADV_SOFT_OFFLINE_	101

enum { FILE_A, FILE_B, GOLDEN };

struct shared {
	uint32_t phase[FILES];
	uint32_t looks[16];	/* by reader: that it looked at all */
	uint32_t stop;
};

struct race {
	const char *name;
	/* Brings a from state k to k+1. */
	void (*step)(struct hz_file *f, unsigned int k);
	/* What block b of file f shows in state k. */
	uint64_t (*state)(unsigned int file, unsigned int k, unsigned int b);
	/* May a look during the change from k show v? Else only the two states. */
	bool (*between)(unsigned int k, unsigned int b, uint64_t v);
	/* And a page that is in a pipe during the change, where it is the one of the page cache? */
	bool (*in_pipe)(unsigned int b, uint64_t v);
	void (*prepare)(struct hz_file *f);
	bool heavy;		/* with the machine-wide troublemakers */
};

struct reader {
	const char *how;
	/* One look at block b; map: a mapping of the whole file that stays. */
	uint64_t (*look)(int fd, const uint8_t *map, unsigned int b, unsigned int word);
	bool direct, pipe;
};

static struct shared *sh;
static const struct race *race;
static struct hz_file files[FILES];

static void begin(unsigned int f)
{
	__atomic_add_fetch(&sh->phase[f], 1, __ATOMIC_SEQ_CST);
}

static uint32_t now(unsigned int f)
{
	return __atomic_load_n(&sh->phase[f], __ATOMIC_SEQ_CST);
}

static bool legal(unsigned int f, unsigned int b, uint32_t p1, uint32_t p2, uint64_t v, bool pipe)
{
	unsigned int k, from = p1 / 2, to = (p2 + 1) / 2;

	/* A reader that slept for very long proves nothing. */
	if (to - from > 200)
		return true;
	for (k = from; k <= to; k++)
		if (race->state(f, k, b) == v || (k < to && race->between && f == FILE_A && race->between(k, b, v)))
			return true;
	return pipe && from < to && race->in_pipe && f == FILE_A && race->in_pipe(b, v);
}

static void judge(unsigned int f, unsigned int b, uint32_t p1, uint32_t p2, uint64_t v, const struct reader *r)
{
	static const char *const names[] = { "a", "b", "golden" };
	char seen[64], want[64];

	if (legal(f, b, p1, p2, v, r->pipe))
		return;
	hz_fail("block %u of %s by %s shows %s; it was at state %u before and %u after the look, state %u is %s", b, names[f], r->how,
		v == GONE ? "SIGBUS or end of file" : hz_word_text(v, seen, sizeof(seen)), p1 / 2, (p2 + 1) / 2, p1 / 2,
		race->state(f, p1 / 2, b) == GONE ? "behind the end" : hz_word_text(race->state(f, p1 / 2, b), want, sizeof(want)));
}

/* --- readers ------------------------------------------------------------------------------------------------------------- */

static uint64_t look_map(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	uint64_t v;

	(void)fd;
	return hz_peek(map + b * HZ_PAGE + word * 8, &v) ? v : GONE;
}

/* The page table entry goes, so the next look faults. */
static uint64_t look_refault(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	uint64_t v = look_map(fd, map, b, word);

	madvise((void *)(uintptr_t)(map + (b & ~7u) * HZ_PAGE), 8 * HZ_PAGE, MADV_DONTNEED);
	return v;
}

static uint64_t look_new_map(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	uint8_t *m = mmap(NULL, HZ_PAGE, PROT_READ, word & 1 ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)b * HZ_PAGE);
	uint64_t v;

	(void)map;
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	v = look_map(fd, m, 0, word);
	munmap(m, HZ_PAGE);
	return v;
}

static uint64_t look_read(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	uint64_t v = 0;
	ssize_t n = pread(fd, &v, 8, (off_t)(b * HZ_PAGE + word * 8));

	(void)map;
	if (n < 0)
		hz_fail("read: %m");
	return n == 8 ? v : GONE;
}

/* Reads much, so that there is read-ahead. */
static uint64_t look_read_all(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	static uint8_t buf[BLOCKS * HZ_PAGE];
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	uint64_t v;

	(void)map;
	if (n < 0)
		hz_fail("read: %m");
	memcpy(&v, buf + b * HZ_PAGE + word * 8, 8);
	return n >= (ssize_t)(b * HZ_PAGE + word * 8 + 8) ? v : GONE;
}

static uint64_t look_splice(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	static int p[2];
	loff_t off = (loff_t)(b * HZ_PAGE + word * 8);
	uint64_t v;
	ssize_t n;

	(void)map;
	if (!p[1])
		HZ_DO(pipe2(p, O_CLOEXEC));
	n = splice(fd, &off, p[1], NULL, 8, 0);
	if (n < 0)
		hz_fail("splice: %m");
	if (n == 8 && read(p[0], &v, 8) == 8)
		return v;
	return GONE;
}

static uint64_t look_direct(int fd, const uint8_t *map, unsigned int b, unsigned int word)
{
	static uint64_t *buf;
	ssize_t n;

	(void)map;
	if (!buf)
		buf = hz_buffer(HZ_PAGE);
	n = pread(fd, buf, HZ_PAGE, (off_t)b * HZ_PAGE);
	if (n < 0)
		hz_fail("direct read: %m");
	return n == HZ_PAGE ? buf[word] : GONE;
}

static const struct reader readers[] = {
	{ "an old mapping", look_map, false, false },
	{ "an old mapping with refaults", look_refault, false, false },
	{ "a new mapping", look_new_map, false, false },
	{ "read", look_read, false, false },
	{ "a long read", look_read_all, false, false },
	{ "splice", look_splice, false, true },
	{ "a direct read", look_direct, true, false },
};
#define READERS	(sizeof(readers) / sizeof(readers[0]))

struct reader_arg {
	unsigned int reader, file;
};

static void reader_main(void *p)
{
	const struct reader_arg *arg = p;
	const struct reader *r = &readers[arg->reader];
	struct hz_file *f = &files[arg->file];
	uint64_t rnd = hz.rand + arg->reader * 100 + arg->file;
	int fd = r->direct ? hz_open_direct(f) : HZ_DO(open(f->path, O_RDWR | O_CLOEXEC));
	const uint8_t *map = mmap(NULL, 2 * BLOCKS * HZ_PAGE, PROT_READ, arg->reader & 1 ? MAP_SHARED : MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		hz_fail("mmap: %m");
	while (!__atomic_load_n(&sh->stop, __ATOMIC_RELAXED)) {
		unsigned int b = (unsigned int)(wl_rand(&rnd) % BLOCKS), word = (unsigned int)(wl_rand(&rnd) % HZ_WORDS);
		uint32_t p1 = now(arg->file), p2;
		uint64_t v = r->look(fd, map, b, word);

		p2 = now(arg->file);
		judge(arg->file, b, p1, p2, v, r);
		__atomic_add_fetch(&sh->looks[arg->reader], 1, __ATOMIC_RELAXED);
	}
}

/* --- troublemakers ------------------------------------------------------------------------------------------------------- */

static void trouble_drop(void *arg)
{
	(void)arg;
	for (;;) {
		hz_put("/proc/sys/vm/drop_caches", "1");
		usleep(3000);
	}
}

static void trouble_compact(void *arg)
{
	(void)arg;
	for (;;) {
		hz_put("/proc/sys/vm/compact_memory", "1");
		usleep(10000);
	}
}

static void trouble_pageout(void *arg)
{
	uint8_t *map[FILES];
	unsigned int i;
	uint64_t v;

	(void)arg;
	for (i = 0; i < FILES; i++) {
		map[i] = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, MAP_SHARED, files[i].fd, 0);
		if (map[i] == MAP_FAILED)
			hz_fail("mmap: %m");
	}
	for (;;) {
		for (i = 0; i < FILES; i++) {
			hz_peek(map[i], &v);
			madvise(map[i], BLOCKS * HZ_PAGE, MADV_PAGEOUT_);
			posix_fadvise(files[i].fd, 0, 0, POSIX_FADV_DONTNEED);
		}
		/* The other one goes for no folio that is mapped in several places. */
		hz_reclaim(1);
		usleep(2000);
	}
}

/* Each takes a page of memory for good, so not too many of them. */
static void trouble_offline(void *arg)
{
	uint64_t rnd = hz.rand, v;
	uint8_t *map[FILES];
	unsigned int i;

	(void)arg;
	for (i = 0; i < FILES; i++) {
		map[i] = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, MAP_SHARED, files[i].fd, 0);
		if (map[i] == MAP_FAILED)
			hz_fail("mmap: %m");
	}
	for (i = 0; i < 1000; i++) {
		uint8_t *page = map[i % FILES] + wl_rand(&rnd) % BLOCKS * HZ_PAGE;

		if (hz_peek(page, &v))
			madvise(page, HZ_PAGE, MADV_SOFT_OFFLINE_);
		usleep(10000);
	}
}

static void prepare_alone(struct hz_file *f);

/* More owners come and go, so that blocks are shared again and no longer; but not of a file whose blocks are to have one. */
static void trouble_clones(void *arg)
{
	char path[160];

	(void)arg;
	hz_path(path, sizeof(path), "more");
	for (;;) {
		int fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
		char buf[HZ_PAGE];

		HZ_DO(ioctl(fd, FICLONE, files[race->prepare == prepare_alone ? GOLDEN : FILE_A].fd));
		HZ_DO(pread(fd, buf, sizeof(buf), 5 * HZ_PAGE));
		close(fd);
		HZ_DO(unlink(path));
		usleep(5000);
	}
}

static void (*const troubles[])(void *) = { trouble_pageout, trouble_clones, trouble_drop, trouble_compact, trouble_offline };

#define TROUBLES	(sizeof(troubles) / sizeof(troubles[0]))

/* --- the race itself ----------------------------------------------------------------------------------------------------- */

#define ENOUGH	5u

static bool all_looked(void)
{
	unsigned int i;

	for (i = 0; i < READERS; i++)
		if (!__atomic_load_n(&sh->looks[i], __ATOMIC_RELAXED))
			return false;
	return true;
}

/* Was a shared page in the way of a write in place, since the kernel had doomed so many? True where there are none. */
static bool met(long long doomed)
{
	return !hz.sharing || !hz.xfs || race->prepare != prepare_alone || hz_stat("/proc/vmstat", "shcache_doom") != doomed;
}

static void run_race(const void *arg)
{
	struct reader_arg args[FILES * READERS];
	pid_t pids[FILES * READERS + TROUBLES];
	unsigned int i, f, n = 0, k = 0, alive = 0;
	long long doomed = hz_stat("/proc/vmstat", "shcache_doom");
	uint64_t end;

	race = arg;
	sh = hz_shared_memory(sizeof(*sh));
	hz_create(&files[GOLDEN], "golden", 1, BLOCKS);
	hz_clone(&files[FILE_A], &files[GOLDEN], "a");
	hz_clone(&files[FILE_B], &files[FILE_A], "b");
	if (race->prepare)
		race->prepare(&files[FILE_A]);
	hz_cold();
	for (f = 0; f < FILES; f++) {
		for (i = 0; i < READERS; i++) {
			/* Of what stands still, two readers are enough. */
			if (f != FILE_A && i != (f == FILE_B ? 1 : 0) && i != 3)
				continue;
			args[n] = (struct reader_arg){ i, f };
			pids[n] = hz_fork(reader_main, &args[n]);
			n++;
		}
	}
	alive = n;
	for (i = 0; i < (race->heavy ? TROUBLES : 2); i++)
		pids[n++] = hz_fork(troubles[i], NULL);
	/* On a busy host longer, so that there is something to judge; the test's limit ends what hangs. */
	for (end = hz_ms() + hz.seconds * 1000; (hz_ms() < end || k < ENOUGH || !all_looked() || !met(doomed)) && *hz.verdict == HZ_OPEN; k++) {
		begin(FILE_A);
		race->step(&files[FILE_A], k);
		begin(FILE_A);
	}
	__atomic_store_n(&sh->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < alive; i++)
		hz_join(pids[i]);
	for (; i < n; i++)
		hz_kill(pids[i]);
	wl_info(hz.ctx, race->name, "%u states; looks: %u %u %u %u %u %u %u", k, sh->looks[0], sh->looks[1], sh->looks[2], sh->looks[3],
		sh->looks[4], sh->looks[5], sh->looks[6]);
}

/* --- versions: state k+1 differs from k in one block ---------------------------------------------------------------------- */

/* After k steps block b was written so often; the steps go round the blocks in a scattered order. */
static unsigned int block_of(unsigned int k)
{
	return k * 11 % BLOCKS;
}

static unsigned int writes_of(unsigned int k, unsigned int b)
{
	unsigned int first;

	for (first = 0; block_of(first) != b; first++)
		;
	return k > first ? (k - first - 1) / BLOCKS + 1 : 0;
}

/* b is cloned from a whenever all blocks were written equally often: its state j is a's state j * BLOCKS. */
static uint64_t version_state(unsigned int file, unsigned int k, unsigned int b)
{
	if (file == GOLDEN)
		return hz_word(1, b, 1);
	if (file == FILE_B)
		return hz_word(1, b, 1 + k);
	return hz_word(1, b, 1 + writes_of(k, b));
}

static void clone_to_b(unsigned int k)
{
	if ((k + 1) % BLOCKS)
		return;
	begin(FILE_B);
	HZ_DO(ioctl(files[FILE_B].fd, FICLONE, files[FILE_A].fd));
	begin(FILE_B);
}

static const void *next_block(unsigned int k)
{
	static uint64_t *buf;

	if (!buf)
		buf = hz_buffer(HZ_PAGE);
	hz_fill(buf, 1, block_of(k), 1 + writes_of(k + 1, block_of(k)));
	return buf;
}

static void step_write(struct hz_file *f, unsigned int k)
{
	if (pwrite(f->fd, next_block(k), HZ_PAGE, (off_t)block_of(k) * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
	if (k % 5 == 4)
		HZ_DO(sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	clone_to_b(k);
}

static void step_store(struct hz_file *f, unsigned int k)
{
	static uint64_t *m;
	const uint64_t *from = next_block(k);
	unsigned int i;

	if (!m)
		m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	/* Read first: then the store meets a page that is mapped read-only. */
	(void)*(volatile uint64_t *)(m + block_of(k) * HZ_WORDS);
	for (i = 0; i < HZ_WORDS; i++)
		__atomic_store_n(m + block_of(k) * HZ_WORDS + i, from[i], __ATOMIC_RELAXED);
	if (k % 5 == 4)
		HZ_DO(sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	clone_to_b(k);
}

static void step_direct(struct hz_file *f, unsigned int k)
{
	static int fd;

	if (!fd)
		fd = hz_open_direct(f);
	if (pwrite(fd, next_block(k), HZ_PAGE, (off_t)block_of(k) * HZ_PAGE) != HZ_PAGE)
		hz_fail("direct write: %m");
	clone_to_b(k);
}

static void step_aio(struct hz_file *f, unsigned int k)
{
	static int fd;

	if (!fd)
		fd = hz_open_direct(f);
	hz_aio_write(fd, next_block(k), HZ_PAGE, (uint64_t)block_of(k) * HZ_PAGE);
	clone_to_b(k);
}

/*
 * In place: a is the only owner of its blocks when it is written. It was cloned, and the clone was looked at, just before, so that
 * readers of a are on their way through the shared cache. Golden has nothing in common with a here.
 */
static void prepare_alone(struct hz_file *f)
{
	unsigned int b;

	for (b = 0; b < BLOCKS; b++) {
		uint64_t buf[HZ_WORDS];

		hz_fill(buf, 1, b, 1);
		if (pwrite(f->fd, buf, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
			hz_fail("write: %m");
	}
	HZ_DO(fsync(f->fd));
	/* b is golden's clone in these races, and stands still. */
	HZ_DO(ioctl(files[FILE_B].fd, FICLONE, files[GOLDEN].fd));
}

static uint64_t in_place_state(unsigned int file, unsigned int k, unsigned int b)
{
	return version_state(file == FILE_A ? FILE_A : GOLDEN, k, b);
}

static void share_and_unshare(struct hz_file *f)
{
	char path[160], buf[HZ_PAGE];
	int fd;

	hz_path(path, sizeof(path), "short-lived");
	fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	HZ_DO(ioctl(fd, FICLONE, f->fd));
	/* Golden's clean pages go, so that readers of a have to look the blocks up while they are shared. */
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	HZ_DO(pread(fd, buf, sizeof(buf), 0));
	/* The owner is gone when this returns, not when a worker gets to it. */
	HZ_DO(ftruncate(fd, 0));
	close(fd);
	HZ_DO(unlink(path));
}

static void step_in_place_direct(struct hz_file *f, unsigned int k)
{
	static int fd;

	if (!fd)
		fd = hz_open_direct(f);
	if (!(k % 4))
		share_and_unshare(f);
	if (pwrite(fd, next_block(k), HZ_PAGE, (off_t)block_of(k) * HZ_PAGE) != HZ_PAGE)
		hz_fail("direct write: %m");
}

static void step_in_place_write(struct hz_file *f, unsigned int k)
{
	if (!(k % 4))
		share_and_unshare(f);
	if (pwrite(f->fd, next_block(k), HZ_PAGE, (off_t)block_of(k) * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
	if (k % 4 == 3)
		HZ_DO(fdatasync(f->fd));
}

static void step_in_place_store(struct hz_file *f, unsigned int k)
{
	static uint64_t *m;
	const uint64_t *from = next_block(k);
	unsigned int i;

	if (!m)
		m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	if (!(k % 4))
		share_and_unshare(f);
	for (i = 0; i < HZ_WORDS; i++)
		__atomic_store_n(m + block_of(k) * HZ_WORDS + i, from[i], __ATOMIC_RELAXED);
	if (k % 4 == 3)
		HZ_DO(msync(m, BLOCKS * HZ_PAGE, MS_SYNC));
}

static void step_in_place_aio(struct hz_file *f, unsigned int k)
{
	static int fd;

	if (!fd)
		fd = hz_open_direct(f);
	if (!(k % 4))
		share_and_unshare(f);
	hz_aio_write(fd, next_block(k), HZ_PAGE, (uint64_t)block_of(k) * HZ_PAGE);
}

/* --- the whole file changes at once ---------------------------------------------------------------------------------------- */

static struct hz_file second;		/* another file, shared with a clone of its own */

static void prepare_second(struct hz_file *f)
{
	static struct hz_file clone;

	(void)f;
	hz_create(&second, "second", 2, BLOCKS);
	hz_clone(&clone, &second, "second-clone");
}

/* FICLONE of golden and of the second file in turns. */
static void step_clone(struct hz_file *f, unsigned int k)
{
	HZ_DO(ioctl(f->fd, FICLONE, (k & 1 ? &files[GOLDEN] : &second)->fd));
}

static uint64_t clone_state(unsigned int file, unsigned int k, unsigned int b)
{
	return file == FILE_A && (k & 1) ? hz_word(2, b, 1) : hz_word(1, b, 1);
}

/* Extents are replaced one after the other, and those that go leave a hole for a moment. */
static bool zero_between(unsigned int k, unsigned int b, uint64_t v)
{
	(void)k;
	(void)b;
	return !v;
}

/* 8 blocks in the middle out and in again; what was behind moves. */
#define CUT_FROM 8u
#define CUT	8u

static void step_collapse(struct hz_file *f, unsigned int k)
{
	if (!(k & 1)) {
		HZ_DO(fallocate(f->fd, FALLOC_FL_COLLAPSE_RANGE, CUT_FROM * HZ_PAGE, CUT * HZ_PAGE));
	} else {
		struct file_clone_range r = { .src_fd = files[GOLDEN].fd, .src_offset = CUT_FROM * HZ_PAGE, .src_length = CUT * HZ_PAGE,
					      .dest_offset = CUT_FROM * HZ_PAGE };

		HZ_DO(fallocate(f->fd, FALLOC_FL_INSERT_RANGE, CUT_FROM * HZ_PAGE, CUT * HZ_PAGE));
		HZ_DO(ioctl(f->fd, FICLONERANGE, &r));
	}
}

static uint64_t collapse_state(unsigned int file, unsigned int k, unsigned int b)
{
	if (file == FILE_A && (k & 1) && b >= CUT_FROM)
		return b < BLOCKS - CUT ? hz_word(1, b + CUT, 1) : GONE;
	return hz_word(1, b, 1);
}

/* Insertion changes the size first; the new blocks are a hole until they are cloned. */
static bool collapse_between(unsigned int k, unsigned int b, uint64_t v)
{
	(void)k;
	return b >= CUT_FROM && !v;
}

/*
 * XFS lets go of the block before, too, to see that it can shift extents, and the page cache wipes what it lets go of in a large folio that
 * it can not split: somebody has it in a pipe.  On any kernel.
 */
static bool collapse_in_pipe(unsigned int b, uint64_t v)
{
	return b == CUT_FROM - 1 && !v;
}

/* Half of it goes, comes back as zeroes, and is cloned again. */
static void step_truncate(struct hz_file *f, unsigned int k)
{
	struct file_clone_range r = { .src_fd = files[GOLDEN].fd, .src_offset = BLOCKS / 2 * HZ_PAGE, .src_length = BLOCKS / 2 * HZ_PAGE,
				      .dest_offset = BLOCKS / 2 * HZ_PAGE };

	if (k % 3 == 0)
		HZ_DO(ftruncate(f->fd, BLOCKS / 2 * HZ_PAGE));
	else if (k % 3 == 1)
		HZ_DO(ftruncate(f->fd, BLOCKS * HZ_PAGE));
	else
		HZ_DO(ioctl(f->fd, FICLONERANGE, &r));
}

static uint64_t truncate_state(unsigned int file, unsigned int k, unsigned int b)
{
	if (file == FILE_A && b >= BLOCKS / 2 && k % 3)
		return k % 3 == 1 ? GONE : 0;
	return hz_word(1, b, 1);
}

/* A hole, and a clone over it. */
static void step_punch(struct hz_file *f, unsigned int k)
{
	struct file_clone_range r = { .src_fd = files[GOLDEN].fd, .src_offset = 4 * HZ_PAGE, .src_length = 20 * HZ_PAGE,
				      .dest_offset = 4 * HZ_PAGE };

	if (k & 1)
		HZ_DO(ioctl(f->fd, FICLONERANGE, &r));
	else
		HZ_DO(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * HZ_PAGE, 20 * HZ_PAGE));
}

static void step_zero(struct hz_file *f, unsigned int k)
{
	if (k & 1)
		step_punch(f, k);
	else
		HZ_DO(fallocate(f->fd, FALLOC_FL_ZERO_RANGE, 4 * HZ_PAGE, 20 * HZ_PAGE));
}

static uint64_t punch_state(unsigned int file, unsigned int k, unsigned int b)
{
	return file == FILE_A && (k & 1) && b >= 4 && b < 24 ? 0 : hz_word(1, b, 1);
}

/* Same bytes, other blocks. */
static void step_unshare(struct hz_file *f, unsigned int k)
{
	if (k & 1)
		HZ_DO(ioctl(f->fd, FICLONE, files[GOLDEN].fd));
	else if (fallocate(f->fd, 0x40, 0, BLOCKS * HZ_PAGE))
		hz_skip("no unshare here: %m");
}

static uint64_t same_state(unsigned int file, unsigned int k, unsigned int b)
{
	(void)file;
	(void)k;
	return hz_word(1, b, 1);
}

/* --- a name, many lives -------------------------------------------------------------------------------------------------- */

struct lives {
	uint32_t phase, looks, stop;
};

static void lives_reader(void *p)
{
	struct lives *l = p;
	uint64_t rnd = hz.rand + (uint64_t)getpid();
	char path[160];

	hz_path(path, sizeof(path), "lives");
	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
		unsigned int i, life, b;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		uint64_t v;
		uint8_t *m;

		if (fd < 0)
			continue;
		m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, wl_rand(&rnd) & 1 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
		v = look_read(fd, NULL, 0, 0);
		if (v == GONE || !v)
			hz_fail("a file that was renamed when complete is empty");
		life = (unsigned int)(v >> 40) & 0xff;
		/* All of this file is of one life, however long ago its name went and its blocks were promised to the next. */
		for (i = 0; i < 40; i++) {
			b = (unsigned int)(wl_rand(&rnd) % BLOCKS);
			v = i & 1 ? look_read(fd, NULL, b, 7) : look_map(fd, m, b, 9);
			if (v != hz_word(life, b, 1)) {
				char text[64];

				hz_fail("life %u, block %u by %s: %s", life, b, i & 1 ? "read" : "mapping", hz_word_text(v, text, sizeof(text)));
			}
			__atomic_add_fetch(&l->looks, 1, __ATOMIC_RELAXED);
		}
		munmap(m, BLOCKS * HZ_PAGE);
		close(fd);
	}
}

/* Was something shared, and something of that freed, since the kernel had counted so many? True where there is no sharing. */
static bool reused(long long fill, long long doomed)
{
	return !hz.sharing || (hz_stat("/proc/vmstat", "shcache_fill") != fill && hz_stat("/proc/vmstat", "shcache_doom") != doomed);
}

/* Files with clones are made and deleted while readers hold them, so blocks are freed and given away under slow readers. */
static void many_lives(const void *arg)
{
	struct lives *l = hz_shared_memory(sizeof(*l));
	long long fill = hz_stat("/proc/vmstat", "shcache_fill"), doomed = hz_stat("/proc/vmstat", "shcache_doom");
	char path[160], tmp[160], kept[160];
	struct hz_file f, c;
	unsigned int i, life = 0;
	pid_t pids[6];
	uint64_t end;

	(void)arg;
	hz_path(path, sizeof(path), "lives");
	hz_path(kept, sizeof(kept), "kept");
	files[FILE_A].fd = files[FILE_B].fd = files[GOLDEN].fd = -1;
	for (i = 0; i < 4; i++)
		pids[i] = hz_fork(lives_reader, l);
	pids[4] = hz_fork(trouble_drop, NULL);
	for (end = hz_ms() + hz.seconds * 1000;
	     (hz_ms() < end || life < ENOUGH || !__atomic_load_n(&l->looks, __ATOMIC_RELAXED) || !reused(fill, doomed)) &&
	     *hz.verdict == HZ_OPEN; life++) {
		hz_create(&f, "new", 1 + life % 250, BLOCKS);
		hz_clone(&c, &f, "new-clone");
		HZ_DO(posix_fadvise(f.fd, 0, 0, POSIX_FADV_DONTNEED));
		hz_path(tmp, sizeof(tmp), life & 1 ? "new" : "new-clone");
		HZ_DO(rename(tmp, path));
		hz_path(tmp, sizeof(tmp), life & 1 ? "new-clone" : "new");
		/* The other owner goes with the next life's, or nobody would share anything for long. */
		HZ_DO(rename(tmp, kept));
		hz_close(&f);
		hz_close(&c);
		if (life % 4 == 3)
			settle(TREE_MNT);
	}
	__atomic_store_n(&l->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++)
		hz_join(pids[i]);
	hz_kill(pids[4]);
	wl_info(hz.ctx, "race-lives", "%u lives, %u looks", life, l->looks);
}

/* --- appending to the last page ------------------------------------------------------------------------------------------ */

#define APPEND_AT	100u	/* the first word of the page that is not in the clone */
#define APPENDS		60u

struct append {
	unsigned int round, stop, looks;
};

static void append_reader(void *p)
{
	struct append *a = p;
	uint64_t v[HZ_WORDS];
	char path[160], name[16], text[64];

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		unsigned int i, k;
		struct stat st;
		uint8_t *m;
		ssize_t n;
		int fd;

		snprintf(name, sizeof(name), "r%u", __atomic_load_n(&a->round, __ATOMIC_RELAXED));
		hz_path(path, sizeof(path), name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		m = mmap(NULL, 2 * HZ_PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
		for (k = 0; k < 30; k++) {
			if (k & 1) {
				/* A fault waits for no writer, as read(2) does on XFS. */
				HZ_DO(fstat(fd, &st));
				n = st.st_size - HZ_PAGE;
				memcpy(v, m + HZ_PAGE, sizeof(v));
				if (k & 2)
					HZ_DO(madvise(m, 2 * HZ_PAGE, MADV_DONTNEED));
			} else {
				n = HZ_DO(pread(fd, v, sizeof(v), HZ_PAGE));
			}
			for (i = APPEND_AT; i < (size_t)n / 8; i++)
				if (v[i] != hz_word(7, i, 1))
					hz_fail("word %u, which has been appended, is %s", i, hz_word_text(v[i], text, sizeof(text)));
			__atomic_add_fetch(&a->looks, 1, __ATOMIC_RELAXED);
		}
		munmap(m, 2 * HZ_PAGE);
		close(fd);
	}
}

/* Whoever sees the new size sees what has been appended, and not what a shared block has behind the old end. */
static void appended(const void *arg)
{
	struct append *a = hz_shared_memory(sizeof(*a));
	struct hz_file golden, f, old = {};
	uint64_t end, size = HZ_PAGE + APPEND_AT * 8, word;
	unsigned int i, round;
	char name[16];
	pid_t pids[3];

	(void)arg;
	hz_create(&golden, "golden", 1, 2);
	HZ_DO(ftruncate(golden.fd, (off_t)size));
	hz_want_size(&golden, size);
	HZ_DO(fsync(golden.fd));
	hz_clone(&old, &golden, "r0");
	hz_cold();
	for (i = 0; i < 3; i++)
		pids[i] = hz_fork(append_reader, a);
	end = hz_ms() + hz.seconds * 1000;
	for (round = 1; (hz_ms() < end || round < ENOUGH) && *hz.verdict == HZ_OPEN; round++) {
		snprintf(name, sizeof(name), "r%u", round);
		hz_clone(&f, &golden, name);
		hz_map(&f);
		hz_touch(&f);
		hz_cache(&f);
		__atomic_store_n(&a->round, round, __ATOMIC_RELAXED);
		hz_unlink(&old);
		for (i = 0; i < APPENDS; i++) {
			word = hz_word(7, APPEND_AT + i, 1);
			if (pwrite(f.fd, &word, 8, (off_t)size + i * 8) != 8)
				hz_fail("append: %m");
		}
		hz_unmap(&f);
		old = f;
	}
	__atomic_store_n(&a->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		hz_join(pids[i]);
	wl_info(hz.ctx, "race-append", "%u rounds, %u looks", round, a->looks);
}

#define RACE_OF(bits, n, how, shows, ...)				\
	.needs = (bits), .fn = run_race,				\
	.arg = &(const struct race){ .name = n, .step = how, .state = shows, ##__VA_ARGS__ }
#define RACE(...)	RACE_OF(0, __VA_ARGS__)
#define RACE_XFS(...)	RACE_OF(HZ_XFS, __VA_ARGS__)

const struct hz_test hz_race_tests[] = {
	{ "race-write", "readers against write(2) of shared blocks", RACE("race-write", step_write, version_state) },
	{ "race-write-heavy", "the same under drop_caches and compaction",
	  RACE("race-write-heavy", step_write, version_state, .heavy = true) },
	{ "race-store", "readers against stores to shared blocks", RACE("race-store", step_store, version_state) },
	{ "race-store-heavy", "the same under drop_caches and compaction",
	  RACE("race-store-heavy", step_store, version_state, .heavy = true) },
	{ "race-direct", "readers against O_DIRECT writes of shared blocks", RACE("race-direct", step_direct, version_state) },
	{ "race-direct-heavy", "the same under drop_caches and compaction",
	  RACE("race-direct-heavy", step_direct, version_state, .heavy = true) },
	{ "race-aio", "readers against AIO of shared blocks", RACE("race-aio", step_aio, version_state) },
	{ "race-in-place-write", "population against write(2) by the last owner",
	  RACE("race-in-place-write", step_in_place_write, in_place_state, .prepare = prepare_alone, .heavy = true) },
	{ "race-in-place-store", "population against stores by the last owner",
	  RACE("race-in-place-store", step_in_place_store, in_place_state, .prepare = prepare_alone, .heavy = true) },
	{ "race-in-place-direct", "population against O_DIRECT by the last owner",
	  RACE("race-in-place-direct", step_in_place_direct, in_place_state, .prepare = prepare_alone, .heavy = true) },
	{ "race-in-place-aio", "population against AIO by the last owner",
	  RACE("race-in-place-aio", step_in_place_aio, in_place_state, .prepare = prepare_alone, .heavy = true) },
	{ "race-clone", "readers against FICLONE over what they have mapped",
	  RACE("race-clone", step_clone, clone_state, .between = zero_between, .prepare = prepare_second) },
	{ "race-collapse", "readers against collapse and insert",
	  RACE_XFS("race-collapse", step_collapse, collapse_state, .between = collapse_between, .in_pipe = collapse_in_pipe) },
	{ "race-truncate", "readers against truncate down, up, and clone", RACE("race-truncate", step_truncate, truncate_state, .between = zero_between) },
	{ "race-punch", "readers against punch hole and clone", RACE("race-punch", step_punch, punch_state) },
	{ "race-zero", "readers against zero range and clone", RACE("race-zero", step_zero, punch_state) },
	{ "race-unshare", "readers against unshare and clone", RACE_XFS("race-unshare", step_unshare, same_state, .heavy = true) },
	{ "race-append", "readers against appending to a shared last page", .fn = appended },
	{ "race-lives", "files deleted and blocks given away under readers", .fn = many_lives },
	{ NULL, NULL, 0, NULL, NULL }
};
