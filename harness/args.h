/* SPDX-License-Identifier: GPL-2.0 */
/* Values of options that several commands have, for their argp parsers: what is wrong is said there, and ends the command. */
#ifndef SHCACHE_ARGS_H
#define SHCACHE_ARGS_H

#include <argp.h>

#include "vm.h"

unsigned long long arg_number(struct argp_state *state, const char *arg, unsigned long long min, unsigned long long max);
enum vm_accel arg_accel(struct argp_state *state, const char *arg);
/* A seed that nobody chose, from 1 on and short enough to be typed. */
unsigned long long arg_fresh_seed(void);

#endif
