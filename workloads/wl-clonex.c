// SPDX-License-Identifier: GPL-2.0
/*
 * The model-based checker clonex (clonex.h) on the file system under test. One check record: "clonex". What a failure is made of, the
 * history of the bytes and the shortest list of operations, is in info records and on the console; the list can be given to the
 * program clonex with --replay.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clonex.h"
#include "tree.h"
#include "workload.h"

#define CGROUP	"/sys/fs/cgroup/clonex"
#define DELAYS	"/sys/module/shcache/parameters/delay_*"
#define DELAY_MS 1500u		/* how long each of them is on */

static void say(void *arg, bool progress, const char *line)
{
	struct wl_ctx *ctx = arg;
	static unsigned int lines;
	char key[32];

	if (progress) {
		wl_progress(ctx, 0, 0, line);
		return;
	}
	fprintf(stderr, "clonex: %s\n", line);
	/* A key holds one value. */
	snprintf(key, sizeof(key), "clonex-%03u", lines++);
	wl_info(ctx, key, "%s", line);
}

/* A control group of its own, whose memory can be reclaimed. Without one that operation is left out. */
static void enter_cgroup(void)
{
	int fd;

	mkdir(CGROUP, 0755);
	fd = open(CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		fprintf(stderr, "clonex: cannot enter %s: %s\n", CGROUP, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* A process that switches on what delays the kernel can inject, one after the other. 0: none. */
static pid_t start_delays(struct wl_ctx *ctx, const char *ms)
{
	pid_t pid;
	glob_t g;
	size_t i;

	if (!strcmp(ms, "0"))
		return 0;
	if (glob(DELAYS, 0, NULL, &g)) {
		wl_info(ctx, "delays", "this kernel injects none");
		return 0;
	}
	wl_info(ctx, "delays", "%zu of %s ms", g.gl_pathc, ms);
	pid = fork();
	for (i = 0; !pid; i = (i + 1) % g.gl_pathc) {
		cx_put(g.gl_pathv[i], ms);
		usleep(DELAY_MS * 1000);
		cx_put(g.gl_pathv[i], "0");
	}
	globfree(&g);
	return pid > 0 ? pid : 0;
}

static void end_delays(pid_t pid)
{
	glob_t g;
	size_t i;

	if (!pid)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (glob(DELAYS, 0, NULL, &g))
		return;
	for (i = 0; i < g.gl_pathc; i++)
		cx_put(g.gl_pathv[i], "0");
	globfree(&g);
}

static int run(struct wl_ctx *ctx)
{
	struct cx_config c = {
		.dir = TREE_MNT,
		.files = (unsigned int)wl_u64(ctx, "files"),
		.size = (uint32_t)wl_u64(ctx, "size"),
		.ops = wl_u64(ctx, "ops"),
		.epoch = (unsigned int)wl_u64(ctx, "epoch_ops"),
		.first_epoch = wl_u64(ctx, "epoch"),
		.seconds = (unsigned int)wl_u64(ctx, "seconds"),
		.minimize = (unsigned int)wl_u64(ctx, "minimize"),
		.procs = (unsigned int)wl_u64(ctx, "procs"),
		.threads = (unsigned int)wl_u64(ctx, "threads"),
		.corrupt = (unsigned int)wl_u64(ctx, "corrupt"),
		.say = say,
		.arg = ctx,
	};
	static struct cx_stats s;
	struct tree *t;
	pid_t delays;
	int err;

	c.seed = wl_u64(ctx, "seed");
	if (!c.seed)
		c.seed = wl_seed(ctx);
	if (!cx_features(wl_str(ctx, "without"), &c.without))
		return wl_fail(ctx, -EINVAL, "parameter without: \"%s\" holds a name that is not known", wl_str(ctx, "without"));
	if (!c.ops && !c.seconds)
		return wl_fail(ctx, -EINVAL, "parameters ops and seconds: one of them must say where to end");
	err = tree_create_empty(ctx, &t);
	if (err)
		return err;
	enter_cgroup();
	delays = start_delays(ctx, wl_str(ctx, "delay"));
	err = c.procs ? cx_concurrent(&c, &s) : cx_sequential(&c, &s);
	end_delays(delays);
	tree_say_counters(ctx);
	if (err && err != -EUCLEAN)
		return wl_fail(ctx, err, "clonex: %s", s.why[0] ? s.why : strerror(-err));
	if (!c.procs)
		cx_say_kinds(&c, &s);
	wl_check(ctx, "clonex", !err, "%s", s.why);
	wl_sample(ctx, "clonex_ops", (double)(s.ops + s.changes), "");
	wl_sample(ctx, "clonex_looks", (double)s.looks, "");
	wl_sample(ctx, "clonex_bytes", (double)s.bytes, "");
	wl_info(ctx, "rate", "%.0f operations/s", (double)(s.ops + s.changes) / (s.seconds > 0 ? s.seconds : 1));
	/* What failed may have left anything behind. */
	return err ? 0 : tree_destroy(t);
}

static const struct wl_param params[] = {
	{ "seed", "0", "of the operations; 0: the run's" },
	{ "ops", "0", "how many operations; 0: for `seconds`" },
	{ "seconds", "20", "how long at most, s; 0: until `ops` are done" },
	{ "files", "6", "files; of each process if there are several" },
	{ "size", "256k", "how large a file becomes, bytes" },
	{ "procs", "0", "0: one process and a model; else that many processes that clone and read each other's files" },
	{ "threads", "1", "more threads of each of them, which only look" },
	{ "epoch", "0", "where to begin" },
	{ "epoch_ops", "2000", "operations between two fresh starts" },
	{ "minimize", "60", "how long a shorter failing list is looked for, s" },
	{ "without", "", "what is not to be used: names as in clonex --help" },
	{ "delay", "0", "ms; not 0: each delay that the kernel can inject is on for a while, one after the other" },
	{ "corrupt", "0", "changes a byte behind the model's back as that operation of each epoch" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "clonex_ops", "count", WL_INFO, 0, 0, "operations carried out" },
	{ "clonex_looks", "count", WL_INFO, 0, 0, "looks of readers in the concurrent mode" },
	{ "clonex_bytes", "bytes", WL_INFO, 0, 0, "bytes compared with the model" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_clonex = {
	.name = "clonex",
	.summary = "random operations on files that share extents, all reads compared with a model",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_clonex);
