// SPDX-License-Identifier: GPL-2.0
/* What a workload asks of its context: parameters, the job's facts, the time, random numbers. See workload.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "agent.h"

const char *wl_str(struct wl_ctx *ctx, const char *name)
{
	const struct wl_param *p;
	unsigned int i;

	for (i = ctx->job.nr_params; i-- > 0;)
		if (!strcmp(ctx->job.params[i].name, name))
			return ctx->job.params[i].value;
	for (p = ctx->w->params; p && p->name; p++)
		if (!strcmp(p->name, name))
			return p->def;
	agent_fail(ctx, "workload %s asks for a parameter %s that it does not declare", ctx->w->name, name);
}

uint64_t wl_u64(struct wl_ctx *ctx, const char *name)
{
	const char *s = wl_str(ctx, name);
	uint64_t v;

	if (!job_size(s, &v))
		agent_fail(ctx, "parameter %s: \"%s\" is not a number (digits, then k, M, G or nothing)", name, s);
	return v;
}

bool wl_flag(struct wl_ctx *ctx, const char *name)
{
	const char *s = wl_str(ctx, name);

	if (!strcmp(s, "1") || !strcmp(s, "yes"))
		return true;
	if (!strcmp(s, "0") || !strcmp(s, "no"))
		return false;
	agent_fail(ctx, "parameter %s: \"%s\" is neither yes nor no", name, s);
}

unsigned int wl_list(struct wl_ctx *ctx, const char *name, uint64_t *dst, unsigned int max)
{
	const char *s = wl_str(ctx, name);
	unsigned int n = 0;
	char word[32];

	while (*s) {
		size_t len = strcspn(s, ",");

		if (n == max)
			agent_fail(ctx, "parameter %s: more than %u numbers", name, max);
		if (len >= sizeof(word))
			agent_fail(ctx, "parameter %s: \"%s\" is not a list of numbers", name, s);
		memcpy(word, s, len);
		word[len] = '\0';
		if (!job_size(word, &dst[n++]))
			agent_fail(ctx, "parameter %s: \"%s\" is not a number (digits, then k, M, G or nothing)", name, word);
		s += len + (s[len] == ',');
	}
	return n;
}

uint64_t wl_seed(struct wl_ctx *ctx)
{
	return ctx->job.seed;
}

bool wl_icount(struct wl_ctx *ctx)
{
	return ctx->job.icount;
}

const char *wl_fs(struct wl_ctx *ctx)
{
	return ctx->job.fs;
}

const char *wl_mode(struct wl_ctx *ctx)
{
	return ctx->job.mode;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t wl_now(struct wl_ctx *ctx)
{
	return ctx->job.icount ? __rdtsc() : clock_ns();
}

/* A label can be in one place only: neither of the two functions may be copied. */
#define NAMED_TSC(name)							\
	({								\
		uint64_t lo_, hi_;					\
									\
		__asm__ volatile(name ": rdtsc" : "=a"(lo_), "=d"(hi_));	\
		hi_ << 32 | lo_;					\
	})

__attribute__((noinline, noclone)) uint64_t wl_begin(struct wl_ctx *ctx)
{
	return ctx->job.icount ? NAMED_TSC("wl_begin_tsc") : clock_ns();
}

__attribute__((noinline, noclone)) uint64_t wl_end(struct wl_ctx *ctx)
{
	return ctx->job.icount ? NAMED_TSC("wl_end_tsc") : clock_ns();
}

uint64_t wl_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
