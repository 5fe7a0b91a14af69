// SPDX-License-Identifier: GPL-2.0
/*
 * The process and the counters around measured regions, see timing.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "timing.h"

#define STACK_BYTES	(128u << 10)
#define CALIBRATIONS	1001
#define TICK_GAP	1000		/* instructions; reading the clock takes less than 20 */
#define TICK_WAIT	20000000
#define AROUND_FILE	"/sys/kernel/debug/fault_around_bytes"

/* Makes the stack's next STACK_BYTES present; the barrier keeps the buffer from being optimised away. */
static __attribute__((noinline)) void touch_stack(void)
{
	char buf[STACK_BYTES];

	memset(buf, 0, sizeof(buf));
	__asm__ volatile("" : : "r"(buf) : "memory");
}

void timing_pin(unsigned int cpu)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n > 0 ? cpu % (unsigned int)n : 0, &set);
	/* Cannot fail for an online CPU; if it does, the wall lane's noise shows it. */
	sched_setaffinity(0, sizeof(set), &set);
}

void timing_child(unsigned int cpu)
{
	timing_pin(cpu);
	touch_stack();
	mlockall(MCL_CURRENT);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int timing_begin(struct wl_ctx *ctx)
{
	static uint64_t d[CALIBRATIONS];
	uint64_t t0, t1;
	unsigned int i;

	timing_pin(0);
	touch_stack();
	if (mlockall(MCL_CURRENT))
		return wl_fail(ctx, -errno, "mlockall: %s", strerror(errno));
	t0 = wl_now(ctx);
	for (i = 0; i < CALIBRATIONS; i++) {
		t1 = wl_now(ctx);
		d[i] = t1 - t0;
		t0 = t1;
	}
	qsort(d, CALIBRATIONS, sizeof(d[0]), cmp_u64);
	wl_info(ctx, "timer_overhead", "min %llu median %llu %s", (unsigned long long)d[0],
		(unsigned long long)d[CALIBRATIONS / 2], wl_icount(ctx) ? "instructions" : "ns");
	return 0;
}

void timing_quiet(struct wl_ctx *ctx)
{
	uint64_t first, t0, t1;

	if (!wl_icount(ctx))
		return;
	first = t0 = wl_now(ctx);
	/* A gap between two readings is an interrupt. The limit is for kernels that tick less often. */
	do {
		t1 = wl_now(ctx);
		if (t1 - t0 > TICK_GAP)
			break;
		t0 = t1;
	} while (t1 - first < TICK_WAIT);
}

int fault_around_set(struct wl_ctx *ctx, unsigned int bytes)
{
	char text[16];
	int fd, len, err = 0;

	if (access(AROUND_FILE, W_OK) && mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL))
		return wl_fail(ctx, -errno, "mount debugfs: %s (the kernel needs CONFIG_DEBUG_FS)", strerror(errno));
	fd = open(AROUND_FILE, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return wl_fail(ctx, -errno, AROUND_FILE ": %s", strerror(errno));
	len = snprintf(text, sizeof(text), "%u", bytes);
	if (write(fd, text, len) != len)
		err = wl_fail(ctx, -EIO, AROUND_FILE ": cannot write %s", text);
	close(fd);
	return err;
}

void faults_now(struct faults *f)
{
	struct rusage ru;

	getrusage(RUSAGE_THREAD, &ru);
	f->minor = ru.ru_minflt;
	f->major = ru.ru_majflt;
}

void faults_sub(struct faults *b, const struct faults *a)
{
	b->minor -= a->minor;
	b->major -= a->major;
}

static uint64_t field(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *p;

	for (p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, name, len) && p[len] == ' ')
			return strtoull(p + len, NULL, 10);
	}
	return 0;
}

void vmcount_now(struct vmcount *v)
{
	static char text[16384];
	size_t len = 0;
	ssize_t n;
	int fd;

	/* Reading is enough to fold the per-cpu batches in. */
	fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text));
		close(fd);
	}
	fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
			len += n;
		close(fd);
	}
	text[len] = '\0';
	v->file_pages = field(text, "nr_file_pages");
	v->read_bytes = field(text, "pgpgin") * 1024;
	v->written_bytes = field(text, "pgpgout") * 1024;
}

void vmcount_sub(struct vmcount *b, const struct vmcount *a)
{
	b->file_pages -= a->file_pages;
	b->read_bytes -= a->read_bytes;
	b->written_bytes -= a->written_bytes;
}

void *resident_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void settle(const char *path)
{
	struct statfs sf;

	sync();
	/* XFS starts its inode garbage collection from statfs. */
	statfs(path, &sf);
	usleep(20000);
	sync();
}

bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *p;

	if (!strcmp(list, "all"))
		return true;
	for (p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncmp(p, name, len) && (p[len] == ',' || !p[len]))
			return true;
	}
	return false;
}
