/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver: plan -> cells -> boots -> run.json -> reports.
 */
#ifndef SHCACHE_RUN_H
#define SHCACHE_RUN_H

#include <jansson.h>
#include <stdbool.h>

#include "kernel.h"
#include "vm.h"

struct run_options {
	const char *plan;
	const char *kernels;	/* replaces the plan's list */
	const char *cell;	/* only cells whose id starts so */
	const char *only;	/* only cells of this place: SECTION[/LANE[/FS[/MODE[/IMAGE]]]] */
	unsigned int shard, shards;	/* only part `shard` of `shards`, from 1; 0: all of the plan */
	const char *durations;	/* file with known durations for the split; NULL: the plan's own, if there is one */
	const char *resume;	/* run to go on with */
	enum vm_accel accel;
	unsigned int jobs;	/* VMs at once; 0: one per core */
	unsigned long long seed;	/* instead of the plan's; 0: the plan's */
	unsigned int cpus;	/* instead of every section's; 0: the sections' */
	const char *mount;	/* mount options instead of every section's, for all kernels; NULL: the sections' */
	bool strict, all, force;
	bool measure_only;	/* no comparison, no reports, no history */
	bool profile;		/* only the icount lane, without repetitions, each boot once more as profile-run.h says */
	double began, cpu_began;	/* now_s() when the run began, processor time used until its first boot; 0: reports of a stored run */
	const char *const *argv;	/* the command line, for the record; NULL-terminated */
};

/*
 * Carries out a plan and writes the reports. *dir, if not NULL, receives the run's directory (free it). Returns an exit code:
 * 0; 1 a cell failed or a regression; 2 usage; 3 infrastructure or an invalid cell; 4 inconclusive with strict.
 */
int run_bench(const struct run_options *ro, char **dir);
/* The same in test mode: KTAP on stdout, one line per cell, judged by the section's `expect`; no comparison. */
int run_as_test(const struct run_options *ro);
/* Interactive: boots kernel with the trees of the plan's section made and a shell on the terminal. */
int run_shell(const char *kernel, const char *fs, const char *mode, const char *image, unsigned int n, enum vm_accel accel);

/* Is this place, SECTION/LANE/FS/MODE/IMAGE, the one that `only` names or is it in it? */
bool run_place_matches(const char *only, const char *place);

/* The agent's self-description, or NULL (printed). */
json_t *agent_describe(void);
/* Path of the guest agent that was built with this command. */
char *agent_path(void);

/* How much longer than planned a boot of this kernel may take, here and now. */
double run_slowdown(enum vm_accel accel, const char *kernel);
/* What every boot of this kernel gets on its command line. Malloced. */
char *run_cmdline(const struct kernel_build *k);

/* From a run document to its reports: terminal, summary.md, plots. Returns an exit code. */
int report_run(const char *dir, json_t *doc, const struct run_options *ro);

/*
 * What follows a complete run: messages for boots that did not pass, the reports, and, if wanted, the history. Returns the run's exit code.
 */
int run_conclude(const char *dir, json_t *doc, bool history, const struct run_options *ro);
/* Adds a run document to the history. 0 or -errno, printed. */
int history_add(const json_t *doc);

/*
 * The icount lane's check of itself: every pair of passed boots with the same inputs (a selfcheck cell, or two labels of one
 * kernel) must have given the same samples and identical histograms. If one pair has not, all icount cells of that section become invalid.
 * Samples may differ by ICOUNT_TOLERANCE, a two-hundredth of the smallest change that any verdict tells: what waits for the device, as fsync does, meets
 * the host's timing, and then a few instructions of a million more are spent.
 * cells: the run document's list, changed in place. *worst: raised to the largest difference that was let pass, as a fraction. Returns how many pairs
 * were compared.
 */
#define ICOUNT_TOLERANCE	1e-5
unsigned int run_check_determinism(json_t *cells, double *worst);

#endif
