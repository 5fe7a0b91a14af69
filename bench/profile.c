// SPDX-License-Identifier: GPL-2.0
/* Profiles of measured operations, see profile.h. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "profile.h"

#define KERNEL_HALF	(1ull << 63)

/* --- symbols ------------------------------------------------------------------------------------------------------------- */

/* Of several names for one address the shortest, so that it is the same one in every kernel. */
static int cmp_name(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);

	if (na != nb)
		return na < nb ? -1 : 1;
	return strcmp(a, b);
}

static int cmp_symbol(const void *x, const void *y)
{
	const struct symbol *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return cmp_name(a->name, b->name);
}

/* No name in C has a dot: what follows one is the compiler's. Of its copies only some are where the function begins. */
static void add_symbol(struct symbols *s, uint64_t addr, const char *name, size_t len)
{
	struct symbol *n;
	char *dot;

	s->s = bench_grow(s->s, (s->nr + 1) * sizeof(*s->s));
	n = &s->s[s->nr++];
	n->addr = addr;
	n->name = bench_printf("%.*s", (int)len, name);
	dot = strchr(n->name + 1, '.');
	n->entry = !dot || !(strstr(dot, ".part.") || strstr(dot, ".cold"));
	if (dot)
		*dot = '\0';
}

static void unique(struct symbols *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nr; i++) {
		if (n && s->s[n - 1].addr == s->s[i].addr)
			free(s->s[i].name);
		else
			s->s[n++] = s->s[i];
	}
	s->nr = n;
}

int symbols_parse(const char *text, struct symbols *out)
{
	memset(out, 0, sizeof(*out));
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		char *end;
		uint64_t addr = strtoull(line, &end, 16);

		/* nm: a symbol that is defined elsewhere has no address. */
		if (len && *line == ' ')
			continue;
		if (end == line || end + 4 > line + len || end[0] != ' ' || end[2] != ' ') {
			symbols_free(out);
			return -EINVAL;
		}
		if (addr > out->limit)
			out->limit = addr;
		if (strchr("tTwW", end[1]))
			add_symbol(out, addr, end + 3, (size_t)(line + len - end - 3));
	}
	if (out->nr)
		qsort(out->s, out->nr, sizeof(*out->s), cmp_symbol);
	unique(out);
	return 0;
}

void symbols_free(struct symbols *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->s[i].name);
	free(s->s);
	memset(s, 0, sizeof(*s));
}

uint64_t symbols_find(const struct symbols *s, const char *name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->s[i].entry && !strcmp(s->s[i].name, name))
			return s->s[i].addr;
	return 0;
}

const struct symbol *symbol_at(const struct symbols *s, uint64_t addr)
{
	size_t low = 0, high = s->nr;

	if (addr > s->limit)
		return NULL;
	/* The first one behind the address. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->s[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &s->s[low - 1] : NULL;
}

/* --- profiles ------------------------------------------------------------------------------------------------------------ */

static int cmp_function(const void *x, const void *y)
{
	const struct profile_function *a = x, *b = y;

	return strcmp(a->name, b->name);
}

static void add_insns(struct profile *p, const struct symbols *s, uint64_t addr, uint64_t count)
{
	const struct symbol *at = addr >= KERNEL_HALF ? symbol_at(s, addr) : NULL;
	struct profile_function *f;

	p->f = bench_grow(p->f, (p->nr + 1) * sizeof(*p->f));
	f = &p->f[p->nr++];
	f->name = bench_strdup(at ? at->name : addr >= KERNEL_HALF ? PROFILE_UNKNOWN : PROFILE_USER);
	f->insns = count;
	f->calls = at && at->entry && at->addr == addr ? count : 0;
	p->insns += count;
}

/* From one entry for each address to one for each function. */
static void by_function(struct profile *p)
{
	size_t n = 0;

	if (p->nr)
		qsort(p->f, p->nr, sizeof(*p->f), cmp_function);
	for (size_t i = 0; i < p->nr; i++) {
		if (!n || strcmp(p->f[n - 1].name, p->f[i].name)) {
			p->f[n++] = p->f[i];
			continue;
		}
		p->f[n - 1].insns += p->f[i].insns;
		p->f[n - 1].calls += p->f[i].calls;
		free(p->f[i].name);
	}
	p->nr = n;
}

int profile_parse(const char *text, const struct symbols *s, struct profile *out, char **why)
{
	uint64_t unbalanced, addr, count;
	int at = 0, len = 0, lines;

	memset(out, 0, sizeof(*out));
	*why = NULL;
	if (sscanf(text, "insn-profile 1\nregions %" SCNu64 "\nunbalanced %" SCNu64 "\n%n", &out->regions, &unbalanced, &at) < 2 || !at) {
		*why = bench_strdup("it does not begin as a profile does");
		return -EINVAL;
	}
	for (lines = 4; sscanf(text + at, "%" SCNx64 " %" SCNu64 "\n%n", &addr, &count, &len) == 2 && len; lines++) {
		add_insns(out, s, addr, count);
		at += len;
		len = 0;
	}
	if (strcmp(text + at, "end\n"))
		*why = bench_printf("line %d is neither \"ADDRESS COUNT\" nor the last one", lines);
	else if (unbalanced)
		*why = bench_printf("%" PRIu64 " operations have a beginning or an end only", unbalanced);
	else if (!out->regions)
		*why = bench_strdup("there was no operation between wl_begin() and wl_end()");
	if (*why) {
		profile_free(out);
		return -EINVAL;
	}
	by_function(out);
	return 0;
}

void profile_free(struct profile *p)
{
	for (size_t i = 0; i < p->nr; i++)
		free(p->f[i].name);
	free(p->f);
	memset(p, 0, sizeof(*p));
}

double profile_mean(const struct profile *p)
{
	return (double)p->insns / (double)p->regions;
}

bool profile_agrees(double mean, double measured)
{
	return fabs(mean - measured) <= PROFILE_TOLERANCE * measured;
}

/* --- two of them --------------------------------------------------------------------------------------------------------- */

static double row_diff(const struct profile_row *r)
{
	return r->insns[1] - r->insns[0];
}

static int cmp_row(const void *x, const void *y)
{
	const struct profile_row *a = x, *b = y;
	double da = fabs(row_diff(a)), db = fabs(row_diff(b));

	if (da != db)
		return da > db ? -1 : 1;
	if (a->insns[0] != b->insns[0])
		return a->insns[0] > b->insns[0] ? -1 : 1;
	return strcmp(a->name, b->name);
}

size_t profile_compare(const struct profile *a, const struct profile *b, struct profile_row **rows)
{
	const struct profile *p[2] = { a, b };
	size_t at[2] = { 0, 0 }, n = 0;
	struct profile_row *r = bench_alloc((a->nr + b->nr) * sizeof(*r));

	while (at[0] < a->nr || at[1] < b->nr) {
		int order = at[0] == a->nr ? 1 : at[1] == b->nr ? -1 : strcmp(a->f[at[0]].name, b->f[at[1]].name);

		for (int k = 0; k < 2; k++) {
			const struct profile_function *f = &p[k]->f[at[k]];

			if (k ? order < 0 : order > 0)
				continue;
			r[n].name = f->name;
			r[n].insns[k] = (double)f->insns / (double)p[k]->regions;
			r[n].calls[k] = (double)f->calls / (double)p[k]->regions;
			at[k]++;
		}
		n++;
	}
	qsort(r, n, sizeof(*r), cmp_row);
	*rows = r;
	return n;
}

/* calls: a sum has none. */
static void put_row(struct table *t, const char *name, const struct profile_row *r, bool calls)
{
	table_cell(t, "%s", name);
	table_cell(t, "%.1f", r->insns[0]);
	table_cell(t, "%.1f", r->insns[1]);
	table_cell(t, "%+.1f", row_diff(r));
	for (int k = 0; k < 2; k++) {
		if (calls && r->calls[k] > 0)
			table_cell(t, "%.2f", r->calls[k]);
		else
			table_cell(t, "%s", "");
	}
}

struct table *profile_table(const struct profile_row *rows, size_t nr, size_t max, const char *label_a, const char *label_b)
{
	char *calls_a = bench_printf("calls, %s", label_a), *calls_b = bench_printf("calls, %s", label_b);
	struct table *t = table_new("lrrrrr", "function", label_a, label_b, "difference", calls_a, calls_b);
	struct profile_row rest = {}, total = {};

	free(calls_a);
	free(calls_b);
	for (size_t i = 0; i < nr; i++) {
		for (int k = 0; k < 2; k++) {
			total.insns[k] += rows[i].insns[k];
			if (i >= max)
				rest.insns[k] += rows[i].insns[k];
		}
		if (i < max)
			put_row(t, rows[i].name, &rows[i], true);
	}
	if (nr > max) {
		char *name = bench_printf("%zu other functions", nr - max);

		put_row(t, name, &rest, false);
		free(name);
	}
	put_row(t, "total", &total, false);
	return t;
}

json_t *profile_json(const struct profile_row *rows, size_t nr)
{
	json_t *list = json_array();

	for (size_t i = 0; i < nr; i++)
		json_array_append_new(list, json_pack("{s:s,s:[f,f],s:[f,f]}", "function", rows[i].name,
						      "insns", rows[i].insns[0], rows[i].insns[1],
						      "calls", rows[i].calls[0], rows[i].calls[1]));
	return list;
}
