/* SPDX-License-Identifier: GPL-2.0 */
/*
 * `shbench profile PLAN`: in which functions the guest instructions of measured operations are, for two kernels.
 *
 * Each cell of the icount lane is booted twice, without and with a QEMU plugin that counts instructions by address between
 * wl_begin() and wl_end() (workloads/workload.h). Nothing is sampled: the counts of an operation add up to what its metric says
 * without the plugin, or there is no profile. A cell must measure one thing (one histogram): a profile of several tells of none.
 */
#ifndef SHCACHE_PROFILE_RUN_H
#define SHCACHE_PROFILE_RUN_H

#include "run.h"

/* A boot with the plugin takes about this much longer. */
#define PROFILE_SLOWDOWN	4

/* The command; exit code. Tables on the terminal and in the run's profile.md. */
int run_profile(const struct run_options *ro);

/* Value of -plugin for a boot of that agent and kernel, which has the counts written to out. Malloced; NULL: printed why not. */
char *profile_plugin(const char *agent, const char *kernel_id, const char *out);

#endif
