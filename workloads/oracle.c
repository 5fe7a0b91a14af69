// SPDX-License-Identifier: GPL-2.0
/* The truth about memory, see oracle.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "json.h"
#include "oracle.h"
#include "timing.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

#define BATCH		8192	/* entries of pagemap or kpageflags that are read at once */
#define SLACK		24	/* super block pages, pages on their way */
#define EB_PAGES	4	/* of a btrfs extent buffer: nodesize 16 KiB */
#define PM_PRESENT	(1ull << 63)
#define PM_FILE		(1ull << 61)
#define PM_PFN		((1ull << 55) - 1)

static uint64_t batch[BATCH];

/* --- levels -------------------------------------------------------------------------------------------------------------- */

/* "Name:   N kB" in bytes. */
static uint64_t meminfo(const char *name)
{
	char line[128];
	uint64_t v = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':') {
			v = strtoull(line + len + 1, NULL, 10) * 1024;
			break;
		}
	}
	if (f)
		fclose(f);
	return v;
}

/* Extent buffers of btrfs, and how many objects each CPU may hold that are counted but not used. */
static void metadata(struct oracle_level *l)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	unsigned long active, objs, size, per_slab;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "btrfs_extent_buffer %lu %lu %lu %lu", &active, &objs, &size, &per_slab) != 4)
			continue;
		l->metadata = active * EB_PAGES;
		l->metadata_slack = per_slab * (unsigned long)sysconf(_SC_NPROCESSORS_ONLN) * EB_PAGES;
	}
	if (f)
		fclose(f);
}

/* A page of a file: in the cache of an inode that is neither anonymous memory nor swap-backed. */
static bool is_file_page(uint64_t flags)
{
	const uint64_t in_use = 1ull << KPF_LRU | 1ull << KPF_UPTODATE;
	const uint64_t other = 1ull << KPF_ANON | 1ull << KPF_SWAPBACKED | 1ull << KPF_SLAB | 1ull << KPF_BUDDY | 1ull << KPF_NOPAGE |
			       1ull << KPF_OFFLINE | 1ull << KPF_PGTABLE | 1ull << KPF_HUGE;

	return (flags & in_use) && !(flags & other);
}

static int scan(struct wl_ctx *ctx, uint64_t *pages)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	ssize_t n, i;

	*pages = 0;
	if (fd < 0)
		return wl_fail(ctx, -errno, "/proc/kpageflags: %s (the kernel needs CONFIG_PROC_PAGE_MONITOR)", strerror(errno));
	while ((n = read(fd, batch, sizeof(batch))) > 0)
		for (i = 0; i < n / (ssize_t)sizeof(batch[0]); i++)
			*pages += is_file_page(batch[i]);
	close(fd);
	return n ? wl_fail(ctx, -errno, "/proc/kpageflags: %s", strerror(errno)) : 0;
}

int oracle_level(struct wl_ctx *ctx, struct oracle_level *l)
{
	struct vmcount v;

	memset(l, 0, sizeof(*l));
	vmcount_now(&v);
	l->file_pages = v.file_pages - meminfo("Shmem") / PAGE;
	l->free_bytes = meminfo("MemFree");
	l->available_bytes = meminfo("MemAvailable");
	l->slab_bytes = meminfo("Slab");
	l->pagetable_bytes = meminfo("PageTables");
	if (!strcmp(wl_fs(ctx), "btrfs"))
		metadata(l);
	return scan(ctx, &l->scanned);
}

uint64_t oracle_slack(const struct oracle_level *before, const struct oracle_level *now)
{
	return SLACK + before->metadata_slack + now->metadata_slack;
}

static uint64_t distance(int64_t a, int64_t b)
{
	return (uint64_t)(a > b ? a - b : b - a);
}

void oracle_agree(struct wl_ctx *ctx, const struct oracle_level *before, const struct oracle_level *now, uint64_t unique,
		  const char *coords)
{
	int64_t counted = (int64_t)(now->file_pages - before->file_pages), meta = (int64_t)(now->metadata - before->metadata);
	int64_t scanned = (int64_t)(now->scanned - before->scanned);
	uint64_t slack = oracle_slack(before, now);
	bool ok = distance(counted, scanned) <= SLACK && distance(counted - meta, (int64_t)unique) <= slack;

	wl_check(ctx, "oracles-agree", ok,
		 "%s: frames %llu, NR_FILE_PAGES %lld, page flags %lld, of these metadata %lld, slack %llu and %u", coords,
		 (unsigned long long)unique, (long long)counted, (long long)scanned, (long long)meta, (unsigned long long)slack,
		 SLACK);
}

/* --- sets of frames ------------------------------------------------------------------------------------------------------ */

/* One beyond the last frame of all zones. */
static uint64_t max_frame(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	uint64_t spanned = 0, start, max = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " ");

		if (!strncmp(p, "spanned", 7))
			spanned = strtoull(p + 7, NULL, 10);
		if (strncmp(p, "start_pfn:", 10))
			continue;
		start = strtoull(p + 10, NULL, 10);
		if (start + spanned > max)
			max = start + spanned;
	}
	if (f)
		fclose(f);
	return max;
}

int frames_begin(struct wl_ctx *ctx, struct frames *f)
{
	memset(f, 0, sizeof(*f));
	f->ctx = ctx;
	f->max = max_frame();
	f->degree = calloc(f->max + 1, sizeof(*f->degree));
	f->last = calloc(f->max + 1, sizeof(*f->last));
	if (!f->max || !f->degree || !f->last) {
		frames_end(f);
		return wl_fail(ctx, -ENOMEM, "no memory for a set of %llu frames", (unsigned long long)f->max);
	}
	return 0;
}

void frames_end(struct frames *f)
{
	free(f->degree);
	free(f->last);
	f->degree = f->last = NULL;
}

static int add_frame(struct frames *f, uint64_t pfn, unsigned int owner)
{
	if (!pfn || pfn >= f->max)
		return -ERANGE;
	if (f->last[pfn] == owner)
		return 0;
	f->last[pfn] = (uint16_t)owner;
	f->unique += !f->degree[pfn]++;
	f->shown++;
	return 0;
}

/* Adds what a pagemap says about [addr, addr + len). */
static int add_range(struct frames *f, int pagemap, uint64_t addr, uint64_t len, unsigned int owner)
{
	uint64_t at = addr / PAGE, end = (addr + len) / PAGE;

	while (at < end) {
		size_t want = end - at < BATCH ? end - at : BATCH, i;
		ssize_t n = pread(pagemap, batch, want * sizeof(batch[0]), (off_t)(at * sizeof(batch[0])));

		if (n <= 0)
			return n ? -errno : -EIO;
		for (i = 0; i < (size_t)n / sizeof(batch[0]); i++) {
			if ((batch[i] & (PM_PRESENT | PM_FILE)) != (PM_PRESENT | PM_FILE))
				continue;
			if (add_frame(f, batch[i] & PM_PFN, owner))
				return -ERANGE;
		}
		at += (size_t)n / sizeof(batch[0]);
	}
	return 0;
}

/* Touches the pages of a mapping: all, or those that are resident. */
static int touch_pages(unsigned char *m, uint64_t pages, bool resident, unsigned char *vec)
{
	uint64_t i;

	if (resident && mincore(m, pages * PAGE, vec))
		return -errno;
	for (i = 0; i < pages; i++)
		if (!resident || (vec[i] & 1))
			(void)*(volatile unsigned char *)(m + i * PAGE);
	return 0;
}

static int add_file(struct frames *f, int rootfd, const struct tree_file *file, int pagemap, unsigned int owner, bool resident,
		    unsigned char *vec)
{
	uint64_t len = file->pages * PAGE;
	int fd = openat(rootfd, file->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	unsigned char *m;

	if (fd < 0)
		return -errno;
	m = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		err = -errno;
	close(fd);
	if (err)
		return err;
	/* No readahead: the walk must not bring in what is not there. */
	if (madvise(m, len, MADV_RANDOM))
		err = -errno;
	if (!err)
		err = touch_pages(m, file->pages, resident, vec);
	if (!err)
		err = add_range(f, pagemap, (uint64_t)(uintptr_t)m, len, owner);
	/* Unmapping then does not mark the pages as used. */
	madvise(m, len, MADV_SEQUENTIAL);
	munmap(m, len);
	return err;
}

int frames_add_tree(struct frames *f, struct tree *t, const char *root, unsigned int owner, bool resident)
{
	int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t longest = 1;
	unsigned char *vec;
	unsigned int i;
	int err = 0;

	for (i = 0; i < t->nr_files; i++)
		if (t->files[i].pages > longest)
			longest = t->files[i].pages;
	vec = malloc(longest);
	if (rootfd < 0 || pagemap < 0 || !vec)
		err = wl_fail(f->ctx, -errno, "cannot walk %s: %s", root, strerror(errno));
	for (i = 0; !err && i < t->nr_files; i++) {
		if (!t->files[i].pages)
			continue;
		err = add_file(f, rootfd, &t->files[i], pagemap, owner, resident, vec);
		if (err)
			wl_fail(f->ctx, err, "cannot walk %s/%s: %s", root, t->files[i].path, strerror(-err));
	}
	if (rootfd >= 0)
		close(rootfd);
	if (pagemap >= 0)
		close(pagemap);
	free(vec);
	return err;
}

/* Mappings of files, but for the agent's own binary and shared memory. */
static bool wanted_mapping(const char *path, unsigned int maj, unsigned int min, dev_t agent)
{
	static const char *const shared[] = { "/dev/zero", "/memfd:", "/SYSV", "/dev/shm/" };
	size_t i;

	if (path[0] != '/' || makedev(maj, min) == agent)
		return false;
	for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (!strncmp(path, shared[i], strlen(shared[i])))
			return false;
	return true;
}

int frames_add_process(struct frames *f, pid_t pid, unsigned int owner)
{
	char path[64], line[PATH_MAX + 256];
	struct stat st = {};
	int pagemap, err = 0;
	FILE *maps;

	stat("/init", &st);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (!maps || pagemap < 0)
		err = wl_fail(f->ctx, -errno, "%s: %s", path, strerror(errno));
	while (!err && fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		unsigned int maj, min;
		int at = 0;

		if (sscanf(line, "%lx-%lx %*s %*s %x:%x %*u %n", &start, &end, &maj, &min, &at) != 4 || !at ||
		    !wanted_mapping(line + at, maj, min, st.st_dev))
			continue;
		err = add_range(f, pagemap, start, end - start, owner);
		if (err)
			wl_fail(f->ctx, err, "%s: %s", path, strerror(-err));
	}
	if (maps)
		fclose(maps);
	if (pagemap >= 0)
		close(pagemap);
	return err;
}

int frames_add_cgroup(struct frames *f, const char *cgroup, unsigned int owner)
{
	char path[128];
	FILE *procs;
	int pid, err = 0;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	procs = fopen(path, "re");
	if (!procs)
		return wl_fail(f->ctx, -errno, "%s: %s", path, strerror(errno));
	while (!err && fscanf(procs, "%d", &pid) == 1)
		err = frames_add_process(f, pid, owner);
	fclose(procs);
	return err;
}

void frames_histogram(struct frames *f, const char *coords)
{
	uint64_t *count = calloc(UINT16_MAX + 1, sizeof(*count)), i;
	struct jbuf b = {};
	const char *sep = "";

	if (!count)
		return;
	for (i = 0; i < f->max; i++)
		count[f->degree[i]]++;
	jb_printf(&b, "[");
	for (i = 1; i <= UINT16_MAX; i++) {
		if (!count[i])
			continue;
		jb_printf(&b, "%s[%llu,%llu]", sep, (unsigned long long)i, (unsigned long long)count[i]);
		sep = ",";
	}
	jb_printf(&b, "]");
	wl_blob(f->ctx, "sharing", b.s, "%s", coords);
	jb_free(&b);
	free(count);
}

/* --- logical pages ------------------------------------------------------------------------------------------------------- */

struct cachestat_range {
	uint64_t off, len;
};

struct cachestat {
	uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

/* Where there is no cachestat(2). */
static int count_mincore(int fd, uint64_t pages, uint64_t *cached)
{
	unsigned char *vec = malloc(pages), *m = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	int err = 0;
	uint64_t i;

	if (!vec || m == MAP_FAILED || mincore(m, pages * PAGE, vec))
		err = -errno;
	for (i = 0; !err && i < pages; i++)
		*cached += vec[i] & 1;
	if (m != MAP_FAILED)
		munmap(m, pages * PAGE);
	free(vec);
	return err;
}

int oracle_logical(struct tree *t, const char *root, uint64_t *pages)
{
	int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	/* cachestat(2) looks at the overlay's own inode, which caches nothing; a mapping is of the file below. */
	bool overlay = !strncmp(wl_mode(t->ctx), "overlay", 7);
	unsigned int i;

	if (rootfd < 0)
		return wl_fail(t->ctx, -errno, "open %s: %s", root, strerror(errno));
	for (i = 0; !err && i < t->nr_files; i++) {
		const struct cachestat_range all = { 0, 0 };
		struct cachestat cs = {};
		int fd;

		if (!t->files[i].pages)
			continue;
		fd = openat(rootfd, t->files[i].path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			err = -errno;
		else if (!overlay && !syscall(SYS_cachestat, fd, &all, &cs, 0))
			*pages += cs.cache;
		else if (overlay || errno == ENOSYS || errno == EOPNOTSUPP)
			err = count_mincore(fd, t->files[i].pages, pages);
		else
			err = -errno;
		if (fd >= 0)
			close(fd);
		if (err)
			wl_fail(t->ctx, err, "cachestat %s/%s: %s", root, t->files[i].path, strerror(-err));
	}
	close(rootfd);
	return err;
}
