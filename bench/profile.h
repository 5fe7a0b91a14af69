/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Profiles of measured operations: in which functions their guest instructions are. Pure functions over three texts:
 *
 *	System.map, or what nm(1) says: lines "ADDRESS TYPE NAME"
 *	what the plugin (harness/plugin/insn-profile.c) has counted:
 *
 *		insn-profile 1
 *		regions 1024			operations
 *		unbalanced 0			beginnings without an end, and ends without a beginning
 *		ffffffff81000000 2048		instructions that were executed at this address
 *		...
 *		end
 */
#ifndef SHCACHE_PROFILE_H
#define SHCACHE_PROFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is below the kernel's half of the address space, and what is in it but in no function. */
#define PROFILE_USER	"[user]"
#define PROFILE_UNKNOWN	"[unknown]"

struct symbol {
	uint64_t addr;
	char *name;		/* as it is in the source: without ".part.0", ".constprop.0", ".isra.0", ".cold" */
	bool entry;		/* the function begins here; false: a part of it that the compiler has put elsewhere */
};

/* The functions, by address, one for each. */
struct symbols {
	struct symbol *s;
	size_t nr;
	uint64_t limit;		/* the highest address of all symbols: what is beyond it is in no function */
};

/* 0, or -EINVAL if a line is none of a symbol's. */
int symbols_parse(const char *text, struct symbols *out);
void symbols_free(struct symbols *s);
/* The address of a function; 0: there is none. */
uint64_t symbols_find(const struct symbols *s, const char *name);
/* The function that an address is in; NULL: in none. */
const struct symbol *symbol_at(const struct symbols *s, uint64_t addr);

struct profile_function {
	char *name;
	uint64_t insns, calls;	/* calls: how often its first instruction was executed */
};

struct profile {
	struct profile_function *f;	/* by name */
	size_t nr;
	uint64_t regions, insns;
};

/* Returns 0, or -EINVAL and *why (malloced). A profile without operations, or with unbalanced ones, is none. */
int profile_parse(const char *text, const struct symbols *s, struct profile *out, char **why);
void profile_free(struct profile *p);
/* Instructions per operation. */
double profile_mean(const struct profile *p);
/* Does this mean agree with that of a measurement? The largest difference that is let pass, as a fraction: */
#define PROFILE_TOLERANCE	0.001
bool profile_agrees(double mean, double measured);

/* One function in two profiles, per operation. */
struct profile_row {
	const char *name;	/* belongs to a profile */
	double insns[2], calls[2];
};

/* All functions of both, the largest difference (of either sign) first. Returns how many; free *rows. */
size_t profile_compare(const struct profile *a, const struct profile *b, struct profile_row **rows);
/* The first max rows, one for all others, and the total. */
struct table *profile_table(const struct profile_row *rows, size_t nr, size_t max, const char *label_a, const char *label_b);
/* [{"function","insns":[a,b],"calls":[a,b]}], all rows. */
json_t *profile_json(const struct profile_row *rows, size_t nr);

#endif
