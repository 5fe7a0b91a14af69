/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Plans: what a run measures. bench/NAME.plan, INI style:
 *
 *	[plan]
 *	summary = what it is for, one line
 *	kernels = base base:again	NAME or NAME:LABEL (NAME alone is its own label); the first is the baseline
 *	seed = 1
 *	history = no			yes = complete runs are added to the history
 *	note = text			anything that people must know of the numbers; goes into the report (long texts go on
 *					in indented lines)
 *
 *	[SECTION]			any number; each is a family of cells
 *	workload = footprint
 *	lane = wall | icount		these four and `image` may hold several words: every combination becomes a cell
 *	fs = xfs btrfs
 *	mode = reflink snapshot overlay overlay-copyup copy
 *	image = synthetic:files=64,bytes=16M | debian | debian-slim | PATH
 *	param.NAME = VALUE		a parameter of the workload
 *	boots = 1			replications; the order of the kernels alternates (ABBA)
 *	perturb = 1			icount: how many layouts (RAM size, command line) per cell
 *	mem = 2G	cpus = 2	of the guest; icount forces one CPU
 *	device = brd | virtio		default: brd for icount, virtio for wall
 *	device_size = 1G
 *	mount = opt,opt			mount options added for every kernel; mount.LABEL = ... for one kernel,
 *					and for its steps (LABEL@5)
 *	timeout = 120			seconds under TCG for the whole boot
 *	shared = no			wall lane: yes = may run beside other VMs (only counts matter, no times)
 *	peer = no			yes = another technique to hold the kernels against: booted with the baseline only
 *	kernels = base base:again slow	a gate: the section has kernels of its own, which take part in nothing else; the first is the baseline
 *	gate = again:unchanged slow:regressed:METRIC	what comparing each with the first must say; with METRIC (a glob) in at least one row of
 *					that metric at each place. If it does not, the whole run is invalid
 *	expect = passed			verdict that `shbench test` wants; caught: any but passed and skipped
 *
 * Combinations that do not exist (snapshot on xfs) are left out without a word when they come from a product of several words,
 * and are an error when they are asked for alone.
 */
#ifndef SHCACHE_PLAN_H
#define SHCACHE_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm.h"

struct kv {
	char *k, *v;
};

struct section {
	char *name, *workload, *lanes, *fss, *modes, *images, *device, *mount, *expect, *kernels, *gate;
	struct kv *params, *mounts;	/* mounts: by kernel label */
	unsigned int nr_params, nr_mounts;
	unsigned int boots, perturb, cpus, timeout;
	uint64_t mem, device_size;
	bool shared, peer;
};

struct plan {
	char *name, *summary, *kernels, *note, *text, *path;
	uint64_t seed;
	bool history;
	struct section *sections;
	unsigned int nr_sections;
};

/* One boot that is to be carried out. */
struct cell {
	char id[13];
	const struct section *s;
	char *label;			/* kernel's label */
	char *kernel;			/* kernel's name */
	enum vm_lane lane;
	char *fs, *mode, *image;
	unsigned int boot, perturbation;
	bool selfcheck;			/* an exact repetition that proves the icount lane deterministic */
	uint64_t seed;
};

/* Reads a plan: a name (bench/NAME.plan) or a path. Errors were printed with file:line. Returns 0 or -ENOENT, -EINVAL. */
int plan_load(const char *name, struct plan **out);
/* The same from a text that was kept; path is for messages and gives the plan its name. */
int plan_parse(const char *path, const char *text, struct plan **out);
void plan_free(struct plan *p);
/* Sorted names of bench/NAME.plan, NULL-terminated. */
char **plan_names(void);

/*
 * Checks workload and parameter names against the agent's description ({"workloads":[...]}); prints near misses with file:line.
 */
int plan_check(const struct plan *p, const json_t *describe);

/* Other CPUs (0: as they are) and mount options (NULL: as they are) for all sections and kernels. */
void plan_override(struct plan *p, unsigned int cpus, const char *mount);

/*
 * All cells in the order in which they should run: sections in file order, within one the boots outermost, and the kernels in
 * alternating order, so that slow drift of the host hits all alike. kernels, if not NULL, replaces the plan's list.
 * Where no two labels name the same kernel each icount section gets one selfcheck cell. Returns 0, -EINVAL (printed).
 */
int plan_expand(const struct plan *p, const char *kernels, struct cell **cells, size_t *nr);
/* "SECTION/LANE/FS/MODE/IMAGE", malloced. */
char *cell_place(const struct cell *c);
void cells_free(struct cell *cells, size_t nr);

/* "NAME:LABEL" words: calls fn for each. Returns the first non-zero return. */
int plan_each_kernel(const char *kernels, int (*fn)(const char *name, const char *label, void *arg), void *arg);
/* The same for the kernels of all gates, each label ("gate-base") once. */
int plan_each_gate_kernel(const struct plan *p, int (*fn)(const char *name, const char *label, void *arg), void *arg);
/* What the gates want: calls fn for each with the labels that the cells have; metric may be "". */
int plan_each_gate(const struct plan *p, int (*fn)(const struct section *s, const char *base, const char *label, const char *want,
						     const char *metric, void *arg), void *arg);

/* "2G", "512M", "64k", "100" as a number of bytes. -EINVAL. */
int parse_size(const char *s, uint64_t *v);

#endif
