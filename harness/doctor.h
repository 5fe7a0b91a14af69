/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHCACHE_DOCTOR_H
#define SHCACHE_DOCTOR_H

/*
 * `shbench doctor`: what is there, what is missing, what a run of the plan "quick" will need and take here. Changes nothing
 * except that it may probe the accelerator. Returns EXIT_OK if a run is possible, EXIT_INFRA if not, EXIT_USAGE.
 */
int cmd_doctor(int argc, char **argv);

#endif
