// SPDX-License-Identifier: GPL-2.0
/* Comparisons whose outcome is known; see gate.h. */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "bench-util.h"
#include "gate.h"

/* Kernels or cells of a list: all that are of the gate, or all that are not; section, if not NULL, takes only its cells. */
static json_t *sift(const json_t *list, bool gate, const char *section)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (json_is_true(json_object_get(v, "gate")) == gate && (!section || !strcmp(json_str(v, "section", ""), section)))
			json_array_append(out, v);
	return out;
}

json_t *gate_section(const json_t *doc, const char *section, const char *base)
{
	json_t *out = json_copy((json_t *)doc);

	json_object_set_new(out, "kernels", sift(json_object_get(doc, "kernels"), true, NULL));
	json_object_set_new(out, "cells", sift(json_object_get(doc, "cells"), true, section));
	json_object_set_new(out, "baseline", json_string(base));
	return out;
}

/* "fault_batch class=pte-only (xfs/reflink/synthetic) +0.42 %" */
static char *name_row(const struct cmp_row *r)
{
	return bench_printf("%s%s%s (%s/%s/%s) %s", r->metric, *r->coords ? " " : "", r->coords, r->fs, r->mode, r->image,
			    show_percent(r->rel));
}

static bool is_wanted(const struct cmp_row *r, const char *metric)
{
	return !r->family && r->verdict != V_INFO && (!*metric || !fnmatch(metric, r->metric, 0));
}

static bool same_place(const struct cmp_row *a, const struct cmp_row *b)
{
	return !strcmp(a->lane, b->lane) && !strcmp(a->fs, b->fs) && !strcmp(a->mode, b->mode) && !strcmp(a->image, b->image);
}

/* Why the rows do not show "unchanged", or NULL. */
static char *not_unchanged(const struct comparison *c)
{
	const struct cmp_row *first = NULL;
	size_t rows = 0, other = 0;
	char *row, *why;

	for (size_t i = 0; i < c->nr; i++) {
		if (!is_wanted(&c->rows[i], ""))
			continue;
		rows++;
		if (c->rows[i].verdict == V_UNCHANGED)
			continue;
		first = first ? first : &c->rows[i];
		other++;
	}
	if (!rows)
		return bench_strdup("nothing was measured");
	if (!other)
		return NULL;
	row = name_row(first);
	why = bench_printf("%zu of %zu rows are not unchanged, the first: %s, %s", other, rows, row, verdict_name(first->verdict));
	free(row);
	return why;
}

/* Why the rows do not show a change of that kind at each place, or NULL. */
static char *not_changed(const struct comparison *c, enum verdict want, const char *metric)
{
	const struct cmp_row *opposite = NULL;
	size_t rows = 0;
	char *row, *why;

	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *r = &c->rows[i], *largest = NULL;
		bool found = false;

		if (!is_wanted(r, metric))
			continue;
		rows++;
		if (r->verdict == (want == V_REGRESSED ? V_IMPROVED : V_REGRESSED))
			opposite = opposite ? opposite : r;
		for (size_t k = 0; k < c->nr; k++) {
			const struct cmp_row *o = &c->rows[k];

			if (!is_wanted(o, metric) || !same_place(o, r))
				continue;
			found |= o->verdict == want;
			if (!largest || fabs(o->rel) > fabs(largest->rel))
				largest = o;
		}
		if (found)
			continue;
		row = name_row(largest);
		why = bench_printf("no row %s; the largest change is %s, %s", verdict_name(want), row, verdict_name(largest->verdict));
		free(row);
		return why;
	}
	if (!rows)
		return bench_printf("nothing was measured%s%s", *metric ? " that is called " : "", metric);
	if (!opposite)
		return NULL;
	row = name_row(opposite);
	why = bench_printf("a row %s: %s", verdict_name(opposite->verdict), row);
	free(row);
	return why;
}

/* What was found where all is as it must be. */
static char *evidence(const struct comparison *c, enum verdict want, const char *metric)
{
	const struct cmp_row *largest = NULL;
	size_t rows = 0;
	char *row, *text;

	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *r = &c->rows[i];

		if (!is_wanted(r, metric) || r->verdict != want)
			continue;
		rows++;
		if (!largest || fabs(r->rel) > fabs(largest->rel))
			largest = r;
	}
	if (want == V_UNCHANGED)
		return bench_printf("%zu rows", rows);
	row = name_row(largest);
	text = bench_printf("%zu rows, most of all %s", rows, row);
	free(row);
	return text;
}

/* Is the gate as it must be? *why is the reason why not, or what was found. */
static bool judge(const json_t *doc, const json_t *gate, char **why)
{
	const char *want = json_str(gate, "want", ""), *base = json_str(gate, "base", ""), *metric = json_str(gate, "metric", "");
	json_t *sub = gate_section(doc, json_str(gate, "section", ""), base);
	enum verdict verdict = !strcmp(want, "unchanged") ? V_UNCHANGED : !strcmp(want, "regressed") ? V_REGRESSED : V_IMPROVED;
	struct comparison c;
	bool ok;

	*why = NULL;
	if (compare(sub, base, sub, json_str(gate, "label", ""), false, &c)) {
		json_decref(sub);
		*why = bench_strdup("its kernels are not in the run");
		return false;
	}
	/* Boots that failed first: they are why other rows are invalid. */
	for (int boots = 1; boots >= 0; boots--)
		for (size_t i = 0; i < c.nr && !*why; i++)
			if (c.rows[i].verdict == V_INVALID && (strcmp(c.rows[i].metric, "-") == 0) == boots)
				*why = bench_printf("%s: %s", c.rows[i].coords, c.rows[i].why);
	if (!*why)
		*why = verdict == V_UNCHANGED ? not_unchanged(&c) : not_changed(&c, verdict, metric);
	ok = !*why;
	if (ok)
		*why = evidence(&c, verdict, metric);
	comparison_free(&c);
	json_decref(sub);
	return ok;
}

static const char *command_of(const json_t *doc, const char *section)
{
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		if (!strcmp(json_str(c, "section", ""), section))
			return json_str(c, "reproduce", "");
	return "";
}

json_t *gate_judge(json_t *doc)
{
	json_t *gates = json_object_get(doc, "gates"), *out, *results, *g, *kernels = sift(json_object_get(doc, "kernels"), true, NULL);
	bool any = json_array_size(kernels);
	size_t i;

	json_decref(kernels);
	if (!any)
		return json_incref(doc);
	results = json_array();
	out = json_copy(doc);
	json_array_foreach(gates, i, g) {
		const char *section = json_str(g, "section", ""), *command = command_of(doc, section), *end = strstr(command, " --cell ");
		json_t *r = json_copy(g);
		char *why;

		json_object_set_new(r, "ok", json_boolean(judge(doc, g, &why)));
		json_object_set_new(r, "why", json_string(why));
		json_object_set_new(r, "reproduce", json_sprintf("%.*s --only %s", end ? (int)(end - command) : (int)strlen(command), command,
								 section));
		json_array_append_new(results, r);
		free(why);
	}
	json_object_set_new(out, "kernels", sift(json_object_get(doc, "kernels"), false, NULL));
	json_object_set_new(out, "cells", sift(json_object_get(doc, "cells"), false, NULL));
	json_object_set_new(out, "gate_results", results);
	json_object_del(out, "gates");
	return out;
}

size_t gate_count(const json_t *judged, size_t *failed)
{
	const json_t *results = json_object_get(judged, "gate_results"), *r;
	size_t i;

	*failed = 0;
	json_array_foreach((json_t *)results, i, r)
		*failed += !json_is_true(json_object_get(r, "ok"));
	return json_array_size(results);
}
