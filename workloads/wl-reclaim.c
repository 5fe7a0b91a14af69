// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to reclaim pages that many processes map: n processes map the same data, then their control group, which is one for all, is told
 * to reclaim until nothing of it is mapped. The reverse map walk is what grows with n.
 *
 *   kind=file     n processes map the files of one tree: what any kernel has
 *   kind=clones   each maps the files of its own clone: a copy for each, or one for all that is found through n files
 *
 * "reclaim" is the time inside memory.reclaim per page table entry that was unmapped (n x pages in both kinds), so that kind=clones of a kernel
 * that shares can be compared with kind=file of one that does not. Reclaim must get there (check "reclaimed"), and what is mapped afterwards must
 * be what it was (check "content").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container.h"
#include "pick.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_N		500
#define MAX_TRIES	64
#define GROUP		CONTAINER_CGROUP "/reclaim"

struct kid {
	bool ready, failed, same;
};

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	struct pick p;
	volatile struct kid *kids;	/* shared */
	pid_t pid[MAX_N];
	unsigned int started;
};

/* Maps, touches, waits until the other end of go is closed, and looks again. */
static void kid_main(struct state *s, const char *root, int go, volatile struct kid *me)
{
	char text[16], c;

	snprintf(text, sizeof(text), "%d", (int)getpid());
	me->failed = cgroup_write(s->ctx, GROUP, "cgroup.procs", text) || pick_open(&s->p, root, O_RDONLY) ||
		     pick_map(&s->p, PROT_READ, MAP_SHARED, MADV_NORMAL) || !pick_same(&s->p, s->p.area);
	me->ready = true;
	while (read(go, &c, 1) > 0)
		;
	me->same = !me->failed && pick_same(&s->p, s->p.area);
	_exit(0);
}

/* One after the other, so that what is charged and counted does not depend on the order in which they run. */
static int start_all(struct state *s, bool clones, unsigned int n, const int go[2])
{
	for (s->started = 0; s->started < n; s->started++) {
		volatile struct kid *kid = &s->kids[s->started];
		pid_t pid = fork();

		if (pid < 0)
			return wl_fail(s->ctx, -errno, "fork: %s", strerror(errno));
		if (!pid) {
			close(go[1]);
			kid_main(s, tree_root(s->t, clones ? s->started : 0), go[0], kid);
		}
		s->pid[s->started] = pid;
		while (!kid->ready)
			usleep(1000);
		if (kid->failed)
			return wl_fail(s->ctx, -EIO, "process %u could not map its files, or saw wrong data", s->started);
	}
	return 0;
}

static uint64_t mapped_pages(void)
{
	return cgroup_value(GROUP, "memory.stat", "file_mapped") / PAGE;
}

/* Reclaims until next to nothing is mapped: what is left in the end are the processes' own few pages. Returns the time. */
static uint64_t reclaim(struct state *s, int fd, uint64_t before, uint64_t *left, unsigned int *tries)
{
	uint64_t ns = 0, t0;
	char text[32];
	int len;

	*left = before;
	for (*tries = 0; *left > before / 50 && *tries < MAX_TRIES; ++*tries) {
		len = snprintf(text, sizeof(text), "%llu", (unsigned long long)*left * PAGE);
		timing_quiet(s->ctx);
		t0 = wl_now(s->ctx);
		/* EAGAIN: less than asked for. Any other error shows as what is left. */
		if (write(fd, text, (size_t)len) < 0 && errno != EAGAIN)
			break;
		ns += wl_now(s->ctx) - t0;
		*left = mapped_pages();
	}
	return ns;
}

static int measure(struct state *s, bool clones, unsigned int n)
{
	const char *kind = clones ? "clones" : "file";
	uint64_t before = 0, left = 0, ns = 0;
	unsigned int tries = 0, k;
	int go[2], fd, err;
	bool same = true;

	tree_drop_caches();
	memset((void *)s->kids, 0, n * sizeof(*s->kids));
	fd = open(GROUP "/memory.reclaim", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return wl_skip(s->ctx, "%s/memory.reclaim: %s", GROUP, strerror(errno));
	if (pipe2(go, O_CLOEXEC)) {
		close(fd);
		return wl_fail(s->ctx, -errno, "pipe: %s", strerror(errno));
	}
	err = start_all(s, clones, n, go);
	if (!err) {
		before = mapped_pages();
		ns = reclaim(s, fd, before, &left, &tries);
	}
	close(go[1]);
	for (k = 0; k < s->started; k++) {
		waitpid(s->pid[k], NULL, 0);
		same &= s->kids[k].same;
	}
	close(go[0]);
	close(fd);
	if (err)
		return err;
	wl_sample(s->ctx, "reclaim", (double)ns / (double)(n * s->p.pages), "kind=%s n=%u", kind, n);
	wl_sample(s->ctx, "mapped_pages", (double)before, "kind=%s n=%u", kind, n);
	wl_check(s->ctx, "reclaimed", left <= before / 50, "kind=%s n=%u: %llu of %llu pages are still mapped after %u tries", kind, n,
		 (unsigned long long)left, (unsigned long long)before, tries);
	wl_check(s->ctx, "content", same, "mapped again after reclaim, kind=%s n=%u", kind, n);
	return 0;
}

static int run(struct wl_ctx *ctx)
{
	struct state s = { .ctx = ctx };
	uint64_t n[8], max = 0;
	unsigned int nr = wl_list(ctx, "n", n, 8), reps = (unsigned int)wl_u64(ctx, "reps"), i, total;
	int err;

	for (i = 0; i < nr; i++) {
		if (!n[i] || n[i] > MAX_N)
			return wl_fail(ctx, -EINVAL, "parameter n: 1..%d", MAX_N);
		max = n[i] > max ? n[i] : max;
	}
	if (!nr || !reps)
		return wl_fail(ctx, -EINVAL, "parameters n and reps: at least one each");
	err = tree_create(ctx, &s.t);
	if (!err)
		err = tree_clone_to(s.t, (unsigned int)max);
	if (!err)
		err = timing_begin(ctx);
	if (!err)
		err = pick_make(ctx, s.t, wl_u64(ctx, "pages"), AROUND_PAGES, &s.p);
	if (!err)
		err = cgroup_parent(ctx);
	if (!err && mkdir(GROUP, 0755))
		err = wl_fail(ctx, -errno, "mkdir %s: %s", GROUP, strerror(errno));
	s.kids = mmap(NULL, max * sizeof(*s.kids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!err && s.kids == MAP_FAILED)
		err = wl_fail(ctx, -errno, "mmap: %s", strerror(errno));
	total = nr * reps * 2;
	for (i = 0; !err && i < total; i++) {
		bool clones = i % 2;
		const char *kind = clones ? "clones" : "file";

		if (!listed(wl_str(ctx, "kinds"), kind))
			continue;
		wl_progress(ctx, i, total, kind);
		err = measure(&s, clones, (unsigned int)n[i / 2 % nr]);
	}
	if (!err)
		err = tree_verify(s.t, "after all", 0, (unsigned int)max);
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "n", "1,8,64,200", "processes that map the data: a list" },
	{ "pages", "256", "pages that each maps, taken from the image's largest files" },
	{ "kinds", "all", "file, clones" },
	{ "reps", "1", "repetitions" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "reclaim", "ns", WL_LOWER, 0.05, 20, "reclaim, per page table entry that it had to find and clear" },
	{ "mapped_pages", "pages", WL_INFO, 0, 0, "file pages that were mapped, each counted once" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_reclaim = {
	.name = "reclaim",
	.summary = "reclaim of pages that many processes map, of one file or of a clone each",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_reclaim);
