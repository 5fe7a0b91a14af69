// SPDX-License-Identifier: GPL-2.0
/*
 * What is there, what is missing, what a run will take; see doctor.h.
 *
 * Every check appends one object to a list: {"check":NAME,"state":"ok|note|missing","text":LINE, numbers ...}. The list is
 * what --json prints, and what becomes the lines for people. A run is impossible if any state is "missing".
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "deps.h"
#include "doctor.h"
#include "image.h"
#include "kernel.h"
#include "plan.h"
#include "run.h"
#include "util.h"
#include "vm.h"

#define PLAN "quick"

/*
 * For the estimate, measured with two cores at 2.6 GHz: processor seconds of a kernel's first build and of a boot with its
 * workload under TCG; how much quicker KVM is; and disk space in MB of the sources, a build tree and the Debian images.
 */
#define BUILD_CPU_S	700.0
#define BOOT_TCG_S	20.0
#define KVM_SPEEDUP	5.0
#define IMAGE_S		90.0
#define SOURCE_MB	2000
#define BUILD_MB	2000
#define IMAGE_MB	800

static json_t *add(json_t *list, const char *check, const char *state, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Returns the object, which belongs to the list, so that numbers can be added. */
static json_t *add(json_t *list, const char *check, const char *state, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *o;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o = json_pack("{s:s,s:s,s:s}", "check", check, "state", state, "text", text);
	json_array_append_new(list, o);
	return o;
}

/* --- programs and packages ---------------------------------------------------------------------------------------------- */

static void check_packages(json_t *list)
{
	struct dep *d;
	size_t nr;
	struct buf names = {};

	if (deps_missing(&d, &nr)) {
		add(list, "packages", "missing", "the check of packages did not work");
		return;
	}
	if (!nr) {
		add(list, "packages", "ok", "all needed packages are installed");
	} else {
		json_t *o, *missing = json_array();

		for (size_t i = 0; i < nr; i++) {
			buf_printf(&names, "%s%s", i ? " " : "", d[i].package);
			json_array_append_new(missing, json_pack("{s:s,s:s,s:s}", "package", d[i].package, "proof", d[i].proof, "purpose",
								 d[i].purpose));
		}
		o = add(list, "packages", "missing", "not installed: %s; `make deps` installs them as root, or says how", names.s);
		json_object_set_new(o, "missing", missing);
	}
	buf_free(&names);
	deps_free(d, nr);
}

/* First line that a command prints, or NULL. */
static char *first_line(const char *const *argv)
{
	struct buf out = {};
	struct run_opts ro = { .out = &out, .log = "/dev/null" };
	char *ret = NULL;

	if (!run_cmd(argv, &ro) && out.len)
		ret = xstrndup(out.s, strcspn(out.s, "\n"));
	buf_free(&out);
	return ret;
}

static void check_versions(json_t *list)
{
	static const char *const gcc[] = { "gcc", "--version", NULL };
	static const char *const source[] = { "dpkg-query", "-W", "-f", "${Package} ${Version}\n", "linux-source-6.12", NULL };
	static const struct {
		const char *check;
		const char *const *argv;
	} programs[] = { { "compiler", gcc }, { "kernel source", source } };
	char *s = vm_qemu_version(NULL);

	/* What is missing altogether has been reported as a package. */
	if (s)
		add(list, "qemu", "ok", "%s", s);
	free(s);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		s = first_line(programs[i].argv);
		if (s)
			add(list, programs[i].check, "ok", "%s", s);
		free(s);
	}
}

/* --- the plan: what it needs -------------------------------------------------------------------------------------------- */

struct needs {
	struct plan *plan;
	struct cell *cells;
	size_t nr_cells;
	uint64_t mem, scratch;		/* bytes, of the largest boot */
	bool debian, slim;
	unsigned int unbuilt;		/* kernels */
	struct buf ids;			/* of the kernels that were counted */
	char *bzimage;			/* one that is there, for the probe */
};

static int count_kernel(const char *name, const char *label, void *arg)
{
	struct needs *n = arg;
	struct kernel_build b = {};

	(void)label;
	if (!kernel_lookup(name, &b)) {
		/* An A/A pair names one kernel twice. */
		if (!b.bzimage && !(n->ids.len && strstr(n->ids.s, b.id)))
			n->unbuilt++;
		buf_printf(&n->ids, "%s ", b.id);
		if (b.bzimage && !n->bzimage)
			n->bzimage = xstrdup(b.bzimage);
	}
	kernel_build_free(&b);
	return 0;
}

static int load_needs(json_t *list, struct needs *n)
{
	if (plan_load(PLAN, &n->plan) || plan_expand(n->plan, NULL, &n->cells, &n->nr_cells)) {
		add(list, "plan", "missing", "the plan %s cannot be read", PLAN);
		return -EINVAL;
	}
	for (size_t i = 0; i < n->nr_cells; i++) {
		const struct cell *c = &n->cells[i];

		if (c->s->mem > n->mem)
			n->mem = c->s->mem;
		if (c->s->device_size > n->scratch)
			n->scratch = c->s->device_size;
		n->debian |= !strcmp(c->image, "debian");
		n->slim |= !strcmp(c->image, "debian-slim");
	}
	return 0;
}

static void needs_free(struct needs *n)
{
	if (n->cells)
		cells_free(n->cells, n->nr_cells);
	if (n->plan)
		plan_free(n->plan);
	free(n->bzimage);
	buf_free(&n->ids);
}

/* --- the cache ---------------------------------------------------------------------------------------------------------- */

static uint64_t tree_bytes;

static int add_bytes(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)flag;
	(void)ftw;
	tree_bytes += 512ull * st->st_blocks;
	return 0;
}

static void check_kernels(json_t *list, struct needs *n)
{
	char **names = kernel_names();
	unsigned int unbuilt = 0;
	struct buf b = {};

	for (size_t i = 0; names && names[i]; i++) {
		struct kernel_build k = {};
		int err = kernel_lookup(names[i], &k);

		if (!err && k.bzimage)
			buf_printf(&b, "%s%s", b.len ? ", " : "built: ", names[i]);
		unbuilt += !err && !k.bzimage;
		kernel_build_free(&k);
		free(names[i]);
	}
	free(names);
	if (unbuilt)
		buf_printf(&b, "%s%u not built yet (`shbench kernel list` names them)", b.len ? "; " : "", unbuilt);
	add(list, "kernels", b.len ? "ok" : "missing", "%s", b.len ? b.s : "no kernel is described in kernels/, or none can be read");
	buf_free(&b);
	if (n->plan)
		plan_each_kernel(n->plan->kernels, count_kernel, n);
}

/* Is there a Debian image, a whole or a slim one? */
static bool have_image(bool slim)
{
	char *dir = xasprintf("%s/images", cache_dir());
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d)))
		found = !strncmp(e->d_name, "debian-", 7) && strstr(e->d_name, ".json") &&
			!strncmp(e->d_name, "debian-slim-", 12) == slim;
	if (d)
		closedir(d);
	free(dir);
	return found;
}

static void check_cache(json_t *list, const struct needs *n)
{
	bool slim = have_image(true), whole = have_image(false);
	json_t *o;

	tree_bytes = 0;
	nftw(cache_dir(), add_bytes, 32, FTW_PHYS);
	if (n->debian || n->slim)
		add(list, "images", "ok", "debian-slim: %s", slim ? "made" : whole ? "will be made from the whole image, which is there" :
		    "will be made at the first run (fetches Debian packages)");
	o = add(list, "cache", "ok", "%s holds %.1f GB", cache_dir(), tree_bytes / 1e9);
	json_object_set_new(o, "bytes", json_integer(tree_bytes));
}

/* --- memory and disk ------------------------------------------------------------------------------------------------------ */

static uint64_t mem_available(void)
{
	unsigned long long kb = 0;
	char *s, *p;

	if (read_file("/proc/meminfo", &s, NULL))
		return 0;
	p = strstr(s, "MemAvailable:");
	if (p)
		sscanf(p, "MemAvailable: %llu", &kb);
	free(s);
	return kb << 10;
}

static void check_room(json_t *list, const struct needs *n)
{
	uint64_t have = mem_available(), need = n->mem + (256ull << 20), disk;
	struct statvfs fs;
	json_t *o;

	/* A guest's memory is taken as it is touched, so too little is not the end. */
	o = add(list, "memory", have >= need ? "ok" : "note", "%.1f GB available, the largest guest may take %.1f GB%s", have / 1e9,
		need / 1e9, have >= need ? "" : ": it may be killed");
	json_object_set_new(o, "available", json_integer(have));
	json_object_set_new(o, "needed", json_integer(need));
	if (statvfs(cache_dir(), &fs)) {
		add(list, "disk", "missing", "%s: %s: let SHCACHE_CACHE name a directory that can be written to", cache_dir(),
		    strerror(errno));
		return;
	}
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* Scratch disks are sparse; workloads fill a small part of them. */
	disk = n->scratch / 4;
	if (n->unbuilt)
		disk += (SOURCE_MB + n->unbuilt * BUILD_MB) * 1000000ull;
	if ((n->slim || n->debian) && !have_image(false))
		disk += IMAGE_MB * 1000000ull;
	o = add(list, "disk", have >= disk ? "ok" : "missing", "%.1f GB free, a run needs %.1f GB%s", have / 1e9, disk / 1e9,
		have >= disk ? "" : ": free some space, or let SHCACHE_CACHE name a directory elsewhere");
	json_object_set_new(o, "available", json_integer(have));
	json_object_set_new(o, "needed", json_integer(disk));
}

/* --- accelerator and duration ------------------------------------------------------------------------------------------- */

static enum vm_accel check_accel(json_t *list, const struct needs *n)
{
	char *agent = agent_path(), *initrd = NULL;
	struct accel_answer a = { .accel = ACCEL_AUTO };
	int ret = -ENOENT;
	json_t *o;

	if (!n->bzimage || !file_exists(agent)) {
		add(list, "accelerator", "note", "/dev/kvm is %s; what really boots is probed at the first run, when there is a kernel",
		    access("/dev/kvm", R_OK | W_OK) ? "not there or not allowed (TCG then, some five times slower)" : "there");
		goto out;
	}
	initrd = xasprintf("%s/probe-%d.cpio", cache_dir(), getpid());
	ret = initrd_build(initrd, agent, "proto 1\nworkload canary\nlane wall\nseed 1\n", NULL, NULL);
	if (!ret)
		ret = accel_probe(NULL, n->bzimage, initrd, ACCEL_AUTO, &a);
	unlink(initrd);
	if (ret) {
		a.accel = ACCEL_AUTO;
		add(list, "accelerator", "missing", "no guest boots: %s", a.why ? a.why : strerror(-ret));
	} else {
		o = add(list, "accelerator", "ok", "%s: %s%s", accel_name(a.accel), a.why, a.cached ? " (probed before)" : "");
		json_object_set_new(o, "accel", json_string(accel_name(a.accel)));
	}
out:
	free(a.why);
	free(initrd);
	free(agent);
	return a.accel;
}

/* A file of seconds by name in the cache, or NULL. */
static json_t *load_durations(const char *name)
{
	char *path = xasprintf("%s/%s", cache_dir(), name);
	json_t *v = file_exists(path) ? json_load_file(path, 0, NULL) : NULL;

	free(path);
	return v;
}

static void check_duration(json_t *list, const struct needs *n, enum vm_accel accel)
{
	json_t *plans = load_durations("durations.json"), *known = load_durations("cell-durations.json"), *o;
	double alone = 0, shared = 0, once, guess = BOOT_TCG_S / (accel == ACCEL_KVM ? KVM_SPEEDUP : 1), total;
	const json_t *last = json_object_get(plans, PLAN);
	int cores = get_nprocs();
	size_t guessed = 0;

	for (size_t i = 0; i < n->nr_cells; i++) {
		const struct cell *c = &n->cells[i];
		const json_t *v = json_object_get(known, c->id);
		double s = json_is_number(v) ? json_number_value(v) : guess;

		guessed += !json_is_number(v);
		*(c->lane == LANE_WALL && !c->s->shared ? &alone : &shared) += s;
	}
	once = BUILD_CPU_S / cores * n->unbuilt;
	if (n->slim && !have_image(true))
		once += IMAGE_S;
	total = json_is_number(last) ? json_number_value(last) : alone + shared / cores;
	o = add(list, "duration", "ok", "the plan %s: about %.0f min for %zu boots (%s)%s", PLAN, ceil(total / 60), n->nr_cells,
		json_is_number(last) ? "as long as last time" :
		guessed == n->nr_cells ? "an estimate from cores and accelerator; nothing was measured here yet" :
		guessed ? "partly an estimate" : "an estimate from how long each boot took here",
		accel == ACCEL_AUTO && !json_is_number(last) ? "; counted with TCG" : "");
	json_object_set_new(o, "seconds", json_real(total));
	json_object_set_new(o, "estimated", json_boolean(!json_is_number(last)));
	json_object_set_new(o, "seconds_once", json_real(once));
	if (once > 0)
		add(list, "first run", "note", "before it, once: about %.0f min for kernels and images (an estimate)", ceil(once / 60));
	json_decref(plans);
	json_decref(known);
}

/* --- the command ------------------------------------------------------------------------------------------------------------ */

static const struct argp_option options[] = {
	{ "quiet", 'q', NULL, 0, "Only what is missing", 0 },
	{ "json", 'J', NULL, 0, "Results as JSON on standard output", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'q':
		opt.quiet = true;
		return 0;
	case 'J':
		opt.json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is one argument too many", arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void print(const json_t *list)
{
	json_t *o;
	size_t i;

	json_array_foreach((json_t *)list, i, o) {
		const char *state = json_string_value(json_object_get(o, "state"));

		if (!opt.quiet || !strcmp(state, "missing"))
			printf("%-8s %-14s %s\n", state, json_string_value(json_object_get(o, "check")),
			       json_string_value(json_object_get(o, "text")));
	}
}

int cmd_doctor(int argc, char **argv)
{
	static const struct argp argp = { options, parse, NULL, "Shows what is there, what is missing, and what a run will take.", NULL,
					  NULL, NULL };
	json_t *list = json_array(), *o;
	struct needs n = {};
	bool possible = true;
	size_t i;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	check_packages(list);
	check_versions(list);
	load_needs(list, &n);
	check_kernels(list, &n);
	check_cache(list, &n);
	check_room(list, &n);
	check_duration(list, &n, check_accel(list, &n));
	json_array_foreach(list, i, o)
		possible &= strcmp(json_string_value(json_object_get(o, "state")), "missing") != 0;
	if (opt.json) {
		o = json_pack("{s:b,s:O}", "possible", possible, "checks", list);
		json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(o);
	} else {
		print(list);
		if (!opt.quiet)
			puts(possible ? "A run is possible: make bench" : "A run is not possible yet.");
	}
	needs_free(&n);
	json_decref(list);
	return possible ? EXIT_OK : EXIT_INFRA;
}
