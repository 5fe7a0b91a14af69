// SPDX-License-Identifier: GPL-2.0
/*
 * fio on the clones' files: a load that was not written for this project.
 *
 * Jobs, one fio process each, on the largest file of the image in every clone:
 *
 *   seqread    sequential read(2), 64 KiB          randread   random read(2), 4 KiB
 *   mmapread   random reads, mmap engine, 4 KiB    mixed      random reads and writes, 4 KiB, verified (crc32c) by fio
 *
 * The work is fixed (io_size, never time), the seed is the job's. fio's own JSON travels as blob "fio"; iops, bandwidth and the
 * 99th percentile of the completion latency are samples as well. After everything golden must be unchanged (check "content"), although
 * the clones were written.
 *
 * Limits: fio's clock reads are part of its latencies, and its start is not. cold: each job starts with dropped caches.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pick.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define OUT		"/tmp/fio.json"
#define LOG		"/tmp/fio.log"
#define MAX_CLONES	16
#define MAX_ARGS	32
#define JSON_MAX	(2u << 20)

static const struct fio_job {
	const char *name;
	const char *args[8];
	bool reads, writes;
} jobs[] = {
	{ "seqread",  { "--rw=read", "--bs=64k", "--ioengine=psync" }, true, false },
	{ "randread", { "--rw=randread", "--bs=4k", "--ioengine=psync" }, true, false },
	{ "mmapread", { "--rw=randread", "--bs=4k", "--ioengine=mmap" }, true, false },
	{ "mixed",    { "--rw=randrw", "--bs=4k", "--ioengine=psync", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1",
			"--verify_backlog=0" }, true, true },
};

static const struct {
	const char *metric, *key;
} headlines[] = {
	{ "fio_iops", "\"iops\"" },
	{ "fio_bw", "\"bw_bytes\"" },
};

/* The number after `key :` at or after p; -1 if there is none. */
static double number_after(const char *p, const char *key)
{
	p = p ? strstr(p, key) : NULL;
	if (!p)
		return -1;
	p += strlen(key);
	return strtod(p + strspn(p, " :"), NULL);
}

static void emit(struct wl_ctx *ctx, const struct fio_job *j, const char *json, unsigned int clones, const char *dir)
{
	char key[16];
	const char *p;
	unsigned int i;
	double v;

	snprintf(key, sizeof(key), "\"%s\"", dir);
	p = strstr(json, "\"jobs\"");
	p = p ? strstr(p, key) : NULL;
	for (i = 0; i < sizeof(headlines) / sizeof(headlines[0]); i++) {
		v = number_after(p, headlines[i].key);
		if (v >= 0)
			wl_sample(ctx, headlines[i].metric, v, "job=%s dir=%s clones=%u", j->name, dir, clones);
	}
	p = p ? strstr(p, "\"clat_ns\"") : NULL;
	p = p ? strstr(p, "\"percentile\"") : NULL;
	v = number_after(p, "\"99.000000\"");
	if (v >= 0)
		wl_sample(ctx, "fio_clat_p99", v, "job=%s dir=%s clones=%u", j->name, dir, clones);
}

static char *read_text(const char *path, size_t max)
{
	char *text = malloc(max + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0 || !text) {
		free(text);
		return NULL;
	}
	while (len < max && (n = read(fd, text + len, max - len)) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return text;
}

/* fio's last words, on one line. */
static int fio_failed(struct wl_ctx *ctx, const char *job, int status)
{
	char *text = read_text(LOG, 4096), *p;
	int err;

	for (p = text; p && *p; p++)
		if (*p == '\n')
			*p = ' ';
	err = wl_fail(ctx, -EIO, "fio job %s ended with %s %d: %s", job, WIFEXITED(status) ? "exit status" : "signal",
		      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), text && *text ? text : "no output");
	free(text);
	return err;
}

static int run_job(struct wl_ctx *ctx, const struct fio_job *j, const char *files, uint64_t bytes, unsigned int clones)
{
	char name[64], filename[8192], size[64], io_size[64], seed[64];
	const char *argv[MAX_ARGS];
	unsigned int n = 0, i;
	int status, fd;
	char *json;
	pid_t pid;

	snprintf(name, sizeof(name), "--name=%s", j->name);
	snprintf(filename, sizeof(filename), "--filename=%s", files);
	/* size is that of all files together, io_size what is transferred. */
	snprintf(size, sizeof(size), "--size=%llu", (unsigned long long)bytes * clones);
	snprintf(io_size, sizeof(io_size), "--io_size=%llu", (unsigned long long)wl_u64(ctx, "io_size"));
	snprintf(seed, sizeof(seed), "--randseed=%llu", (unsigned long long)wl_seed(ctx));
	argv[n++] = "fio";
	argv[n++] = name;
	argv[n++] = filename;
	argv[n++] = size;
	argv[n++] = io_size;
	argv[n++] = seed;
	argv[n++] = "--thread";
	argv[n++] = "--group_reporting";
	argv[n++] = "--output-format=json";
	argv[n++] = "--output=" OUT;
	argv[n++] = "--file_service_type=roundrobin";
	argv[n++] = "--fallocate=none";
	argv[n++] = "--invalidate=0";
	argv[n++] = "--disk_util=0";
	argv[n++] = "--overwrite=1";
	argv[n++] = "--aux-path=/tmp";
	for (i = 0; j->args[i]; i++)
		argv[n++] = j->args[i];
	argv[n] = NULL;

	tree_drop_caches();
	unlink(OUT);
	pid = fork();
	if (pid < 0)
		return wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	if (!pid) {
		fd = open(LOG, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
		}
		if (!chdir("/tmp"))
			execvp("fio", (char *const *)argv);
		dprintf(2, "fio: %s", strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		return fio_failed(ctx, j->name, status);
	json = read_text(OUT, JSON_MAX);
	if (!json || !strchr(json, '{')) {
		free(json);
		return wl_fail(ctx, -EIO, "fio job %s left no JSON in " OUT, j->name);
	}
	/* fio may put notes before its JSON. */
	wl_blob(ctx, "fio", strchr(json, '{'), "job=%s clones=%u", j->name, clones);
	if (j->reads)
		emit(ctx, j, json, clones, "read");
	if (j->writes)
		emit(ctx, j, json, clones, "write");
	free(json);
	return 0;
}

static int run(struct wl_ctx *ctx)
{
	unsigned int n = wl_u64(ctx, "n"), i, k;
	const char *list = wl_str(ctx, "jobs");
	char files[8192] = "";
	unsigned char *golden;
	struct tree *t;
	struct pick p;
	size_t len = 0;
	int err;

	if (!n || n > MAX_CLONES)
		return wl_fail(ctx, -EINVAL, "param n: 1..%u", MAX_CLONES);
	err = tree_create(ctx, &t);
	if (!err)
		err = tree_clone_to(t, n);
	if (!err)
		err = pick_make(ctx, t, wl_u64(ctx, "pages"), AROUND_PAGES, &p);
	if (err)
		return err;
	for (k = 0; k < n; k++) {
		len += snprintf(files + len, sizeof(files) - len, "%s%s/%s", k ? ":" : "", tree_root(t, k), p.files[0].path);
		if (len >= sizeof(files))
			return wl_fail(ctx, -ENAMETOOLONG, "too many clones for fio's list of files");
	}
	mkdir("/tmp", 01777);
	for (i = 0; i < sizeof(jobs) / sizeof(jobs[0]) && !err; i++) {
		wl_progress(ctx, i, sizeof(jobs) / sizeof(jobs[0]), jobs[i].name);
		if (listed(list, jobs[i].name))
			err = run_job(ctx, &jobs[i], files, p.files[0].pages * PAGE, n);
	}
	if (err)
		return err;

	/* fio verified its own writes; whether they stayed where they belong is seen in golden, cached and on the device. */
	golden = resident_alloc(p.pages * PAGE);
	if (!golden)
		return wl_fail(ctx, -ENOMEM, "no memory for %llu pages", (unsigned long long)p.pages);
	for (k = 0; k < 2 && !err; k++) {
		err = pick_open(&p, tree_golden(t), O_RDONLY);
		for (i = 0; i < p.nr && !err; i++)
			if (pread(p.files[i].fd, golden + p.files[i].first * PAGE, p.files[i].pages * PAGE, 0) < 0)
				err = wl_fail(ctx, -errno, "read %s: %s", p.files[i].path, strerror(errno));
		pick_close(&p);
		if (!err)
			wl_check(ctx, "content", pick_same(&p, golden), "golden after fio%s", k ? ", from the device" : "");
		tree_drop_caches();
	}
	return err ? err : tree_destroy(t);
}

static const struct wl_param params[] = {
	{ "n", "3", "clones, all of which fio uses" },
	{ "pages", "512", "pages of the file, which is the image's largest" },
	{ "io_size", "4M", "bytes that each job transfers" },
	{ "jobs", "all", "seqread, randread, mmapread, mixed" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "fio_iops", "1/s", WL_HIGHER, 0.05, 0, "fio: operations per second" },
	{ "fio_bw", "bytes/s", WL_HIGHER, 0.05, 0, "fio: bandwidth" },
	{ "fio_clat_p99", "ns", WL_LOWER, 0.1, 1000, "fio: 99th percentile of the completion latency" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_fio = {
	.name = "fio",
	.summary = "fio on the clones' files: sequential, random, mmap, verified mixed reads and writes",
	.needs = WL_NEEDS_FS,
	.tools = "fio",
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_fio);
