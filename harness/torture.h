/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Torture: every test of the series in turn, for some minutes. A part is one section of a plan, or a power cut, on one kernel with one or two
 * CPUs, with a seed of its own that follows from the seed of the whole. Kernels share the time evenly, and each kernel's parts come in a
 * random order, all of them before any comes again.
 *
 * Which plan: torture for a kernel as it is measured, torture-SET for its configuration SET ("+debug"), faults for "+inject".
 */
#ifndef SHCACHE_TORTURE_H
#define SHCACHE_TORTURE_H

/* The command `shbench torture`. Leaves summary.md, torture.tap and torture.json. Returns an exit code. */
int cmd_torture(int argc, char **argv);

#endif
