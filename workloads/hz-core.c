// SPDX-License-Identifier: GPL-2.0
/* What all hazard tests use, see hz.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "hz.h"
#include "timing.h"
#include "tree.h"

#define MAGIC		0x5ac5ull
#define PM_PRESENT	(1ull << 63)
#define PM_PFN		((1ull << 55) - 1)
#define EMPTY_CAP	(1u << 20)
#define STATS		"/sys/kernel/debug/shcache"

struct hz_state hz;

/* --- verdict ------------------------------------------------------------------------------------------------------------- */

static void conclude(enum hz_verdict verdict, const char *fmt, va_list ap)
{
	int open = HZ_OPEN;

	if (__atomic_compare_exchange_n(hz.verdict, &open, verdict, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		vsnprintf(hz.why, HZ_WHY, fmt, ap);
	_exit(1);
}

void hz_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conclude(HZ_FAILED, fmt, ap);
	va_end(ap);
	_exit(1);
}

void hz_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conclude(HZ_SKIPPED, fmt, ap);
	va_end(ap);
	_exit(1);
}

/* --- words --------------------------------------------------------------------------------------------------------------- */

uint64_t hz_word(unsigned int id, unsigned int block, unsigned int version)
{
	return MAGIC << 48 | (uint64_t)(id & 0xff) << 40 | (uint64_t)(block & 0xffff) << 24 |
	       (uint64_t)((id * 7 + block * 13) & 0xffff) << 8 | (version & 0xff);
}

void hz_fill(void *dst, unsigned int id, unsigned int block, unsigned int version)
{
	uint64_t *w = dst, v = hz_word(id, block, version);
	unsigned int i;

	for (i = 0; i < HZ_WORDS; i++)
		w[i] = v;
}

const char *hz_word_text(uint64_t w, char *dst, size_t cap)
{
	if (!w)
		snprintf(dst, cap, "zeroes");
	else if (w == hz_word((w >> 40) & 0xff, (w >> 24) & 0xffff, w & 0xff))
		snprintf(dst, cap, "file %u block %u version %u", (unsigned int)(w >> 40) & 0xff, (unsigned int)(w >> 24) & 0xffff,
			 (unsigned int)w & 0xff);
	else
		snprintf(dst, cap, "%016llx", (unsigned long long)w);
	return dst;
}

/* --- files --------------------------------------------------------------------------------------------------------------- */

void hz_path(char *dst, size_t cap, const char *name)
{
	snprintf(dst, cap, "%s/%s", hz.dir, name);
}

static void new_file(struct hz_file *f, const char *name, uint64_t cap)
{
	memset(f, 0, sizeof(*f));
	hz_path(f->path, sizeof(f->path), name);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (f->fd < 0)
		hz_fail("create %s: %m", f->path);
	f->cap = cap;
	f->want = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->want == MAP_FAILED)
		hz_fail("no memory for the model of %s", name);
}

void hz_create(struct hz_file *f, const char *name, unsigned int id, unsigned int blocks)
{
	unsigned int b;

	new_file(f, name, blocks ? 2ull * blocks * HZ_PAGE : EMPTY_CAP);
	f->size = (uint64_t)blocks * HZ_PAGE;
	for (b = 0; b < blocks; b++)
		hz_fill(f->want + (uint64_t)b * HZ_PAGE, id, b, 1);
	if ((f->size && pwrite(f->fd, f->want, f->size, 0) != (ssize_t)f->size) || fsync(f->fd))
		hz_fail("write %s: %m", f->path);
}

void hz_clone(struct hz_file *dst, const struct hz_file *src, const char *name)
{
	new_file(dst, name, src->cap);
	if (ioctl(dst->fd, FICLONE, src->fd))
		hz_fail("FICLONE %s to %s: %m", src->path, dst->path);
	dst->size = src->size;
	memcpy(dst->want, src->want, src->size);
}

void hz_clone_range(const struct hz_file *src, unsigned int from, unsigned int n, struct hz_file *dst, unsigned int to)
{
	struct file_clone_range r = { .src_fd = src->fd, .src_offset = (uint64_t)from * HZ_PAGE, .src_length = (uint64_t)n * HZ_PAGE,
				      .dest_offset = (uint64_t)to * HZ_PAGE };

	HZ_DO(ioctl(dst->fd, FICLONERANGE, &r));
	memcpy(dst->want + (uint64_t)to * HZ_PAGE, src->want + (uint64_t)from * HZ_PAGE, (uint64_t)n * HZ_PAGE);
	if (dst->size < (to + n) * (uint64_t)HZ_PAGE)
		dst->size = (to + n) * (uint64_t)HZ_PAGE;
}

void hz_map(struct hz_file *f)
{
	f->maplen = f->cap;
	f->map = mmap(NULL, f->maplen, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	f->priv = mmap(NULL, f->maplen, PROT_READ, MAP_PRIVATE, f->fd, 0);
	if (f->map == MAP_FAILED || f->priv == MAP_FAILED)
		hz_fail("mmap %s: %m", f->path);
}

void hz_unmap(struct hz_file *f)
{
	if (f->map) {
		munmap(f->map, f->maplen);
		munmap(f->priv, f->maplen);
	}
	f->map = f->priv = NULL;
}

void hz_touch(const struct hz_file *f)
{
	uint64_t v, off;

	for (off = 0; f->map && off < f->size; off += HZ_PAGE)
		if (!hz_peek(f->map + off, &v) || !hz_peek(f->priv + off, &v))
			hz_fail("%s: SIGBUS at %llu, size %llu", f->path, (unsigned long long)off, (unsigned long long)f->size);
}

void hz_cache(const struct hz_file *f)
{
	static char buf[65536];
	off_t off = 0;
	ssize_t n;

	while ((n = pread(f->fd, buf, sizeof(buf), off)) > 0)
		off += n;
	if (n < 0)
		hz_fail("read %s: %m", f->path);
}

void hz_close(struct hz_file *f)
{
	hz_unmap(f);
	close(f->fd);
	munmap(f->want, f->cap);
	f->fd = -1;
}

void hz_unlink(struct hz_file *f)
{
	HZ_DO(unlink(f->path));
	hz_close(f);
}

void hz_want_block(struct hz_file *f, unsigned int block, unsigned int id, unsigned int as_block, unsigned int version)
{
	hz_fill(f->want + (uint64_t)block * HZ_PAGE, id, as_block, version);
	if (f->size < (block + 1ull) * HZ_PAGE)
		f->size = (block + 1ull) * HZ_PAGE;
}

void hz_want_zero(struct hz_file *f, uint64_t from, uint64_t len)
{
	memset(f->want + from, 0, len);
}

void hz_want_size(struct hz_file *f, uint64_t size)
{
	if (size > f->size)
		memset(f->want + f->size, 0, size - f->size);
	f->size = size;
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *s = strrchr(path, '/');

	return s ? s + 1 : path;
}

void hz_compare(const struct hz_file *f, const void *seen, uint64_t off, uint64_t len, const char *how, const char *stage)
{
	const uint8_t *s = seen, *w = f->want + off;
	uint64_t i, at, a = 0, b = 0;
	char ta[64], tb[64];

	if (!memcmp(s, w, len))
		return;
	for (i = 0; s[i] == w[i]; i++)
		;
	at = (off + i) & ~7ull;
	if (at >= off) {
		memcpy(&a, f->want + at, 8);
		memcpy(&b, s + (at - off), off + len - at < 8 ? off + len - at : 8);
	}
	hz_fail("%s: %s by %s: byte %llu (block %llu): %s, but should be %s", stage, base_name(f->path), how, (unsigned long long)(off + i),
		(unsigned long long)(off + i) / HZ_PAGE, hz_word_text(b, tb, sizeof(tb)), hz_word_text(a, ta, sizeof(ta)));
}

static sigjmp_buf bus_jmp;
static volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (bus_armed)
		siglongjmp(bus_jmp, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* One thread per process uses this. */
static bool reach(volatile uint64_t *addr, uint64_t *v, bool store)
{
	static bool ready;

	if (!ready) {
		struct sigaction sa = { .sa_handler = on_bus, .sa_flags = SA_NODEFER };

		sigaction(SIGBUS, &sa, NULL);
		ready = true;
	}
	if (sigsetjmp(bus_jmp, 0)) {
		bus_armed = 0;
		return false;
	}
	bus_armed = 1;
	if (store)
		*addr = *v;
	else
		*v = *addr;
	bus_armed = 0;
	return true;
}

bool hz_peek(const void *addr, uint64_t *v)
{
	return reach((volatile uint64_t *)(uintptr_t)addr, v, false);
}

bool hz_poke(void *addr, uint64_t v)
{
	return reach(addr, &v, true);
}

static void check_map(const struct hz_file *f, const uint8_t *map, uint64_t maplen, const char *how, const char *stage)
{
	uint64_t off, end = f->size < maplen ? f->size : maplen, v;

	for (off = 0; off < end; off += HZ_PAGE) {
		uint64_t len = end - off < HZ_PAGE ? end - off : HZ_PAGE, i;

		if (!hz_peek(map + off, &v))
			hz_fail("%s: %s by %s: SIGBUS at block %llu of %llu bytes", stage, base_name(f->path), how,
				(unsigned long long)off / HZ_PAGE, (unsigned long long)f->size);
		hz_compare(f, map + off, off, len, how, stage);
		/* Behind the end of the file: zeroes, whatever lies in the block. */
		for (i = len; i < HZ_PAGE; i++)
			if (map[off + i])
				hz_fail("%s: %s by %s: byte %llu behind the end (%llu) is %#x", stage, base_name(f->path), how,
					(unsigned long long)(off + i), (unsigned long long)f->size, map[off + i]);
	}
	off = (end + HZ_PAGE - 1) & ~(uint64_t)(HZ_PAGE - 1);
	if (off < maplen && hz_peek(map + off, &v))
		hz_fail("%s: %s by %s: no SIGBUS behind the end (%llu)", stage, base_name(f->path), how, (unsigned long long)f->size);
}

void hz_check(const struct hz_file *f, unsigned int ways, const char *stage)
{
	const uint64_t chunk = 128 * HZ_PAGE;
	uint8_t *buf = hz_buffer(chunk);
	struct stat st;
	uint64_t off;

	if (fstat(f->fd, &st) || (uint64_t)st.st_size != f->size)
		hz_fail("%s: %s has %lld bytes, but should have %llu", stage, base_name(f->path), (long long)st.st_size,
			(unsigned long long)f->size);
	if ((ways & HZ_OLD_MAP) && f->map) {
		check_map(f, f->map, f->maplen, "its old shared mapping", stage);
		check_map(f, f->priv, f->maplen, "its old private mapping", stage);
	}
	for (off = 0; (ways & HZ_READ) && off < f->size; off += chunk) {
		uint64_t want = f->size - off < chunk ? f->size - off : chunk;
		ssize_t n = pread(f->fd, buf, chunk, (off_t)off);

		if (n != (ssize_t)want)
			hz_fail("%s: read of %s at %llu: %zd of %llu bytes (%m)", stage, base_name(f->path), (unsigned long long)off, n,
				(unsigned long long)want);
		hz_compare(f, buf, off, want, "read", stage);
	}
	if ((ways & HZ_NEW_MAP) && f->size) {
		uint64_t len = (f->size + HZ_PAGE - 1) & ~(uint64_t)(HZ_PAGE - 1);
		uint8_t *m = mmap(NULL, len, PROT_READ, MAP_SHARED, f->fd, 0), *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, f->fd, 0);

		if (m == MAP_FAILED || p == MAP_FAILED)
			hz_fail("mmap %s: %m", f->path);
		check_map(f, m, len, "a new shared mapping", stage);
		check_map(f, p, len, "a new private mapping", stage);
		munmap(m, len);
		munmap(p, len);
	}
	if (ways & HZ_DIRECT) {
		int fd = hz_open_direct(f);

		for (off = 0; off < f->size; off += chunk) {
			uint64_t want = f->size - off < chunk ? f->size - off : chunk;
			ssize_t n = pread(fd, buf, chunk, (off_t)off);

			if (n != (ssize_t)want)
				hz_fail("%s: direct read of %s at %llu: %zd of %llu bytes (%m)", stage, base_name(f->path),
					(unsigned long long)off, n, (unsigned long long)want);
			hz_compare(f, buf, off, want, "O_DIRECT", stage);
		}
		close(fd);
	}
	munmap(buf, chunk);
}

void hz_cold(void)
{
	tree_drop_caches();
}

void hz_cold_mapped(struct hz_file *const *files, unsigned int n)
{
	bool mapped[16];
	unsigned int i;

	if (n > sizeof(mapped))
		hz_fail("%u files", n);
	for (i = 0; i < n; i++) {
		mapped[i] = files[i]->map;
		hz_unmap(files[i]);
	}
	/* What another CPU has in a batch goes when that is drained. */
	for (i = 0; i < 10; i++) {
		hz_cold();
		if (!hz_shared_pages())
			break;
		usleep(20000);
	}
	if (i == 10)
		hz_fail("%lld pages are in the shared cache after drop_caches", hz_shared_pages());
	for (i = 0; i < n; i++)
		if (mapped[i])
			hz_map(files[i]);
}

bool hz_reclaim(unsigned int mb)
{
	static const char path[] = "/sys/fs/cgroup/memory.reclaim";
	char text[16];

	snprintf(text, sizeof(text), "%uM", mb);
	/* That there was less than that to reclaim is no error here. */
	return hz_put(path, text) || !access(path, W_OK);
}

bool hz_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool hz_inject(const char *who, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", who, name);
	return hz_put(path, value);
}

static ssize_t slurp(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = -1;

	while (fd >= 0 && len < cap - 1 && (n = read(fd, buf + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return fd < 0 || n < 0 ? -1 : (ssize_t)len;
}

bool hz_has_text(const char *path, const char *text)
{
	static char buf[1 << 17];

	return slurp(path, buf, sizeof(buf)) >= 0 && strstr(buf, text);
}

long long hz_stat(const char *path, const char *name)
{
	static char buf[1 << 16];
	size_t len = name ? strlen(name) : 0;
	char *s;

	if (slurp(path, buf, sizeof(buf)) < 0)
		return -1;
	if (!name)
		return strtoll(buf, NULL, 10);
	for (s = buf; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (!strncmp(s, name, len) && (s[len] == ' ' || s[len] == '\t' || s[len] == ':'))
			return strtoll(s + len + 1, NULL, 10);
	return -1;
}

uint64_t hz_pfn(const void *addr)
{
	uint64_t v;

	if (!hz_peek((const void *)((uintptr_t)addr & ~7ul), &v))
		return 0;
	return hz_mapped(addr);
}

uint64_t hz_mapped(const void *addr)
{
	uint64_t entry;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)addr / HZ_PAGE * 8)) != 8)
		hz_fail("read /proc/self/pagemap: %m");
	close(fd);
	return entry & PM_PRESENT ? entry & PM_PFN : 0;
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

unsigned int hz_unique(struct hz_file *const *files, unsigned int n)
{
	unsigned int i, total = 0, nr = 0, unique = 0;
	uint64_t *pfn, off;
	uint8_t **m;

	for (i = 0; i < n; i++)
		total += (unsigned int)((files[i]->size + HZ_PAGE - 1) / HZ_PAGE);
	pfn = calloc(total + 1, sizeof(*pfn));
	m = calloc(n, sizeof(*m));
	if (!pfn || !m)
		hz_fail("no memory for %u frame numbers", total);
	/* All mapped at once, so that none is reclaimed and given to the next. */
	for (i = 0; i < n; i++) {
		m[i] = mmap(NULL, files[i]->size, PROT_READ, MAP_SHARED, files[i]->fd, 0);
		if (m[i] == MAP_FAILED)
			hz_fail("mmap %s: %m", files[i]->path);
		for (off = 0; off < files[i]->size; off += HZ_PAGE)
			pfn[nr++] = hz_pfn(m[i] + off);
	}
	for (i = 0; i < n; i++)
		munmap(m[i], files[i]->size);
	qsort(pfn, nr, sizeof(*pfn), cmp_u64);
	for (i = 0; i < nr; i++)
		unique += pfn[i] && (!i || pfn[i] != pfn[i - 1]);
	free(pfn);
	free(m);
	return unique;
}

void hz_check_shared(struct hz_file *const *files, unsigned int n, const char *stage)
{
	unsigned int blocks = (unsigned int)((files[0]->size + HZ_PAGE - 1) / HZ_PAGE), unique;

	if (!hz.sharing)
		return;
	unique = hz_unique(files, n);
	/* A page that drop_caches met in some batch stays private to its file: legal, and rare. */
	if (unique > blocks + 1 + blocks / 64)
		hz_fail("%s: %u files of the same %u blocks are in %u frames", stage, n, blocks, unique);
}

void hz_check_large(const struct hz_file *f, const char *stage)
{
	const unsigned int tail = 16;	/* KPF_COMPOUND_TAIL */
	unsigned int found = 0;
	uint64_t off, flags;
	uint8_t *m;
	int fd;

	if (!hz.sharing)
		return;
	fd = HZ_DO(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
	m = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	for (off = 0; off < f->size; off += HZ_PAGE) {
		HZ_DO(pread(fd, &flags, sizeof(flags), (off_t)(hz_pfn(m + off) * sizeof(flags))));
		found += flags >> tail & 1;
	}
	munmap(m, f->size);
	close(fd);
	if (!found)
		hz_fail("%s: no folio has more than one page: this test tests nothing", stage);
}

long long hz_shared_pages(void)
{
	char path[300];
	struct dirent *d;
	long long sum = 0, n;
	DIR *dir = opendir(STATS);

	while (dir && (d = readdir(dir))) {
		snprintf(path, sizeof(path), STATS "/%s/stats", d->d_name);
		n = hz_stat(path, "pages");
		if (n > 0)
			sum += n;
	}
	if (dir)
		closedir(dir);
	return sum;
}

unsigned int hz_overlap(const struct fiemap_extent *a, unsigned int na, const struct fiemap_extent *b, unsigned int nb)
{
	uint64_t bytes = 0;
	unsigned int i, j;

	for (i = 0; i < na; i++) {
		for (j = 0; j < nb; j++) {
			uint64_t lo = a[i].fe_physical > b[j].fe_physical ? a[i].fe_physical : b[j].fe_physical;
			uint64_t ea = a[i].fe_physical + a[i].fe_length, eb = b[j].fe_physical + b[j].fe_length;
			uint64_t hi = ea < eb ? ea : eb;

			if (hi > lo)
				bytes += hi - lo;
		}
	}
	return (unsigned int)(bytes / HZ_PAGE);
}

int hz_take_space(unsigned int leave_kb)
{
	uint64_t step, off = 0;
	char path[160];
	int fd;

	if (!hz.xfs)
		return -1;
	hz_path(path, sizeof(path), "filler");
	fd = HZ_DO(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	for (step = 256u << 20; step >= 65536; step /= 2)
		while (!fallocate(fd, 0, (off_t)off, (off_t)step))
			off += step;
	/* Room for metadata, and perhaps for a few files before it is the turn of the freed blocks. */
	HZ_DO(ftruncate(fd, (off_t)(off - leave_kb * 1024ull)));
	HZ_DO(fsync(fd));
	return fd;
}

unsigned int hz_extents(int fd, struct fiemap_extent *out)
{
	struct fiemap *m = calloc(1, sizeof(*m) + HZ_EXTENTS * sizeof(m->fm_extents[0]));
	unsigned int n;

	m->fm_length = FIEMAP_MAX_OFFSET;
	m->fm_flags = FIEMAP_FLAG_SYNC;
	m->fm_extent_count = HZ_EXTENTS;
	HZ_DO(ioctl(fd, FS_IOC_FIEMAP, m));
	n = m->fm_mapped_extents;
	memcpy(out, m->fm_extents, n * sizeof(*out));
	free(m);
	return n;
}

long long hz_file_pages(void)
{
	/* Folds the per-cpu parts in. */
	hz_put("/proc/sys/vm/stat_refresh", "1");
	return hz_stat("/proc/vmstat", "nr_file_pages") - hz_stat("/proc/vmstat", "nr_shmem");
}

/* --- processes ----------------------------------------------------------------------------------------------------------- */

pid_t hz_fork(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		hz_fail("fork: %m");
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

void hz_join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			hz_fail("waitpid: %m");
	if (status)
		hz_fail("a helper process ended with status %#x", status);
}

void hz_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void *hz_shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		hz_fail("no memory to share: %m");
	return p;
}

void *hz_buffer(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		hz_fail("no memory for a buffer: %m");
	return p;
}

int hz_open_direct(const struct hz_file *f)
{
	int fd = open(f->path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		hz_fail("open %s for direct I/O: %m", f->path);
	return fd;
}

uint64_t hz_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void hz_check_gone(void)
{
	char link[64], target[256], path[128];
	long long pages, refs;
	unsigned int i;
	struct stat st;
	ssize_t n;

	if (!hz.sharing)
		return;
	HZ_DO(stat(hz.dir, &st));
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	n = HZ_DO(readlink(link, target, sizeof(target) - 1));
	target[n] = '\0';
	snprintf(path, sizeof(path), STATS "/%.60s/stats", strrchr(target, '/') + 1);
	for (i = 0; i < 50; i++) {
		settle(hz.dir);
		hz_cold();
		pages = hz_stat(path, "pages");
		refs = hz_stat(path, "ref") - hz_stat(path, "unref");
		if (!pages && !refs)
			return;
	}
	hz_fail("all files are gone, and %lld pages and %lld refs are left", pages, refs);
}

/* --- AIO ----------------------------------------------------------------------------------------------------------------- */

void hz_aio_write(int fd, const void *buf, size_t len, uint64_t off)
{
	static aio_context_t ctx;
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = len,
			   .aio_offset = (int64_t)off };
	struct iocb *list[] = { &cb };
	struct io_event ev;

	if (!ctx)
		HZ_DO(syscall(SYS_io_setup, 8, &ctx));
	if (syscall(SYS_io_submit, ctx, 1, list) != 1 || syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL) != 1)
		hz_fail("AIO: %m");
	if (ev.res != (int64_t)len)
		hz_fail("AIO write of %zu bytes: %lld", len, (long long)ev.res);
}

/* --- another file system ------------------------------------------------------------------------------------------------- */

void hz_image(const char *image, unsigned int mb)
{
	int fd = HZ_DO(open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

	HZ_DO(ftruncate(fd, (off_t)mb << 20));
	close(fd);
}

void hz_loop(const char *image, char dev[32])
{
	int ctl, nr, img, loop;

	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0)
		hz_skip("no loop devices: %m");
	nr = HZ_DO(ioctl(ctl, LOOP_CTL_GET_FREE));
	close(ctl);
	snprintf(dev, 32, "/dev/loop%d", nr);
	img = HZ_DO(open(image, O_RDWR | O_CLOEXEC));
	loop = HZ_DO(open(dev, O_RDWR | O_CLOEXEC));
	HZ_DO(ioctl(loop, LOOP_SET_FD, img));
	close(img);
	/* Nobody may have a device open for writing that is to be mounted. */
	close(loop);
}

void hz_loop_end(const char *image, const char *dev)
{
	int loop = HZ_DO(open(dev, O_RDWR | O_CLOEXEC));

	HZ_DO(ioctl(loop, LOOP_CLR_FD));
	close(loop);
	HZ_DO(unlink(image));
}

int hz_extra_fs_mb(const char *dir, unsigned int mb, const char *mkfs, const char *mount_opts, char dev[32])
{
	char opts[128], *save, *word;
	const char *argv[24];
	unsigned int n = 0;

	hz_image(HZ_EXTRA_IMAGE, mb);
	argv[n++] = hz.xfs ? "mkfs.xfs" : "mkfs.btrfs";
	argv[n++] = "-q";
	argv[n++] = "-f";
	snprintf(opts, sizeof(opts), "%s", mkfs);
	for (word = strtok_r(opts, " ", &save); word && n < 22; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	argv[n++] = HZ_EXTRA_IMAGE;
	argv[n] = NULL;
	if (agent_run(hz.ctx, argv))
		hz_fail("%s %s failed", argv[0], mkfs);
	hz_loop(HZ_EXTRA_IMAGE, dev);
	mkdir(dir, 0755);
	return mount(dev, dir, hz.xfs ? "xfs" : "btrfs", MS_NOATIME, mount_opts) ? -errno : 0;
}

int hz_extra_fs(const char *dir, const char *mkfs, const char *mount_opts, char dev[32])
{
	return hz_extra_fs_mb(dir, HZ_EXTRA_MB, mkfs, mount_opts, dev);
}

void hz_extra_fs_end(const char *dir, const char *dev)
{
	if (dir && umount(dir))
		hz_fail("umount %s: %m", dir);
	hz_loop_end(HZ_EXTRA_IMAGE, dev);
}
