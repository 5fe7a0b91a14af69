// SPDX-License-Identifier: GPL-2.0
/* Values of options; see args.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "args.h"

#define FRESH_SEEDS	1000000u

unsigned long long arg_number(struct argp_state *state, const char *arg, unsigned long long min, unsigned long long max)
{
	char *end;
	unsigned long long v = strtoull(arg, &end, 10);

	if (*arg < '0' || *arg > '9' || *end || v < min || v > max)
		argp_error(state, "'%s' is not a number from %llu to %llu", arg, min, max);
	return v;
}

enum vm_accel arg_accel(struct argp_state *state, const char *arg)
{
	if (strcmp(arg, "kvm") && strcmp(arg, "tcg"))
		argp_error(state, "--accel is '%s', must be kvm or tcg", arg);
	return strcmp(arg, "kvm") ? ACCEL_TCG : ACCEL_KVM;
}

unsigned long long arg_fresh_seed(void)
{
	uint32_t v;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = (uint32_t)time(NULL);
	return 1 + v % FRESH_SEEDS;
}
