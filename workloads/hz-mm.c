// SPDX-License-Identifier: GPL-2.0
/*
 * What memory management does with pages that several files show: futexes, copy on write, pins, locks, migration, poison, limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"

#define BLOCKS		64u
#define UPROBE_EVENTS	"/sys/kernel/tracing/uprobe_events"
#define GUP_TEST	"/sys/kernel/debug/gup_test"
#define CGROUP		"/sys/fs/cgroup/hazard"

#define MADV_PAGEOUT_		21
#define MADV_HWPOISON_		100
#define MADV_SOFT_OFFLINE_	101

struct pair {
	struct hz_file a, b, golden;
};

static void make_pair(struct pair *p, unsigned int blocks)
{
	hz_create(&p->golden, "golden", 1, blocks);
	hz_clone(&p->a, &p->golden, "a");
	hz_clone(&p->b, &p->golden, "b");
	hz_cold();
}

static void check_pair(const struct pair *p, unsigned int ways, const char *stage)
{
	hz_check(&p->a, ways, stage);
	hz_check(&p->b, ways, stage);
	hz_check(&p->golden, ways, stage);
}

static void write_block(struct hz_file *f, unsigned int b, unsigned int id, unsigned int version)
{
	hz_want_block(f, b, id, b, version);
	if (pwrite(f->fd, f->want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
		hz_fail("write: %m");
}

/* --- futex --------------------------------------------------------------------------------------------------------------- */

static long futex(const void *addr, int op, uint32_t val, const struct timespec *timeout)
{
	return syscall(SYS_futex, addr, op, val, timeout, NULL, 0);
}

struct waiter {
	const struct hz_file *f;
	unsigned int block;
	uint32_t *state;	/* 1: about to wait, 2: woken, 3: timed out */
	bool writable;
};

static void wait_on(void *arg)
{
	struct waiter *w = arg;
	uint8_t *m = mmap(NULL, HZ_PAGE, w->writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, w->f->fd, (off_t)w->block * HZ_PAGE);
	struct timespec ts = { 4, 0 };
	uint32_t v;
	long r;

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	v = *(volatile uint32_t *)(void *)m;
	__atomic_store_n(w->state, 1, __ATOMIC_SEQ_CST);
	r = futex(m, FUTEX_WAIT, v, &ts);
	if (r < 0 && errno != ETIMEDOUT && errno != EINTR && errno != EAGAIN)
		hz_fail("futex wait on a shared mapping: %m");
	__atomic_store_n(w->state, r ? 3 : 2, __ATOMIC_SEQ_CST);
}

static pid_t start_waiter(struct waiter *w)
{
	pid_t pid;

	w->state = hz_shared_memory(HZ_PAGE);
	pid = hz_fork(wait_on, w);
	while (__atomic_load_n(w->state, __ATOMIC_SEQ_CST) != 1 && *hz.verdict == HZ_OPEN)
		usleep(1000);
	/* And now into the kernel. */
	usleep(100000);
	return pid;
}

static long wake(const struct hz_file *f, unsigned int block)
{
	uint8_t *m = mmap(NULL, HZ_PAGE, PROT_READ, MAP_SHARED, f->fd, (off_t)block * HZ_PAGE);
	long n;

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	n = futex(m, FUTEX_WAKE, 100, NULL);
	if (n < 0)
		hz_fail("futex wake on a shared mapping: %m");
	munmap(m, HZ_PAGE);
	return n;
}

/* Two processes with the same file meet. */
static void futex_meets(const void *arg)
{
	struct waiter w = { .block = 3 };
	struct pair p;
	pid_t pid;
	long n;

	(void)arg;
	make_pair(&p, BLOCKS);
	w.f = &p.a;
	hz_cache(&p.b);
	pid = start_waiter(&w);
	n = wake(&p.a, 3);
	hz_join(pid);
	if (n != 1 || *w.state != 2)
		hz_fail("woke %ld; the waiter %s", n, *w.state == 3 ? "timed out" : "was woken");
}

/* Two clones at the same offset are two futexes. */
static void futex_apart(const void *arg)
{
	struct waiter w = { .block = 3 };
	struct pair p;
	pid_t pid;
	long n, m;

	(void)arg;
	make_pair(&p, BLOCKS);
	w.f = &p.a;
	hz_cache(&p.b);
	pid = start_waiter(&w);
	n = wake(&p.b, 3);
	m = wake(&p.a, 3);
	hz_join(pid);
	if (n)
		hz_fail("a waiter in one clone was woken through another one");
	if (m != 1)
		hz_fail("woke %ld in the waiter's own file", m);
}

/* The block is broken while someone waits: he must still be found. */
static void futex_break(const void *arg)
{
	const bool store = *(const bool *)arg;
	struct waiter w = { .block = 3 };
	struct pair p;
	uint8_t *m;
	pid_t pid;
	long n;

	make_pair(&p, BLOCKS);
	w.f = &p.a;
	hz_cache(&p.b);
	pid = start_waiter(&w);
	if (store) {
		m = mmap(NULL, HZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p.a.fd, 3 * HZ_PAGE);
		if (m == MAP_FAILED)
			hz_fail("mmap: %m");
		hz_want_block(&p.a, 3, 9, 3, 2);
		memcpy(m, p.a.want + 3 * HZ_PAGE, HZ_PAGE);
	} else {
		write_block(&p.a, 3, 9, 2);
	}
	n = wake(&p.a, 3);
	hz_join(pid);
	if (n != 1 || *w.state != 2)
		hz_fail("a COW break lost the waiter: woke %ld", n);
	check_pair(&p, HZ_CACHED, "afterwards");
}

/* --- copy on write to anonymous memory ------------------------------------------------------------------------------------- */

/* Stores through MAP_PRIVATE before and after fork; the file changes meanwhile. */
static void fork_private(const void *arg)
{
	struct pair p;
	uint8_t *m, *mine;
	unsigned int b, round;
	pid_t pid;
	int status;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.b);
	hz_touch(&p.b);
	m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	mine = hz_buffer(BLOCKS * HZ_PAGE);
	memcpy(mine, p.a.want, BLOCKS * HZ_PAGE);
	for (round = 0; round < 2; round++) {
		/* Read first in one half, write at once in the other. */
		for (b = round; b < BLOCKS; b += 4) {
			if (b < BLOCKS / 2 && *(volatile uint64_t *)(void *)(m + b * HZ_PAGE) != *(uint64_t *)(void *)(mine + b * HZ_PAGE))
				hz_fail("private mapping shows something else before the store to block %u", b);
			m[b * HZ_PAGE + 5] ^= 0x55;
			mine[b * HZ_PAGE + 5] ^= 0x55;
		}
		if (memcmp(m, mine, BLOCKS * HZ_PAGE))
			hz_fail("private mapping is wrong after its own stores");
		pid = HZ_DO(fork());
		if (!pid) {
			if (memcmp(m, mine, BLOCKS * HZ_PAGE))
				_exit(2);
			for (b = 0; b < BLOCKS; b++)
				m[b * HZ_PAGE + 9]++;
			for (b = 0; b < BLOCKS; b++)
				if (m[b * HZ_PAGE + 9] != (uint8_t)(mine[b * HZ_PAGE + 9] + 1) || m[b * HZ_PAGE + 5] != mine[b * HZ_PAGE + 5])
					_exit(3);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			hz_fail("the child saw wrong data: status %#x", status);
		if (memcmp(m, mine, BLOCKS * HZ_PAGE))
			hz_fail("the child's stores show in the parent");
		check_pair(&p, HZ_CACHED, "private stores");
	}
	/* The file changes: the copies stay, whatever has not been copied follows. */
	write_block(&p.a, 0, 9, 2);
	write_block(&p.a, 2, 9, 2);
	if (memcmp(m, mine, HZ_PAGE))
		hz_fail("a private copy changed with the file");
	if (memcmp(m + 2 * HZ_PAGE, p.a.want + 2 * HZ_PAGE, HZ_PAGE))
		hz_fail("a page that was never copied does not follow the file");
	check_pair(&p, HZ_ALL, "in the end");
}

/* A child inherits page tables with shared pages; then the block breaks in the parent. */
static void fork_then_break(const void *arg)
{
	int to_child[2], to_parent[2];
	struct pair p;
	char c = 0;
	pid_t pid;
	int status;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.a);
	hz_map(&p.b);
	hz_touch(&p.a);
	hz_touch(&p.b);
	HZ_DO(pipe(to_child));
	HZ_DO(pipe(to_parent));
	/* With MAP_PRIVATE that was written to, fork copies the page tables. */
	HZ_DO(mprotect(p.a.priv, p.a.maplen, PROT_READ | PROT_WRITE));
	p.a.priv[40 * HZ_PAGE] = p.a.priv[40 * HZ_PAGE];
	pid = HZ_DO(fork());
	if (!pid) {
		HZ_DO(write(to_parent[1], &c, 1));
		HZ_DO(read(to_child[0], &c, 1));
		write_block(&p.a, 7, 0, 0);
		hz_want_block(&p.a, 5, 9, 5, 2);
		hz_want_block(&p.a, 6, 9, 6, 3);
		hz_check(&p.a, HZ_CACHED, "child");
		hz_check(&p.b, HZ_CACHED, "child");
		_exit(0);
	}
	HZ_DO(read(to_parent[0], &c, 1));
	write_block(&p.a, 5, 9, 2);
	hz_want_block(&p.a, 6, 9, 6, 3);
	memcpy(p.a.map + 6 * HZ_PAGE, p.a.want + 6 * HZ_PAGE, HZ_PAGE);
	HZ_DO(write(to_child[1], &c, 1));
	if (waitpid(pid, &status, 0) != pid || status)
		hz_fail("the child saw old data: status %#x", status);
	hz_want_block(&p.a, 7, 0, 7, 0);
	check_pair(&p, HZ_CACHED, "parent");
}

static void mremapped(const void *arg)
{
	struct pair p;
	uint8_t *m, *to;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.b);
	hz_touch(&p.b);
	m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&p.a, m, 0, p.a.size, "mmap", "before");
	to = hz_buffer(BLOCKS * HZ_PAGE * 2);
	if (mremap(m, BLOCKS * HZ_PAGE, BLOCKS * HZ_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		hz_fail("mremap: %m");
	write_block(&p.a, 5, 9, 2);
	hz_compare(&p.a, to, 0, p.a.size, "the moved mapping", "written");
	hz_want_block(&p.a, 6, 9, 6, 3);
	memcpy(to + 6 * HZ_PAGE, p.a.want + 6 * HZ_PAGE, HZ_PAGE);
	hz_compare(&p.a, to, 0, p.a.size, "the moved mapping", "stored");
	check_pair(&p, HZ_ALL, "afterwards");
}

/* A mapping that was read-only becomes writable, and one that was none at all. */
static void mprotected(const void *arg)
{
	struct pair p;
	unsigned int b;
	uint8_t *m;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.b);
	hz_touch(&p.b);
	m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, MAP_SHARED, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&p.a, m, 0, p.a.size, "mmap", "before");
	HZ_DO(mprotect(m, BLOCKS * HZ_PAGE, PROT_NONE));
	HZ_DO(mprotect(m, BLOCKS * HZ_PAGE, PROT_READ | PROT_WRITE));
	for (b = 0; b < BLOCKS; b += 3) {
		hz_want_block(&p.a, b, 9, b, 2);
		memcpy(m + b * HZ_PAGE, p.a.want + b * HZ_PAGE, HZ_PAGE);
	}
	check_pair(&p, HZ_ALL, "stored");
}

/* A debugger's way: a store through /proc/self/mem to a private read-only mapping copies, to a shared one is refused or writes. */
static void forced_write(const void *arg)
{
	struct pair p;
	uint8_t *m;
	int fd;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_cache(&p.b);
	m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, MAP_PRIVATE, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&p.a, m, 0, p.a.size, "mmap", "before");
	fd = HZ_DO(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	if (pwrite(fd, "breakpoint", 10, (off_t)(uintptr_t)(m + 7 * HZ_PAGE + 3)) != 10)
		hz_skip("no forced writes here: %m");
	if (memcmp(m + 7 * HZ_PAGE + 3, "breakpoint", 10))
		hz_fail("the forced write does not show");
	check_pair(&p, HZ_ALL, "afterwards");
	close(fd);
}

/* --- pipes --------------------------------------------------------------------------------------------------------------- */

/* What lies in a pipe by reference may be old or new, but never of another file and never of a freed block's next life. */
static void pipe_then_overwrite(const void *arg)
{
	static const char *const by[] = { "write", "O_DIRECT", "truncate" };
	unsigned int way, b, i;
	uint64_t v[HZ_WORDS];
	struct pair p;
	int pipes[2];

	(void)arg;
	for (way = 0; way < 3; way++) {
		loff_t off = 4 * HZ_PAGE;
		struct hz_file c;

		make_pair(&p, BLOCKS);
		hz_cache(&p.b);
		HZ_DO(pipe2(pipes, O_CLOEXEC));
		if (splice(p.a.fd, &off, pipes[1], NULL, 8 * HZ_PAGE, 0) != 8 * HZ_PAGE)
			hz_fail("splice: %m");
		for (b = 4; b < 12; b++) {
			if (way == 0) {
				write_block(&p.a, b, 1, 2);
			} else if (way == 1) {
				int fd = hz_open_direct(&p.a);

				hz_want_block(&p.a, b, 1, b, 2);
				if (pwrite(fd, p.a.want + b * HZ_PAGE, HZ_PAGE, (off_t)b * HZ_PAGE) != HZ_PAGE)
					hz_fail("direct write: %m");
				close(fd);
			}
		}
		if (way == 2) {
			HZ_DO(ftruncate(p.a.fd, 0));
			HZ_DO(ftruncate(p.b.fd, 0));
			HZ_DO(ftruncate(p.golden.fd, 0));
			hz_want_size(&p.a, 0);
			hz_want_size(&p.b, 0);
			hz_want_size(&p.golden, 0);
			sync();
			hz_create(&c, "c", 77, BLOCKS * 3);
			hz_cold();
			hz_check(&c, HZ_CACHED, "the next file");
			hz_unlink(&c);
		}
		for (b = 4; b < 12; b++) {
			if (read(pipes[0], v, HZ_PAGE) != HZ_PAGE)
				hz_fail("read from the pipe: %m");
			/* All keep the old block as long as one owns it; where it is shared, the new one is another page. */
			for (i = 0; i < HZ_WORDS; i++)
				if (v[i] != hz_word(1, b, 1) && (v[i] != hz_word(1, b, 2) || (hz.sharing && way < 2)) && (v[i] || way != 2)) {
					char text[64];

					hz_fail("%s: the pipe holds %s for block %u", by[way], hz_word_text(v[i], text, sizeof(text)), b);
				}
		}
		close(pipes[0]);
		close(pipes[1]);
		check_pair(&p, HZ_ALL, by[way]);
		hz_unlink(&p.a);
		hz_unlink(&p.b);
		hz_unlink(&p.golden);
	}
}

/* --- locks and pins ------------------------------------------------------------------------------------------------------- */

static void mlocked(const void *arg)
{
	unsigned int tries;
	struct pair p;
	uint8_t *m;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_cache(&p.b);
	m = mmap(NULL, BLOCKS * HZ_PAGE, PROT_READ, MAP_SHARED, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	HZ_DO(mlock(m, BLOCKS * HZ_PAGE));
	hz_compare(&p.a, m, 0, p.a.size, "a locked mapping", "locked");
	hz_cold();
	hz_put("/proc/sys/vm/compact_memory", "1");
	write_block(&p.a, 5, 9, 2);
	hz_compare(&p.a, m, 0, p.a.size, "a locked mapping", "written");
	check_pair(&p, HZ_CACHED, "locked, written");
	hz_unlink(&p.b);
	HZ_DO(ftruncate(p.a.fd, 10 * HZ_PAGE));
	hz_want_size(&p.a, 10 * HZ_PAGE);
	hz_compare(&p.a, m, 0, p.a.size, "a locked mapping", "truncated");
	HZ_DO(munlock(m, BLOCKS * HZ_PAGE));
	munmap(m, BLOCKS * HZ_PAGE);
	hz_check(&p.a, HZ_ALL, "unlocked");
	hz_check(&p.golden, HZ_ALL, "unlocked");
	/* Counted down when the per-cpu lists are drained. */
	for (tries = 0; hz_stat("/proc/vmstat", "nr_mlock") > 0; tries++) {
		if (tries == 50)
			hz_fail("%lld pages are still locked", hz_stat("/proc/vmstat", "nr_mlock"));
		usleep(20000);
		hz_cold();
		hz_put("/proc/sys/vm/stat_refresh", "1");
	}
}

/* A registered buffer is a long-term pin; on MAP_PRIVATE it must pin a copy, and what is read into it must show. */
static void pin_registered(const void *arg)
{
	struct hz_file src;
	struct ring r;
	struct pair p;
	uint8_t *m;
	int n;

	(void)arg;
	if (!ring_open(&r))
		hz_skip("no io_uring here");
	make_pair(&p, BLOCKS);
	hz_create(&src, "src", 5, BLOCKS);
	hz_cache(&p.b);
	m = mmap(NULL, 8 * HZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&p.a, m, 0, 8 * HZ_PAGE, "mmap", "before");
	n = ring_register(&r, m, 8 * HZ_PAGE);
	if (n)
		hz_skip("register a private file mapping: %s", strerror(-n));
	write_block(&p.a, 1, 9, 2);
	n = ring_io(&r, IORING_OP_READ_FIXED, src.fd, m, 8 * HZ_PAGE, 0, 0, 0);
	if (n != 8 * HZ_PAGE)
		hz_fail("read into the registered buffer: %d", n);
	hz_compare(&src, m, 0, 8 * HZ_PAGE, "the registered buffer", "read into");
	check_pair(&p, HZ_ALL, "afterwards");
	close(r.fd);
}

struct gup_longterm {
	uint64_t addr, size;
	uint32_t flags, pad;
};
#define PIN_LONGTERM_START	_IOW('g', 7, struct gup_longterm)
#define PIN_LONGTERM_STOP	_IO('g', 8)
#define PIN_LONGTERM_READ	_IOW('g', 9, uint64_t)

/* A read-only long-term pin of MAP_SHARED sees later writes, as it does for any file (RDMA, vfio). */
static void pin_longterm(const void *arg)
{
	const bool fast = *(const bool *)arg;
	struct gup_longterm pin = { .size = 8 * HZ_PAGE, .flags = fast ? 2 : 0 };
	uint8_t *m, *seen = hz_buffer(8 * HZ_PAGE);
	uint64_t to = (uintptr_t)seen;
	struct pair p;
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		hz_skip("no %s here (CONFIG_GUP_TEST)", GUP_TEST);
	make_pair(&p, BLOCKS);
	hz_map(&p.b);
	hz_touch(&p.b);
	m = mmap(NULL, 8 * HZ_PAGE, PROT_READ, MAP_SHARED, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	hz_compare(&p.a, m, 0, 8 * HZ_PAGE, "mmap", "before");
	pin.addr = (uintptr_t)m;
	if (ioctl(fd, PIN_LONGTERM_START, &pin))
		hz_fail("pin: %m");
	HZ_DO(ioctl(fd, PIN_LONGTERM_READ, &to));
	hz_compare(&p.a, seen, 0, 8 * HZ_PAGE, "the pin", "before the write");
	write_block(&p.a, 1, 9, 2);
	hz_want_block(&p.a, 2, 9, 2, 3);
	HZ_DO(mprotect(m, 8 * HZ_PAGE, PROT_READ | PROT_WRITE));
	memcpy(m + 2 * HZ_PAGE, p.a.want + 2 * HZ_PAGE, HZ_PAGE);
	HZ_DO(ioctl(fd, PIN_LONGTERM_READ, &to));
	hz_compare(&p.a, seen, 0, 8 * HZ_PAGE, "the pin", "after the writes");
	HZ_DO(ioctl(fd, PIN_LONGTERM_STOP));
	close(fd);
	check_pair(&p, HZ_ALL, "afterwards");
}

struct gup_basic {
	uint64_t get_us, put_us, addr, size;
	uint32_t nr, gup_flags, flags, which[8];
};
#define GUP_BASIC	_IOWR('g', 4, struct gup_basic)
#define GUP_NOWAIT	0x10u		/* FOLL_NOWAIT */

/* Pages of [m, m + 8 pages) that get_user_pages() has without waiting. */
static uint64_t gup_nowait(int fd, const uint8_t *m)
{
	struct gup_basic gup = { .addr = (uintptr_t)m, .size = 8 * HZ_PAGE, .nr = 8, .gup_flags = GUP_NOWAIT };

	HZ_DO(ioctl(fd, GUP_BASIC, &gup));
	return gup.size / HZ_PAGE;
}

/* As a virtual machine's CPU: who may not wait leaves the reading to another thread, and makes no copy of his own instead. */
static void pin_nowait(const void *arg)
{
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);
	struct hz_file *files[3];
	long long before;
	uint64_t n;
	struct pair p;
	uint8_t *m;

	(void)arg;
	if (fd < 0)
		hz_skip("no %s here (CONFIG_GUP_TEST)", GUP_TEST);
	make_pair(&p, BLOCKS);
	m = mmap(NULL, 8 * HZ_PAGE, PROT_READ, MAP_SHARED, p.a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	before = hz_stat("/proc/vmstat", "pgpgin");
	n = gup_nowait(fd, m);
	if (hz.sharing && n)
		hz_fail("%llu pages that nobody has cached, without waiting", (unsigned long long)n);
	if (hz.sharing && hz_stat("/proc/vmstat", "pgpgin") != before)
		hz_fail("who may not wait has read");
	hz_compare(&p.a, m, 0, 8 * HZ_PAGE, "mmap", "when it may wait");
	n = gup_nowait(fd, m);
	if (n != 8)
		hz_fail("%llu of 8 mapped pages without waiting", (unsigned long long)n);
	HZ_DO(munmap(m, 8 * HZ_PAGE));
	files[0] = &p.a;
	files[1] = &p.b;
	files[2] = &p.golden;
	hz_check_shared(files, 3, "afterwards");
	close(fd);
	check_pair(&p, HZ_ALL, "afterwards");
}

/* --- uprobes -------------------------------------------------------------------------------------------------------------- */

static void copy_program(const char *to)
{
	int in = HZ_DO(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), out = HZ_DO(open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0755));
	char buf[65536];
	ssize_t n;

	while ((n = HZ_DO(read(in, buf, sizeof(buf)))) > 0)
		if (write(out, buf, (size_t)n) != n)
			hz_fail("write %s: %m", to);
	HZ_DO(fsync(out));
	close(in);
	close(out);
}

static int describe(const char *path)
{
	int status, null;
	pid_t pid = HZ_DO(fork());

	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execl(path, path, "--describe", NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		hz_fail("waitpid: %m");
	return status;
}

/* A breakpoint in one clone of a program: hits there, and the other clone's text is untouched. */
static void uprobe(const void *arg)
{
	extern int main(int argc, char **argv);
	char a[160], b[160], text[400];
	long long hits;
	int fd, src;

	(void)arg;
	if (access(UPROBE_EVENTS, W_OK))
		hz_skip("no %s here", UPROBE_EVENTS);
	hz_path(a, sizeof(a), "prog-a");
	hz_path(b, sizeof(b), "prog-b");
	copy_program(a);
	src = HZ_DO(open(a, O_RDONLY | O_CLOEXEC));
	fd = HZ_DO(open(b, O_RDWR | O_CREAT | O_CLOEXEC, 0755));
	HZ_DO(ioctl(fd, FICLONE, src));
	close(fd);
	close(src);
	hz_cold();
	if (describe(a) || describe(b))
		hz_fail("the program does not run");
	/* Static and not position independent: file offset = address - base of the ELF image. */
	snprintf(text, sizeof(text), "p:hazard %s:0x%lx", a, (unsigned long)((uintptr_t)main - 0x400000));
	if (!hz_put(UPROBE_EVENTS, text))
		hz_skip("uprobe_events: %m");
	hz_put("/sys/kernel/tracing/trace", " ");
	if (!hz_put("/sys/kernel/tracing/events/uprobes/hazard/enable", "1"))
		hz_fail("enable the uprobe: %m");
	if (describe(b))
		hz_fail("the other clone does not run with the breakpoint in the first");
	if (hz_has_text("/sys/kernel/tracing/trace", "hazard:"))
		hz_fail("running the other clone hit the breakpoint");
	if (describe(a))
		hz_fail("the clone with the breakpoint does not run");
	hits = hz_has_text("/sys/kernel/tracing/trace", "hazard:");
	hz_put("/sys/kernel/tracing/events/uprobes/hazard/enable", "0");
	if (!hz_put(UPROBE_EVENTS, "-:hazard"))
		hz_fail("remove the uprobe: %m");
	if (!hits)
		hz_fail("the breakpoint was not hit");
	if (describe(a) || describe(b))
		hz_fail("the programs do not run afterwards");
}

/* --- migration, poison ----------------------------------------------------------------------------------------------------- */

static void moved(const void *arg)
{
	unsigned int i, b, done = 0;
	struct pair p;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.a);
	hz_map(&p.b);
	hz_map(&p.golden);
	for (i = 0; i < 6; i++) {
		hz_touch(&p.a);
		hz_touch(&p.b);
		hz_put("/proc/sys/vm/compact_memory", "1");
		for (b = i; b < BLOCKS; b += 7)
			if (madvise(p.b.map + b * HZ_PAGE, HZ_PAGE, MADV_SOFT_OFFLINE_)) {
				if (errno == EINVAL)
					hz_skip("no soft offline here");
				if (errno != EBUSY && errno != EIO)
					hz_fail("soft offline: %m");
			} else {
				done++;
			}
		check_pair(&p, HZ_CACHED, "moved");
		write_block(&p.a, 10 + i, 9, 2 + i);
		check_pair(&p, HZ_CACHED, "moved and written");
	}
	if (!done)
		hz_fail("not one page could be moved: this test tests nothing");
	check_pair(&p, HZ_ALL, "in the end");
}

#define RESIZES		3000u	/* of a mapping, by 1000 of which a page has moved */

struct resized {
	const struct hz_file *f;
	uint8_t *room;		/* for a mapping that grows in place */
	uint32_t *stop;		/* shared */
};

/* The only mapping of the file is longer and shorter by turns, while its first page is used. */
static void resizer(void *arg)
{
	const struct resized *r = arg;
	uint8_t *m;

	timing_pin(1);
	m = mmap(r->room, HZ_PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, r->f->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
		hz_compare(r->f, m, 0, HZ_PAGE, "mmap", "resized");
		if (mremap(m, HZ_PAGE, 2 * HZ_PAGE, 0) != m)
			hz_fail("mremap: %m");
		hz_compare(r->f, m, 0, HZ_PAGE, "mmap", "resized");
		if (mremap(m, 2 * HZ_PAGE, HZ_PAGE, 0) != m)
			hz_fail("mremap: %m");
	}
}

/*
 * A page moves while a mapping of it is resized: whoever looks for its mappings must wait for that one, which is in no tree for a moment, or
 * leaves an entry in its page table that leads nowhere.
 */
static void moved_resized(const void *arg)
{
	struct resized r = { .stop = hz_shared_memory(HZ_PAGE) };
	unsigned int i, done = 0;
	struct pair p;
	pid_t pid;

	(void)arg;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		hz_skip("needs two CPUs");
	make_pair(&p, BLOCKS);
	hz_map(&p.a);
	r.f = &p.b;
	r.room = hz_buffer(4 * HZ_PAGE);
	HZ_DO(munmap(r.room, 4 * HZ_PAGE));
	timing_pin(0);
	pid = hz_fork(resizer, &r);
	for (i = 0; i < RESIZES && done < 1000; i++) {
		hz_compare(&p.a, p.a.map, 0, HZ_PAGE, "mmap", "moved");
		if (!madvise(p.a.map, HZ_PAGE, MADV_SOFT_OFFLINE_)) {
			done++;
		} else if (errno == EINVAL) {
			*r.stop = 1;
			hz_join(pid);
			hz_skip("no soft offline here");
		} else if (errno != EBUSY && errno != EIO) {
			hz_fail("soft offline: %m");
		}
	}
	__atomic_store_n(r.stop, 1, __ATOMIC_RELAXED);
	hz_join(pid);
	if (done < 100)
		hz_fail("the page moved %u times in %u tries: this test tests nothing", done, i);
	check_pair(&p, HZ_ALL, "in the end");
}

/* A bad page in clean cache is read again, by all files: nobody gets SIGBUS. */
static void poisoned(const void *arg)
{
	struct pair p;
	unsigned int b;

	(void)arg;
	make_pair(&p, BLOCKS);
	hz_map(&p.a);
	hz_map(&p.b);
	hz_map(&p.golden);
	hz_touch(&p.a);
	hz_touch(&p.b);
	hz_touch(&p.golden);
	hz_check_shared((struct hz_file *const []){ &p.golden, &p.a, &p.b }, 3, "mapped");
	for (b = 3; b < BLOCKS; b += 19) {
		/* No signal for a clean page. */
		if (madvise((b & 1 ? p.a.map : p.b.map) + b * HZ_PAGE, HZ_PAGE, MADV_HWPOISON_)) {
			if (errno == EINVAL || errno == EPERM)
				hz_skip("no MADV_HWPOISON here: %m");
			hz_fail("MADV_HWPOISON: %m");
		}
		hz_touch(&p.golden);
		check_pair(&p, HZ_CACHED, "poisoned");
	}
	write_block(&p.a, 3, 9, 2);
	check_pair(&p, HZ_ALL, "in the end");
}

/* --- userfaultfd ----------------------------------------------------------------------------------------------------------- */

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#define PAGEMAP_UFFD_WP	(1ull << 57)
#define TRACKED	64u

/* Whether the kernel still watches for the first store to the page. */
static bool is_tracked(const uint8_t *addr)
{
	static int fd = -1;
	uint64_t v;

	if (fd < 0)
		fd = HZ_DO(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	if (pread(fd, &v, sizeof(v), (off_t)((uintptr_t)addr / HZ_PAGE * sizeof(v))) != sizeof(v))
		hz_fail("pagemap: %m");
	return v & PAGEMAP_UFFD_WP;
}

static void check_tracked(const uint8_t *m, const bool *stored, const char *what, const char *stage)
{
	unsigned int i;

	for (i = 0; i < TRACKED; i++)
		if (is_tracked(m + i * HZ_PAGE) == stored[i])
			hz_fail("page %u of a %s mapping, %s, %s be written, %s", i, what, stored[i] ? "stored to" : "not stored to",
				stored[i] ? "is said not to" : "is said to", stage);
}

/*
 * Which pages have been stored to is asked of userfaultfd, as those who checkpoint and migrate do. Pages that were mapped before and that were
 * not: a fault that maps must keep what the PTE was marked with, and nothing may be mapped beside it.
 */
static void tracked(const void *arg)
{
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	bool stored[2][TRACKED] = { { false } };
	static const char *const what[] = { "shared", "private" };
	struct pair p;
	unsigned int i, k;
	uint8_t *m[2];
	int fd;

	(void)arg;
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		hz_skip("no UFFD_FEATURE_WP_ASYNC here: %m");
	make_pair(&p, TRACKED);
	hz_cache(&p.b);
	for (k = 0; k < 2; k++) {
		m[k] = mmap(NULL, TRACKED * HZ_PAGE, PROT_READ | PROT_WRITE, k ? MAP_PRIVATE : MAP_SHARED, p.a.fd, 0);
		if (m[k] == MAP_FAILED)
			hz_fail("mmap: %m");
		/* The second half is not mapped yet. */
		for (i = 0; i < TRACKED / 2; i++)
			(void)*(volatile uint8_t *)(m[k] + i * HZ_PAGE);
		reg.range.start = wp.range.start = (uintptr_t)m[k];
		reg.range.len = wp.range.len = TRACKED * HZ_PAGE;
		HZ_DO(ioctl(fd, UFFDIO_REGISTER, &reg));
		HZ_DO(ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	}
	for (k = 0; k < 2; k++) {
		check_tracked(m[k], stored[k], what[k], "protected");
		hz_compare(&p.a, m[k], 0, TRACKED * HZ_PAGE, what[k], "protected");
		check_tracked(m[k], stored[k], what[k], "read");
	}
	/* The private ones first: the others would show in those that are no copies yet. */
	for (k = 2; k--;) {
		for (i = k; i < TRACKED; i += 5) {
			*(volatile uint64_t *)(void *)(m[k] + i * HZ_PAGE + 64) = 99;
			stored[k][i] = true;
			if (!k)
				*(uint64_t *)(void *)(p.a.want + i * HZ_PAGE + 64) = 99;
		}
		check_tracked(m[k], stored[k], what[k], "stored to");
	}
	check_tracked(m[1], stored[1], what[1], "the other stored to");
	for (k = 0; k < 2; k++)
		for (i = 0; i < TRACKED; i++)
			if (!k || !stored[k][i])
				hz_compare(&p.a, m[k] + i * HZ_PAGE, (uint64_t)i * HZ_PAGE, HZ_PAGE, what[k], "stored to");
			else if (*(uint64_t *)(void *)(m[k] + i * HZ_PAGE + 64) != 99)
				hz_fail("a store to page %u of a private mapping is lost", i);
	check_pair(&p, HZ_CACHED, "stored to");
	/* And through reclaim. */
	if (hz_reclaim(64)) {
		check_tracked(m[0], stored[0], what[0], "reclaimed");
		hz_compare(&p.a, m[0], 0, TRACKED * HZ_PAGE, what[0], "reclaimed");
	}
	close(fd);
	check_pair(&p, HZ_ALL, "in the end");
}

/* --- read-around ---------------------------------------------------------------------------------------------------------- */

/* Between looks, more than any window; and so many looks, some more than the kernel waits for before it stops. */
#define LOOK_STRIDE	64u
#define LOOKS		160u
#define LAST_LOOKS	40u

static long major_faults(void)
{
	struct rusage r;

	HZ_DO(getrusage(RUSAGE_SELF, &r));
	return r.ru_majflt;
}

/* Who looks here and there is not read a window for each look, for ever; who walks through the file is. */
static void looks(const void *arg)
{
	unsigned int blocks = LOOKS * LOOK_STRIDE, i;
	struct hz_file golden, a;
	long long before;
	long majors;
	uint8_t *m;

	(void)arg;
	hz_create(&golden, "golden", 1, blocks);
	hz_clone(&a, &golden, "a");
	hz_cold();
	m = mmap(NULL, (size_t)blocks * HZ_PAGE, PROT_READ, MAP_SHARED, a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	for (i = 0; i < LOOKS - LAST_LOOKS; i++)
		(void)*(volatile uint8_t *)(m + (size_t)i * LOOK_STRIDE * HZ_PAGE);
	before = hz_stat("/proc/vmstat", "nr_file_pages");
	for (; i < LOOKS; i++)
		(void)*(volatile uint8_t *)(m + (size_t)i * LOOK_STRIDE * HZ_PAGE);
	if (hz.sharing && hz_stat("/proc/vmstat", "nr_file_pages") - before > 4 * LAST_LOOKS)
		hz_fail("%u looks at pages far apart cached %lld pages, after %u others", LAST_LOOKS,
			hz_stat("/proc/vmstat", "nr_file_pages") - before, LOOKS - LAST_LOOKS);
	HZ_DO(munmap(m, (size_t)blocks * HZ_PAGE));
	close(a.fd);
	a.fd = HZ_DO(open(a.path, O_RDWR | O_CLOEXEC));
	hz_cold();
	m = mmap(NULL, (size_t)blocks * HZ_PAGE, PROT_READ, MAP_SHARED, a.fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	majors = major_faults();
	for (i = 0; i < blocks; i++)
		(void)*(volatile uint8_t *)(m + (size_t)i * HZ_PAGE);
	majors = major_faults() - majors;
	if (hz.sharing && majors > (long)blocks / 16)
		hz_fail("%ld major faults on a walk through %u pages", majors, blocks);
	hz_compare(&a, m, 0, (size_t)blocks * HZ_PAGE, "mmap", "after the walk");
	HZ_DO(munmap(m, (size_t)blocks * HZ_PAGE));
}

/* --- limits ---------------------------------------------------------------------------------------------------------------- */

static void limited(void *arg)
{
	const struct pair *p = arg;
	unsigned int i;

	for (i = 0; i < 3; i++)
		check_pair(p, HZ_READ | HZ_NEW_MAP, "in a small cgroup");
}

/* A tenant with too little memory reads what others have cached, and is not killed. */
static void memcg(const void *arg)
{
	struct hz_file other;
	struct pair p;
	char pid_text[32];
	pid_t pid;
	int go[2];

	(void)arg;
	make_pair(&p, 4096);
	hz_clone(&other, &p.golden, "other");
	HZ_DO(pipe(go));
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		hz_skip("no cgroup: %m");
	if (!hz_put(CGROUP "/memory.max", "6M"))
		hz_skip("no memory.max: %m");
	pid = HZ_DO(fork());
	if (!pid) {
		char c;

		HZ_DO(read(go[0], &c, 1));
		limited(&p);
		_exit(0);
	}
	snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	if (!hz_put(CGROUP "/cgroup.procs", pid_text))
		hz_fail("move to the cgroup: %m");
	HZ_DO(write(go[1], "x", 1));
	/* And outside of it, the same data at the same time. */
	check_pair(&p, HZ_READ | HZ_NEW_MAP, "outside of the cgroup");
	write_block(&other, 100, 9, 2);
	hz_check(&other, HZ_READ | HZ_NEW_MAP, "outside of the cgroup, written");
	check_pair(&p, HZ_READ | HZ_NEW_MAP, "outside of the cgroup, another clone written");
	hz_join(pid);
	if (hz_stat(CGROUP "/memory.events", "oom_kill") > 0)
		hz_fail("the tenant was killed for want of memory that can be reclaimed");
	rmdir(CGROUP);
}

static void memcg_alone(const void *arg)
{
	char pid_text[32];
	struct pair p;
	int go[2];
	pid_t pid;

	(void)arg;
	make_pair(&p, 4096);
	HZ_DO(pipe(go));
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		hz_skip("no cgroup: %m");
	if (!hz_put(CGROUP "/memory.max", "6M"))
		hz_skip("no memory.max: %m");
	pid = HZ_DO(fork());
	if (!pid) {
		char c;

		HZ_DO(read(go[0], &c, 1));
		limited(&p);
		_exit(0);
	}
	snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	if (!hz_put(CGROUP "/cgroup.procs", pid_text))
		hz_fail("move to the cgroup: %m");
	HZ_DO(write(go[1], "x", 1));
	hz_join(pid);
	if (hz_stat(CGROUP "/memory.events", "oom_kill") > 0)
		hz_fail("killed");
	if (hz_stat(CGROUP "/memory.events", "max") <= 0)
		hz_fail("the limit was never reached: this test tests nothing");
	rmdir(CGROUP);
	check_pair(&p, HZ_READ, "cgroup gone");
}

#define LOCKED_BLOCKS	512u
#define LOCKED_MAX	(16ll << 20)

struct locked {
	const struct hz_file *f;
	int go[2];
};

/* Fills the group with what can not be reclaimed, and then wants more for the file than there is room for. */
static void lock_when_full(void *arg)
{
	struct locked *l = arg;
	long long now;
	char c;

	HZ_DO(read(l->go[0], &c, 1));
	do {
		*(volatile uint8_t *)hz_buffer(HZ_PAGE) = 1;
		now = hz_stat(CGROUP "/memory.current", NULL);
	} while (now >= 0 && now < LOCKED_MAX - (LOCKED_BLOCKS / 2) * (long long)HZ_PAGE);
	mmap(NULL, LOCKED_BLOCKS * HZ_PAGE, PROT_READ, MAP_SHARED | MAP_LOCKED | MAP_POPULATE, l->f->fd, 0);
}

/*
 * A tenant locks pages that are not shared, of a file of which others might be, at his limit: he gets memory or is killed, and does not
 * go round for ever.  That depends on whether other allocations of the fault are charged: see hazard-nokmem.plan.
 */
static void memcg_locked(const void *arg)
{
	uint64_t end = hz_ms() + 30000;
	struct locked l;
	struct pair p;
	unsigned int i;
	char text[32];
	int status;
	pid_t pid;

	(void)arg;
	make_pair(&p, LOCKED_BLOCKS);
	for (i = 0; i < LOCKED_BLOCKS; i++)
		hz_want_block(&p.a, i, 9, i, 1);
	if (pwrite(p.a.fd, p.a.want, LOCKED_BLOCKS * HZ_PAGE, 0) != LOCKED_BLOCKS * HZ_PAGE)
		hz_fail("write: %m");
	HZ_DO(fsync(p.a.fd));
	hz_cold();
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		hz_skip("no cgroup: %m");
	snprintf(text, sizeof(text), "%lld", LOCKED_MAX);
	if (!hz_put(CGROUP "/memory.max", text))
		hz_skip("no memory.max: %m");
	l.f = &p.a;
	HZ_DO(pipe(l.go));
	pid = hz_fork(lock_when_full, &l);
	snprintf(text, sizeof(text), "%d", (int)pid);
	if (!hz_put(CGROUP "/cgroup.procs", text))
		hz_fail("move to the cgroup: %m");
	HZ_DO(write(l.go[1], "x", 1));
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (hz_ms() > end)
			hz_fail("a tenant at his limit has been locking %u pages for 30 s", LOCKED_BLOCKS);
		usleep(50000);
	}
	if (status && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
		hz_fail("a tenant at his limit ended with status %#x", status);
	close(l.go[0]);
	close(l.go[1]);
	rmdir(CGROUP);
	check_pair(&p, HZ_CACHED, "after a tenant at his limit");
}

const struct hz_test hz_mm_tests[] = {
	{ "mm-futex-meets", "waiter and waker in one file meet", .fn = futex_meets },
	{ "mm-futex-apart", "clones at the same offset are two futexes", .fn = futex_apart },
	{ "mm-futex-break-write", "a waiter survives the break by write(2)", .fn = futex_break, .arg = &(const bool){ false } },
	{ "mm-futex-break-store", "a waiter survives the break by a store", .fn = futex_break, .arg = &(const bool){ true } },
	{ "mm-fork-private", "MAP_PRIVATE stores across fork", .fn = fork_private },
	{ "mm-fork-break", "a break after fork shows in parent and child", .fn = fork_then_break },
	{ "mm-mremap", "a moved mapping follows", .fn = mremapped },
	{ "mm-mprotect", "a mapping made writable breaks", .fn = mprotected },
	{ "mm-forced-write", "a debugger's write stays private", .fn = forced_write },
	{ "mm-pipe", "splice, then overwrite: nothing foreign in the pipe", .fn = pipe_then_overwrite },
	{ "mm-mlock", "locked mappings through break, truncate, unlock", .fn = mlocked },
	{ "mm-pin-registered", "io_uring registered buffers in private mappings", .fn = pin_registered },
	{ "mm-pin-longterm", "a read-only long-term pin sees writes", .fn = pin_longterm, .arg = &(const bool){ false } },
	{ "mm-pin-longterm-fast", "the same by fast GUP", .fn = pin_longterm, .arg = &(const bool){ true } },
	{ "mm-pin-nowait", "who may not wait for a page does not read it himself", .fn = pin_nowait },
	{ "mm-uprobe", "a breakpoint in one clone of a program", .fn = uprobe },
	{ "mm-migrate", "soft offline and compaction move shared pages", .fn = moved },
	{ "mm-migrate-resize", "a page moves while the only mapping of a file is resized", .fn = moved_resized },
	{ "mm-poison", "hwpoison of a clean shared page is read again by all", .fn = poisoned },
	{ "mm-looks", "reading around stops when it does not help, and only then", .fn = looks },
	{ "mm-userfaultfd", "userfaultfd knows which pages were stored to", .fn = tracked },
	{ "mm-memcg", "a small cgroup beside others", .fn = memcg },
	{ "mm-memcg-locked", "a tenant with no room for what he locks is killed", .fn = memcg_locked },
	{ "mm-memcg-alone", "a small cgroup by itself", .fn = memcg_alone },
	{ NULL, NULL, 0, NULL, NULL }
};
