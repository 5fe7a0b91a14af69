// SPDX-License-Identifier: GPL-2.0
/*
 * How much page cache N containers need that have the same image.
 *
 * For each way of access the containers are started up to the largest N, in steps, and each one uses its whole tree when it
 * starts; at each step everything is measured while all of them are alive:
 *
 *   access    what a container does                          where unique_frames comes from
 *   read      read(2) of every file                          a walk that maps every page of every clone
 *   mmap      maps every file, touches every page            the containers' own mappings
 *   programs  starts real programs, which stay               page flags, less metadata (see below)
 *
 * Programs use a part of the image that nobody can list: what they read without mapping is visible in no mapping, and where
 * clones share frames also in no clone's own cache. So the number is that of the page-flag scan; what the mappings and mincore
 * can show is the lower bound it is checked against, and the two must be equal as long as nothing is shared behind mincore's
 * back (metric "hidden_frames").
 *
 * Between two ways of access all containers are stopped and the caches dropped; the level must then be what it was
 * (check "no-leak"). All contents are hashed as the containers see them (check "content-seen"), and some clones, golden and
 * the device once more at the end (check "content").
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "oracle.h"
#include "programs.h"
#include "reader.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_N		500
#define MAX_STEPS	32
#define DROP_ROUNDS	5
#define SLAB_STABLE	(64 << 10)	/* bytes */

enum access_way { ACCESS_READ, ACCESS_MMAP, ACCESS_PROGRAMS, NR_ACCESS };
static const char *const access_names[NR_ACCESS] = { "read", "mmap", "programs" };

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	enum access_way access;
	uint64_t step[MAX_STEPS];
	unsigned int nr_steps;
	const struct program *programs[PROGRAMS_MAX];
	int nr_programs;
	unsigned int heavy_every;		/* rotate: see turn_of() */
	bool rotate;
	uint64_t expected;			/* hash of what readers see */
	struct container (*c)[PROGRAMS_MAX];	/* [0]: the container, the others joined it */
	unsigned int started, wrong;		/* wrong: saw other data */
	struct oracle_level before;
	uint64_t one_copy;			/* pages; 0: not known */
};

static int start_reader(struct state *s, unsigned int k)
{
	const struct container_spec spec = { .fn = reader_main, .arg = s->t };
	struct container *c = &s->c[k][0];
	struct answer a;
	int err = container_start(s->t, k, &spec, c);

	if (!err)
		err = container_send(c, s->access == ACCESS_MMAP ? READER_MAP : READER_READ, 0);
	if (!err)
		err = container_receive(c, &a);
	if (!err)
		s->wrong += a.v[0] != s->expected;
	return err;
}

/* Which program container k runs when they rotate. The first one, python3, takes five times as long to start as the others. */
static int turn_of(const struct state *s, unsigned int k)
{
	unsigned int nr = (unsigned int)s->nr_programs;

	if (!s->heavy_every || nr < 2)
		return (int)(k % nr);
	return k % s->heavy_every ? (int)(1 + (k - k / s->heavy_every - 1) % (nr - 1)) : 0;
}

static int start_programs(struct state *s, unsigned int k)
{
	int i, n = s->rotate ? 1 : s->nr_programs, err = 0;

	for (i = 0; !err && i < n; i++) {
		const struct program *p = s->programs[s->rotate ? turn_of(s, k) : i];

		err = program_start(s->t, k, p, i ? &s->c[k][0] : NULL, &s->c[k][i]);
		if (!err)
			err = program_ready(p, &s->c[k][i]);
	}
	return err;
}

static void stop_all(struct state *s)
{
	unsigned int k;
	int i;

	for (k = 0; k < s->started; k++)
		for (i = PROGRAMS_MAX; i-- > 0;)
			container_stop(&s->c[k][i]);
	s->started = 0;
}

/* Finds the frames of the first n containers' trees as the access allows, into f. */
static int find_frames(struct state *s, unsigned int n, struct frames *f)
{
	unsigned int k;
	int err = 0;

	for (k = 0; !err && k < n; k++) {
		if (s->access == ACCESS_READ)
			err = frames_add_tree(f, s->t, tree_root(s->t, k), k + 1, false);
		else
			err = frames_add_cgroup(f, s->c[k][0].cgroup, k + 1);
		if (!err && k % 16 == 15)
			wl_progress(s->ctx, k + 1, n, "walking");
	}
	if (err || s->access != ACCESS_PROGRAMS)
		return err;
	/* A program's files that are in the cache but not mapped; and nothing but these, so without fault-around. */
	err = fault_around_set(s->ctx, AROUND_OFF);
	for (k = 0; !err && k < n; k++)
		err = frames_add_tree(f, s->t, tree_root(s->t, k), k + 1, true);
	return err ? err : fault_around_set(s->ctx, AROUND_DEFAULT);
}

/* Memory that is charged to the containers. */
static void emit_charges(struct state *s, unsigned int n, const char *x)
{
	uint64_t sum = 0, max = 0, file = 0;
	unsigned int k;

	for (k = 0; k < n; k++) {
		uint64_t v = cgroup_value(s->c[k][0].cgroup, "memory.current", NULL);

		sum += v;
		max = v > max ? v : max;
		file += cgroup_value(s->c[k][0].cgroup, "memory.stat", "file");
	}
	wl_sample(s->ctx, "cgroup_charge", (double)sum, "%s of=sum", x);
	wl_sample(s->ctx, "cgroup_charge", (double)max, "%s of=largest", x);
	wl_sample(s->ctx, "cgroup_file", (double)file, "%s", x);
}

static double used(uint64_t before, uint64_t now)
{
	return (double)before - (double)now;
}

static void emit_levels(struct state *s, const struct oracle_level *now, const char *x)
{
	const struct oracle_level *b = &s->before;

	wl_sample(s->ctx, "file_pages", -used(b->file_pages, now->file_pages), "%s", x);
	wl_sample(s->ctx, "memavailable_used", used(b->available_bytes, now->available_bytes), "%s", x);
	wl_sample(s->ctx, "memfree_used", used(b->free_bytes, now->free_bytes), "%s", x);
	wl_sample(s->ctx, "slab_bytes", -used(b->slab_bytes, now->slab_bytes), "%s", x);
	wl_sample(s->ctx, "pagetable_bytes", -used(b->pagetable_bytes, now->pagetable_bytes), "%s", x);
}

/* Does mincore show less than there is? On a kernel whose clones share nothing it must show all. */
static uint64_t judge_programs(struct state *s, const struct oracle_level *now, const struct frames *f, unsigned int n,
			       const char *x)
{
	int64_t unique = (int64_t)(now->scanned - s->before.scanned) - (int64_t)(now->metadata - s->before.metadata);
	int64_t hidden = unique - (int64_t)f->unique;
	int64_t slack = (int64_t)oracle_slack(&s->before, now), links = 0;

	/* btrfs keeps the target of a symbolic link in a page, which no mapping can show. */
	if (!strcmp(wl_fs(s->ctx), "btrfs"))
		links = (int64_t)(s->t->nr_entries - s->t->nr_files) * n;
	wl_check(s->ctx, "oracles-agree", hidden >= -slack,
		 "%s: page flags %lld frames of files, of which mappings and mincore find %llu, slack %lld", x, (long long)unique,
		 (unsigned long long)f->unique, (long long)slack);
	wl_sample(s->ctx, "hidden_frames", hidden > slack + links ? (double)hidden : 0, "%s", x);
	return unique > 0 ? (uint64_t)unique : 0;
}

static int measure(struct state *s, unsigned int n)
{
	struct oracle_level now, after;
	uint64_t logical = 0, unique;
	struct frames f;
	unsigned int k;
	char x[64];
	int err;

	snprintf(x, sizeof(x), "n=%u access=%s", n, access_names[s->access]);
	wl_progress(s->ctx, n, s->step[s->nr_steps - 1], "measuring");
	/* In this order: levels and charges before anything that a walk might change. */
	err = oracle_level(s->ctx, &now);
	if (err)
		return err;
	emit_charges(s, n, x);
	for (k = 0; !err && k < n; k++)
		err = oracle_logical(s->t, tree_root(s->t, k), &logical);
	if (!err)
		err = frames_begin(s->ctx, &f);
	if (err)
		return err;
	err = find_frames(s, n, &f);
	if (!err)
		err = oracle_level(s->ctx, &after);
	if (err)
		goto out;
	unique = f.unique;
	if (s->access == ACCESS_PROGRAMS)
		unique = judge_programs(s, &now, &f, n, x);
	else
		oracle_agree(s->ctx, &s->before, &now, unique, x);
	wl_check(s->ctx, "walk-adds-nothing",
		 after.file_pages <= now.file_pages + oracle_slack(&now, &after), "%s: %llu pages before the walk, %llu after", x,
		 (unsigned long long)now.file_pages, (unsigned long long)after.file_pages);
	wl_sample(s->ctx, "unique_frames", (double)unique, "%s", x);
	wl_sample(s->ctx, "logical_pages", (double)logical, "%s", x);
	/* What programs use of one copy, the first container shows, if it runs them all. */
	if (s->access != ACCESS_PROGRAMS)
		s->one_copy = s->t->pages;
	else if (n == 1 && !s->rotate)
		s->one_copy = unique;
	if (s->one_copy)
		wl_sample(s->ctx, "one_copy_pages", (double)s->one_copy, "%s", x);
	emit_levels(s, &now, x);
	frames_histogram(&f, x);
out:
	frames_end(&f);
	return err;
}

/* After everything is stopped and dropped, the level must be what it was. */
static int check_leak(struct state *s)
{
	struct oracle_level end;
	int64_t left;
	uint64_t slack;
	int err;

	settle(TREE_MNT);
	tree_drop_caches();
	err = oracle_level(s->ctx, &end);
	if (err)
		return err;
	left = (int64_t)(end.file_pages - s->before.file_pages) - (int64_t)(end.metadata - s->before.metadata);
	slack = oracle_slack(&s->before, &end);
	wl_check(s->ctx, "no-leak", left <= (int64_t)slack, "access=%s: %lld file pages left, slack %llu",
		 access_names[s->access], (long long)left, (unsigned long long)slack);
	return 0;
}

/*
 * Brings caches down to where they stay, and takes that level. What a mount or thousands of clones have left in slab caches goes
 * in several rounds: inodes are freed by workers and through RCU.
 */
static int lowest_level(struct state *s)
{
	uint64_t slab = UINT64_MAX;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < DROP_ROUNDS; i++) {
		settle(TREE_MNT);
		tree_drop_caches();
		err = oracle_level(s->ctx, &s->before);
		if (s->before.slab_bytes + SLAB_STABLE >= slab)
			break;
		slab = s->before.slab_bytes;
	}
	return err;
}

static int run_access(struct state *s)
{
	unsigned int i;
	int err;

	s->one_copy = 0;
	s->wrong = 0;
	err = lowest_level(s);
	for (i = 0; !err && i < s->nr_steps; i++) {
		while (!err && s->started < s->step[i]) {
			unsigned int k = s->started++;

			err = s->access == ACCESS_PROGRAMS ? start_programs(s, k) : start_reader(s, k);
			wl_progress(s->ctx, s->started, s->step[s->nr_steps - 1], access_names[s->access]);
		}
		if (!err)
			err = measure(s, (unsigned int)s->step[i]);
	}
	if (!err && s->access != ACCESS_PROGRAMS)
		wl_check(s->ctx, "content-seen", !s->wrong, "access=%s: %u of %u containers saw wrong data",
			 access_names[s->access], s->wrong, s->started);
	stop_all(s);
	return err ? err : check_leak(s);
}

static int parse(struct state *s, bool *wanted)
{
	const char *list = wl_str(s->ctx, "access"), *w;
	unsigned int i;

	s->nr_steps = wl_list(s->ctx, "n", s->step, MAX_STEPS);
	for (i = 0; i < s->nr_steps; i++)
		if (!s->step[i] || s->step[i] > MAX_N || (i && s->step[i] <= s->step[i - 1]))
			return wl_fail(s->ctx, -EINVAL, "parameter n: ascending numbers in 1..%u", MAX_N);
	if (!s->nr_steps)
		return wl_fail(s->ctx, -EINVAL, "parameter n is empty");
	for (w = list; *w; w += strcspn(w, ","), w += *w == ',') {
		for (i = 0; i < NR_ACCESS; i++)
			if (strcspn(w, ",") == strlen(access_names[i]) && !strncmp(w, access_names[i], strlen(access_names[i])))
				break;
		if (i == NR_ACCESS)
			return wl_fail(s->ctx, -EINVAL, "parameter access: \"%s\" is not a list of read, mmap, programs", list);
		wanted[i] = true;
	}
	return 0;
}

/* Some clones: the first, the last, and seeded ones between. */
static int verify(struct state *s, unsigned int n, uint64_t some)
{
	uint64_t rng = wl_seed(s->ctx), i;
	int err = 0;

	for (i = 0; !err && i < some && i < n; i++) {
		unsigned int k = i == 0 ? 0 : i == 1 ? n - 1 : (unsigned int)(wl_rand(&rng) % n);

		err = tree_verify(s->t, "after all", k, k + 1);
	}
	return err;
}

/* Makes the clones, and says what they alone have left in the page cache for good: nothing, if all is well. */
static int make_clones(struct state *s, unsigned int n)
{
	struct oracle_level alone;
	int err = lowest_level(s);

	alone = s->before;
	if (!err)
		err = tree_clone_to(s->t, n);
	if (!err)
		err = lowest_level(s);
	/* btrfs keeps its trees in the page cache: how many pages of them are left says nothing. */
	if (!err && strcmp(wl_fs(s->ctx), "btrfs"))
		wl_sample(s->ctx, "clone_pages", -used(alone.file_pages, s->before.file_pages), "n=%u", n);
	return err;
}

static int run(struct wl_ctx *ctx)
{
	struct state s = { .ctx = ctx };
	bool wanted[NR_ACCESS] = { false };
	unsigned int n, a;
	int err = parse(&s, wanted);

	if (err)
		return err;
	n = (unsigned int)s.step[s.nr_steps - 1];
	err = tree_create(ctx, &s.t);
	if (!err && wanted[ACCESS_PROGRAMS]) {
		s.nr_programs = programs_select(s.t, wl_str(ctx, "programs"), s.programs);
		s.rotate = !strcmp(wl_str(ctx, "programs"), "rotate");
		s.heavy_every = (unsigned int)wl_u64(ctx, "heavy_every");
		err = s.nr_programs < 0 ? s.nr_programs : 0;
	}
	if (!err)
		err = make_clones(&s, n);
	if (!err)
		err = reader_expected(s.t, &s.expected);
	s.c = calloc(n, sizeof(*s.c));
	if (!err && !s.c)
		err = wl_fail(ctx, -ENOMEM, "no memory for %u containers", n);
	for (a = 0; !err && a < NR_ACCESS; a++) {
		s.access = a;
		if (wanted[a])
			err = run_access(&s);
	}
	if (!err)
		err = verify(&s, n, wl_u64(ctx, "verify"));
	free(s.c);
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "n", "1,2,5,10", "numbers of containers at which to measure, ascending, at most 500" },
	{ "access", "read,mmap", "what containers do: a list of read, mmap, programs" },
	{ "programs", "all", "access=programs: all (in each container), rotate (one in each), or names: python3,redis,nginx" },
	{ "heavy_every", "0", "programs=rotate: python3 in every n-th container only; 0: in turn with the others" },
	{ "verify", "3", "clones whose content is hashed once more at the end" },
	{ }
};

static const struct wl_metric metrics[] = {
	{ "unique_frames", "pages", WL_LOWER, 0.01, 32, "page frames that hold file data, each counted once" },
	{ "clone_pages", "pages", WL_LOWER, 0, 0, "pages that making the clones has left in the cache, where dropping caches cannot reach them (not on btrfs)" },
	{ "one_copy_pages", "pages", WL_INFO, 0, 0, "pages that one container uses: what perfect sharing needs" },
	{ "logical_pages", "pages", WL_INFO, 0, 0, "sum of cached pages over all files of all clones, as cachestat says" },
	{ "hidden_frames", "pages", WL_INFO, 0, 0, "programs: cached frames that neither mincore nor a mapping shows, beyond the slack" },
	{ "file_pages", "pages", WL_LOWER, 0.01, 64, "growth of NR_FILE_PAGES without shared memory" },
	{ "memavailable_used", "bytes", WL_INFO, 0, 0, "fall of MemAvailable since before the first container" },
	{ "memfree_used", "bytes", WL_INFO, 0, 0, "fall of MemFree: everything, also page tables and the containers themselves" },
	{ "slab_bytes", "bytes", WL_LOWER, 0.25, 4 << 20, "growth of Slab" },
	{ "pagetable_bytes", "bytes", WL_LOWER, 0.05, 256 << 10, "growth of PageTables" },
	{ "cgroup_charge", "bytes", WL_INFO, 0, 0, "memory.current of the containers: their sum and the largest" },
	{ "cgroup_file", "bytes", WL_INFO, 0, 0, "sum of \"file\" in the containers' memory.stat" },
	{ }
};

static const struct workload footprint = {
	.name = "footprint",
	.summary = "page cache of N containers with the same image, by what they do",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(footprint);
