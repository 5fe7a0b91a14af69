// SPDX-License-Identifier: GPL-2.0
/*
 * Reports: a short table for the terminal, summary.md for a CI job page or a cover letter, and JSON for programs. All are made from
 * the stored document alone and hold nothing that depends on when or where they are made.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench-util.h"
#include "gate.h"
#include "report.h"

#define TERMINAL_LINES	25
/* Failed gates that are told in the terminal. */
#define GATE_LINES	3
/* Rows of one metric in a table of the summary; the rest is in run.json. */
#define SUMMARY_ROWS	24
/* Changed rows in the summary: the table by workload says the rest. */
#define SUMMARY_CHANGED	20

/* --- terminal ------------------------------------------------------------------------------------------------------------- */

static const char *const verdict_colour[] = { "\033[32m", "\033[1;31m", "", "\033[33m", "\033[1;35m", "" };

/* Which rows people want to see first. */
static int rank(const struct cmp_row *r)
{
	static const int order[] = { [V_INVALID] = 0, [V_REGRESSED] = 1, [V_IMPROVED] = 2, [V_INCONCLUSIVE] = 3, [V_UNCHANGED] = 4, [V_INFO] = 5 };

	return order[r->verdict] * 2 + !r->family;
}

static int cmp_rows(const void *a, const void *b)
{
	const struct cmp_row *x = *(const struct cmp_row *const *)a, *y = *(const struct cmp_row *const *)b;

	if (rank(x) != rank(y))
		return rank(x) < rank(y) ? -1 : 1;
	if ((x->verdict == V_REGRESSED || x->verdict == V_IMPROVED) && fabs(x->rel) != fabs(y->rel))
		return fabs(x->rel) > fabs(y->rel) ? -1 : 1;
	return (x > y) - (x < y);
}

/* Is this row one of several numbers of one histogram, of which an earlier row that changed the same way is shown already? */
static bool is_repetition(const struct comparison *c, size_t at)
{
	const struct cmp_row *r = &c->rows[at];
	const char *dot = strchr(r->metric, '.');

	for (size_t i = at; dot && i-- && at - i < 4;) {
		const struct cmp_row *e = &c->rows[i];

		if (!strncmp(e->metric, r->metric, (size_t)(dot - r->metric) + 1) && !strcmp(e->coords, r->coords) &&
		    !strcmp(e->section, r->section) && !strcmp(e->lane, r->lane) && !strcmp(e->fs, r->fs) && !strcmp(e->mode, r->mode) &&
		    !strcmp(e->image, r->image) && e->verdict == r->verdict)
			return true;
	}
	return false;
}

/* So many invalid rows come before what has changed: one boot that failed makes a row of each of its values. */
#define INVALID_FIRST	3

/* Of n sorted rows, moves those that are invalid, but the first ones, behind the others. */
static void invalid_last(const struct cmp_row **r, size_t n)
{
	const struct cmp_row **moved;
	size_t invalid = 0;

	while (invalid < n && r[invalid]->verdict == V_INVALID)
		invalid++;
	if (invalid <= INVALID_FIRST)
		return;
	invalid -= INVALID_FIRST;
	moved = bench_alloc(invalid * sizeof(*moved));
	memcpy(moved, r + INVALID_FIRST, invalid * sizeof(*moved));
	memmove(r + INVALID_FIRST, r + INVALID_FIRST + invalid, (n - INVALID_FIRST - invalid) * sizeof(*r));
	memcpy(r + n - invalid, moved, invalid * sizeof(*moved));
	free(moved);
}

/* Pointers to the rows to be shown, in order. Without all: what changed or is invalid, each histogram once. */
const struct cmp_row **report_rows(const struct comparison *c, bool all, size_t *nr)
{
	const struct cmp_row **r = bench_alloc((c->nr + 1) * sizeof(*r));

	*nr = 0;
	for (size_t i = 0; i < c->nr; i++) {
		enum verdict v = c->rows[i].verdict;

		if (all || ((v == V_REGRESSED || v == V_IMPROVED || v == V_INVALID) && !is_repetition(c, i)))
			r[(*nr)++] = &c->rows[i];
	}
	if (*nr)
		qsort(r, *nr, sizeof(*r), cmp_rows);
	invalid_last(r, *nr);
	return r;
}

/* Geometric mean of new / base over the judged rows of each workload and lane, as benchstat does, with the extremes. */
struct table *report_workload_table(const struct comparison *c, bool changed_only)
{
	struct table *t = table_new("lrrlrrrrr", "workload/lane", "rows", "geomean", "from .. to", "regressed", "improved", "unchanged",
				    "inconclusive", "invalid");
	bool *done = bench_alloc((c->nr + 1) * sizeof(*done));

	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *first = &c->rows[i];
		size_t count[6] = {}, n = 0;
		double sum = 0, range[2] = { INFINITY, -INFINITY };

		for (size_t k = i; k < c->nr; k++) {
			const struct cmp_row *r = &c->rows[k];

			if (done[k] || r->family || strcmp(r->workload, first->workload) || strcmp(r->lane, first->lane))
				continue;
			done[k] = true;
			count[r->verdict]++;
			if (r->verdict == V_INFO || r->verdict == V_INVALID || !isfinite(r->rel) || r->rel <= -1)
				continue;
			sum += log1p(r->rel);
			range[0] = fmin(range[0], r->rel);
			range[1] = fmax(range[1], r->rel);
			n++;
		}
		if (!count[V_REGRESSED] && !count[V_IMPROVED] && !count[V_INVALID] && (changed_only || !n))
			continue;
		table_cell(t, "%s/%s", first->workload, first->lane);
		table_cell(t, "%zu", n);
		table_cell(t, "%s", show_percent(n ? expm1(sum / (double)n) : NAN));
		table_cell(t, "%s .. %s", show_percent(n ? range[0] : NAN), show_percent(n ? range[1] : NAN));
		table_cell(t, "%zu", count[V_REGRESSED]);
		table_cell(t, "%zu", count[V_IMPROVED]);
		table_cell(t, "%zu", count[V_UNCHANGED]);
		table_cell(t, "%zu", count[V_INCONCLUSIVE]);
		table_cell(t, "%zu", count[V_INVALID]);
	}
	free(done);
	return t;
}

/* "xfs reflink synthetic", as short as the row allows. */
char *report_place(const struct cmp_row *r)
{
	if (r->family)
		return bench_strdup("(pooled)");
	return bench_printf("%s/%s/%s", r->fs, r->mode, r->image);
}

/* color and markdown: for the terminal, and for the summary. */
static struct table *rows_table(const struct cmp_row *const *rows, size_t nr, bool color, bool markdown)
{
	struct table *t = table_new("llllrrrlll", "workload", "where", "metric", "at", "base", "new", "delta", "interval", "verdict",
				    "reproduce");

	for (size_t i = 0; i < nr; i++) {
		const struct cmp_row *r = rows[i];
		char *place = report_place(r);

		table_cell(t, "%s/%s", r->workload, r->lane);
		table_cell(t, "%s", place);
		table_cell(t, "%s", r->metric);
		table_cell(t, "%s", r->coords);
		table_cell(t, "%s", show_value(r->base, r->unit, r->lane));
		table_cell(t, "%s", show_value(r->cand, r->unit, r->lane));
		table_cell(t, "%s", show_percent(r->rel));
		table_cell(t, "%s", show_interval(r->ci));
		table_cell(t, "%s%s%s%s%s", color ? verdict_colour[r->verdict] : "", verdict_name(r->verdict), r->why ? ": " : "",
			   r->why ? r->why : "", color && *verdict_colour[r->verdict] ? "\033[0m" : "");
		table_cell(t, markdown ? "`%s`" : "%s", r->reproduce);
		free(place);
	}
	return t;
}

/* How many rows of a lane have each verdict. */
void report_lane_counts(const struct comparison *c, const char *lane, size_t count[6])
{
	memset(count, 0, 6 * sizeof(*count));
	for (size_t i = 0; i < c->nr; i++)
		if (!strcmp(c->rows[i].lane, lane))
			count[c->rows[i].verdict]++;
}

const char *const report_lanes[2] = { "icount", "wall" };

void report_put_counts(FILE *f, const size_t count[6])
{
	static const enum verdict order[] = { V_REGRESSED, V_INVALID, V_IMPROVED, V_UNCHANGED, V_INCONCLUSIVE };
	const char *sep = "";

	for (size_t i = 0; i < BENCH_SIZE(order); i++)
		if (count[order[i]]) {
			fprintf(f, "%s%zu %s", sep, count[order[i]], verdict_name(order[i]));
			sep = ", ";
		}
}

/* "Unchanged" may rest on pooled rows; then it says so. */
const char *report_pooled_word(enum verdict v, const size_t count[6])
{
	return v == V_UNCHANGED && count[V_INCONCLUSIVE] ? ", times pooled" : "";
}

static size_t print_lane_lines(FILE *f, const struct comparison *c, bool color)
{
	size_t lines = 0, count[6];

	for (size_t l = 0; l < BENCH_SIZE(report_lanes); l++) {
		enum verdict v = comparison_lane(c, report_lanes[l]);

		report_lane_counts(c, report_lanes[l], count);
		if (v == V_INFO)
			continue;
		fprintf(f, "%s with %s, %s lane: %s%s%s%s (", c->base, c->cand, report_lanes[l], color ? verdict_colour[v] : "", verdict_name(v),
			color && *verdict_colour[v] ? "\033[0m" : "", report_pooled_word(v, count));
		report_put_counts(f, count);
		fprintf(f, ")\n");
		lines++;
	}
	return lines;
}

/* What more boots would settle: the largest family advice, or the first row's. One line or none. */
static size_t print_advice(FILE *f, const struct comparison *c)
{
	const struct cmp_row *best = NULL;

	for (size_t i = 0; i < c->nr; i++)
		if (c->rows[i].verdict == V_INCONCLUSIVE && c->rows[i].why && (!best || (c->rows[i].family && !best->family)))
			best = &c->rows[i];
	if (!best)
		return 0;
	fprintf(f, "  inconclusive, for instance %s %s: %s\n", best->workload, best->metric, best->why);
	return 1;
}

size_t report_count_cells(const json_t *doc, enum cell_class class)
{
	const json_t *c;
	size_t i, n = 0;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		n += cell_class(json_str(c, "verdict", "")) == class;
	return n;
}

char *report_cost(const json_t *doc)
{
	const json_t *c = json_object_get(doc, "cost");
	double total = json_num(c, "total_s", 0), qemu = json_num(c, "qemu_cpu_s", 0), harness = json_num(c, "harness_cpu_s", 0);

	if (total <= 0 || qemu + harness <= 0)
		return NULL;
	return bench_printf("%.0f min %02.0f s, a guest was running in %.1f %% of it, %.1f s went by before the first boot; processor: QEMU %.0f s, "
			    "harness %.1f s (%.1f %%)", floor(round(total) / 60), fmod(round(total), 60), 100 * json_num(c, "guests_s", 0) / total,
			    json_num(c, "prepare_s", 0), qemu, harness, 100 * harness / (qemu + harness));
}

size_t report_thrown_away(const json_t *doc)
{
	double sum = 0;
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		sum += json_num(c, "thrown_away", 0);
	return (size_t)sum;
}

/* One line if the gate is as it must be; else that the run is worth nothing, and why. */
static size_t print_gate(FILE *f, const json_t *doc, bool color)
{
	const json_t *g;
	size_t i, failed, nr = gate_count(doc, &failed), lines = 1;

	if (!nr)
		return 0;
	if (!failed) {
		fprintf(f, "gate: all %zu comparisons whose outcome is known came out as they must\n", nr);
		return 1;
	}
	fprintf(f, "%sINVALID: %zu of %zu comparisons whose outcome is known came out otherwise%s\n", color ? verdict_colour[V_INVALID] : "",
		failed, nr, color ? "\033[0m" : "");
	json_array_foreach(json_object_get(doc, "gate_results"), i, g)
		if (!json_is_true(json_object_get(g, "ok")) && lines <= GATE_LINES) {
			fprintf(f, "  gate %s, %s: wanted %s: %s; %s\n", json_str(g, "section", "?"), json_str(g, "label", "?"),
				json_str(g, "want", "?"), json_str(g, "why", "?"), json_str(g, "reproduce", ""));
			lines++;
		}
	return lines;
}

static size_t print_head(FILE *f, const json_t *doc, bool color)
{
	const json_t *q = json_object_get(doc, "qemu");
	size_t failed = report_count_cells(doc, CELL_FAILED), invalid = report_count_cells(doc, CELL_INVALID);
	size_t skipped = report_count_cells(doc, CELL_SKIPPED), thrown = report_thrown_away(doc), lines = 1;
	char *cost = report_cost(doc);

	fprintf(f, "%s: %s, %s, %zu boots%s: %zu passed", json_str(doc, "id", "?"), json_str(q, "accel", "?"), json_str(q, "version", "?"),
		json_array_size(json_object_get(doc, "cells")), json_object_get(doc, "gate_results") ? " without the gate's" : "",
		report_count_cells(doc, CELL_PASSED));
	if (failed)
		fprintf(f, ", %zu failed", failed);
	if (invalid)
		fprintf(f, ", %zu invalid", invalid);
	if (skipped)
		fprintf(f, ", %zu skipped", skipped);
	if (thrown)
		fprintf(f, ", %zu thrown away (busy host)", thrown);
	fputc('\n', f);
	if (cost) {
		fprintf(f, "took %s\n", cost);
		lines++;
	}
	free(cost);
	if (!json_is_true(json_object_get(doc, "complete"))) {
		fprintf(f, "INCOMPLETE: the run was interrupted; what is below is from the boots that were finished\n");
		lines++;
	}
	return lines + print_gate(f, doc, color);
}

/* "1.25 [1.20, 1.31]", in MiB; "-" if there is no slope. */
static void slope_cell(struct table *t, const struct curve *c)
{
	double slope, ci[2];

	if (curve_slope(c, &slope, ci))
		table_cell(t, "-");
	else if (isnan(ci[0]))
		table_cell(t, "%.2f", slope * BENCH_PAGE / 0x1p20);
	else
		table_cell(t, "%.2f [%.2f, %.2f]", slope * BENCH_PAGE / 0x1p20, ci[0] * BENCH_PAGE / 0x1p20, ci[1] * BENCH_PAGE / 0x1p20);
}

/* Memory per container more, one row for each kernel, file system, mode and access. */
static struct table *marginal_table(const json_t *doc)
{
	struct table *t = table_new("lllllrrr", "kernel", "lane", "fs", "mode", "image, access", "first", "last", "MiB per container more");
	struct series_set set;
	struct curve_set curves;

	series_collect(doc, NULL, &set);
	curves_collect(&set, "unique_frames", "n", &curves);
	for (size_t i = 0; i < curves.nr; i++) {
		const struct curve *c = &curves.c[i];
		const struct series *s = c->s[0];

		table_cell(t, "%s", s->kernel);
		table_cell(t, "%s", s->lane);
		table_cell(t, "%s", s->fs);
		table_cell(t, "%s", s->mode);
		table_cell(t, "%s, %s", s->image, *c->rest ? c->rest : "-");
		table_cell(t, "%.1f MiB at N=%.0f", series_median(s) * BENCH_PAGE / 0x1p20, c->x[0]);
		table_cell(t, "%.1f MiB at N=%.0f", series_median(c->s[c->nr - 1]) * BENCH_PAGE / 0x1p20, c->x[c->nr - 1]);
		slope_cell(t, c);
	}
	curves_free(&curves);
	series_free(&set);
	return t;
}

/* The rows that fit into so many lines, below a table by workload if they do not all fit. Returns the lines that were printed. */
static size_t print_rows(FILE *f, const struct comparison *c, size_t lines, bool all, bool color)
{
	const struct cmp_row **rows;
	size_t nr, fit, used = 0;

	rows = report_rows(c, all, &nr);
	if (!all && nr + 1 > lines) {
		struct table *t = report_workload_table(c, true);

		if (table_rows(t) + 5 < lines) {
			table_print_text(f, t, 0);
			used += table_rows(t) + 1;
			lines -= used;
		}
		table_free(t);
	}
	fit = all || nr + 1 <= lines ? nr : lines > 2 ? lines - 2 : 0;
	if (fit) {
		struct table *t = rows_table(rows, fit, color, false);

		table_print_text(f, t, 0);
		table_free(t);
		used += fit + 1;
	}
	if (fit < nr && lines) {
		fprintf(f, "  ... and %zu more; all rows with -v all (at the end of the command)\n", nr - fit);
		used++;
	}
	free(rows);
	return used;
}

void report_terminal(FILE *f, const json_t *doc, const struct comparison *c, size_t nr_cmp, bool all, bool color)
{
	size_t left = TERMINAL_LINES - print_head(f, doc, color);

	if (!nr_cmp) {
		struct table *t = marginal_table(doc);

		if (table_rows(t))
			table_print_text(f, t, all ? 0 : left - 1);
		table_free(t);
		return;
	}
	for (size_t i = 0; i < nr_cmp; i++) {
		/* Each has its share of what is left; what one does not need goes to the next. */
		size_t share = left / (nr_cmp - i), used;

		if (c[i].refused) {
			fprintf(f, "%s with %s: not compared: %s\n", c[i].base, c[i].cand, c[i].refused);
			left -= share ? 1 : 0;
			continue;
		}
		used = print_lane_lines(f, &c[i], color);
		if (used < share)
			used += print_advice(f, &c[i]);
		if (used < share || all)
			used += print_rows(f, &c[i], share > used ? share - used : 0, all, color);
		left -= used < left ? used : left;
	}
}

/* --- summary.md ------------------------------------------------------------------------------------------------------------ */

static void print_row(FILE *f, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void print_row(FILE *f, const char *name, const char *fmt, ...)
{
	va_list ap;

	fprintf(f, "| %s | ", name);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fprintf(f, " |\n");
}

static char *load_text(const json_t *l)
{
	return bench_printf("%.2f", json_number_value(json_array_get(l, 0)));
}

static void summary_cost(FILE *f, const json_t *doc)
{
	char *cost = report_cost(doc);
	const json_t *part;
	size_t i;

	if (cost)
		print_row(f, "took", "%s", cost);
	free(cost);
	json_array_foreach(json_object_get(doc, "parts"), i, part) {
		cost = report_cost(part);
		if (cost)
			print_row(f, "a part took", "%s", cost);
		free(cost);
	}
}

static void summary_provenance(FILE *f, const json_t *doc)
{
	const json_t *plan = json_object_get(doc, "plan"), *host = json_object_get(doc, "host"), *q = json_object_get(doc, "qemu"), *k;
	char *before = load_text(json_object_get(host, "loadavg_before")), *after = load_text(json_object_get(host, "loadavg_after"));
	struct table *t = table_new("llllll", "kernel", "release", "build", "source", "series", "config");
	size_t i;

	fprintf(f, "## Provenance\n\n| | |\n|---|---|\n");
	fprintf(f, "| command | `");
	json_array_foreach(json_object_get(doc, "command"), i, k)
		fprintf(f, "%s%s", i ? " " : "", json_is_string(k) ? json_string_value(k) : "?");
	fprintf(f, "` |\n");
	print_row(f, "made", "%s, harness %s", json_str(doc, "created", "?"), json_str(host, "harness", "?"));
	print_row(f, "plan", "%s (%.12s), seed %.0f", json_str(plan, "name", "?"), json_str(plan, "hash", "?"), json_num(plan, "seed", 0));
	print_row(f, "host", "%s, %.0f cores, %.1f GiB, %s; load %s before, %s after", json_str(host, "cpu", "?"), json_num(host, "cores", 0),
		  json_num(host, "mem_kb", 0) / 0x1p20, json_str(host, "os", "?"), before, after);
	summary_cost(f, doc);
	print_row(f, "virtual machine", "%s, accelerator %s (%s)", json_str(q, "version", "?"), json_str(q, "accel", "?"),
		  json_str(q, "accel_why", "?"));
	print_row(f, "compiler", "%s", json_str(json_array_get(json_object_get(doc, "kernels"), 0), "compiler", "?"));
	fputc('\n', f);
	json_array_foreach(json_object_get(doc, "kernels"), i, k) {
		const char *label = json_str(k, "label", "?"), *series = json_str(k, "series_hash", "");

		table_cell(t, "%s%s", label, strcmp(label, json_str(doc, "baseline", "")) ? "" : " (baseline)");
		table_cell(t, "%s", json_str(k, "release", "?"));
		table_cell(t, "%.16s", json_str(k, "id", "?"));
		table_cell(t, "%s", json_str(k, "source", "?"));
		table_cell(t, "%s%.12s", *series ? "" : "none", series);
		table_cell(t, "%.12s", json_str(k, "config_hash", "?"));
	}
	table_print_markdown(f, t);
	table_free(t);
	free(before);
	free(after);
}

/* What people must know before they read a number. Each note once. */
static void summary_notes(FILE *f, const json_t *doc)
{
	const char *note = json_str(json_object_get(doc, "plan"), "note", "");
	bool icount = false, wall = false, tcg = !strcmp(json_str(json_object_get(doc, "qemu"), "accel", ""), "tcg");
	json_t *said = json_object();
	const json_t *c;
	size_t i;

	if (*note)
		fprintf(f, "- %s\n", note);
	if (report_thrown_away(doc))
		fprintf(f, "- %zu boots were thrown away and repeated: the host gave QEMU less than half a processor, and the guest's watchdog "
			   "spoke.\n", report_thrown_away(doc));
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *image = json_str(c, "image_note", "");

		icount |= !strcmp(json_str(c, "lane", ""), "icount");
		wall |= !strcmp(json_str(c, "lane", ""), "wall");
		if (*image && !json_object_get(said, image)) {
			fprintf(f, "- Image %s: %s.\n", json_str(c, "image", "?"), image);
			json_object_set_new(said, image, json_true());
		}
	}
	if (icount)
		fprintf(f, "- Lane icount: one virtual CPU that is driven by an instruction counter; costs are guest instructions (insn), exact "
			   "and repeatable. Instructions are not time: no caches, no TLB, no lock contention.\n");
	if (wall)
		fprintf(f, "- Lane wall: real time%s.\n",
			tcg ? " under QEMU's translator (TCG), which tells an explosion from none, not nanoseconds of hardware" : "");
	fputc('\n', f);
	json_decref(said);
}

static bool kernel_configs_differ(const json_t *doc)
{
	const json_t *kernels = json_object_get(doc, "kernels"), *k;
	size_t i;

	json_array_foreach(kernels, i, k)
		if (strcmp(json_str(k, "config_hash", ""), json_str(json_array_get(kernels, 0), "config_hash", "")))
			return true;
	return false;
}

/* The noise floor of the icount lane. */
/* Rows that are held against less than this are meant to show small changes; percentiles, which move in steps of a bucket, are not. */
#define FINE_DELTA	0.01

/* From which size on a slow-down would have been found, over the rows of times in the icount lane. */
static void summary_power(FILE *f, const struct comparison *c)
{
	static const double sizes[] = { 0.005, 0.01, 0.02 };
	const struct cmp_row *worst = NULL;
	size_t found[BENCH_SIZE(sizes)] = {}, n = 0;

	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *r = &c->rows[i];

		if (!isfinite(r->found_from) || strcmp(r->unit, "ns") || r->delta >= FINE_DELTA)
			continue;
		n++;
		for (size_t k = 0; k < BENCH_SIZE(sizes); k++)
			found[k] += r->found_from <= sizes[k];
		if (!worst || r->found_from > worst->found_from)
			worst = r;
	}
	if (!n)
		return;
	fprintf(f, "Power of the icount lane: of the %zu rows of times that are held against less than %g %%, a slow-down of %g %% would be found in %zu",
		n, 100 * FINE_DELTA, 100 * sizes[0], found[0]);
	for (size_t k = 1; k < BENCH_SIZE(sizes); k++)
		fprintf(f, ", of %g %% in %zu", 100 * sizes[k], found[k]);
	fprintf(f, "; last of all in %s %s (%s/%s), from %.1f %% on.\n\n", worst->metric, worst->coords, worst->fs, worst->mode,
		100 * worst->found_from);
}

static void summary_noise(FILE *f, const struct comparison *c)
{
	double *noise = bench_alloc((c->nr + 1) * sizeof(*noise)), most = 0;
	size_t n = 0;

	for (size_t i = 0; i < c->nr; i++)
		if (!isnan(c->rows[i].noise)) {
			noise[n++] = c->rows[i].noise;
			most = fmax(most, c->rows[i].noise);
		}
	if (n)
		fprintf(f, "Noise floor of the icount lane: among equal boots none. Layouts of memory alone move %s's rows by %s (median; "
			   "at most %s), which pairing by layout takes out.\n\n", c->base, show_percent(stat_median(noise, n)), show_percent(most));
	free(noise);
}

static void summary_comparison(FILE *f, const struct comparison *c)
{
	static const char *const heads[] = { "improved", "regressed", "unchanged", "inconclusive", "invalid", "shown only" };
	struct table *t;
	const struct cmp_row **rows;
	size_t nr, families = 0, count[6];

	fprintf(f, "### %s with %s\n\n", c->base, c->cand);
	if (c->refused) {
		fprintf(f, "Not compared: %s.\n\n", c->refused);
		return;
	}
	t = table_new("llrrrrrr", "lane", "verdict", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]);
	for (size_t l = 0; l < BENCH_SIZE(report_lanes); l++) {
		enum verdict v = comparison_lane(c, report_lanes[l]);

		report_lane_counts(c, report_lanes[l], count);
		if (v == V_INFO)
			continue;
		table_cell(t, "%s", report_lanes[l]);
		table_cell(t, "**%s**%s", verdict_name(v), report_pooled_word(v, count));
		for (size_t i = 0; i < BENCH_SIZE(count); i++)
			table_cell(t, "%zu", count[i]);
	}
	table_print_markdown(f, t);
	table_free(t);
	summary_noise(f, c);
	summary_power(f, c);
	t = table_new("lrrlll", "times of the wall lane, pooled", "boots", "change", "90 % interval", "held against", "verdict");
	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *r = &c->rows[i];

		if (!r->family)
			continue;
		families++;
		table_cell(t, "%s, %s", r->workload, r->coords);
		table_cell(t, "%u + %u", r->nb, r->nc);
		table_cell(t, "%s", show_percent(r->rel));
		table_cell(t, "%s", show_interval(r->ci));
		table_cell(t, "a factor of %.2f", 1 + r->delta);
		table_cell(t, "%s%s%s", verdict_name(r->verdict), r->why ? ": " : "", r->why ? r->why : "");
	}
	if (families)
		table_print_markdown(f, t);
	table_free(t);
	t = report_workload_table(c, false);
	table_print_markdown(f, t);
	table_free(t);
	rows = report_rows(c, false, &nr);
	if (nr) {
		t = rows_table(rows, nr < SUMMARY_CHANGED ? nr : SUMMARY_CHANGED, false, true);
		table_print_markdown(f, t);
		table_free(t);
		if (nr > SUMMARY_CHANGED)
			fprintf(f, "... and %zu more: `shbench report RUN -v all`, or `--json`.\n\n", nr - SUMMARY_CHANGED);
	} else {
		fprintf(f, "No row changed.\n\n");
	}
	free(rows);
}

/* Is the place the same but for the number of containers and the kernel? */
static bool same_place(const struct curve *a, const struct curve *b)
{
	return !strcmp(a->s[0]->lane, b->s[0]->lane) && !strcmp(a->s[0]->fs, b->s[0]->fs) && !strcmp(a->s[0]->image, b->s[0]->image) &&
	       !strcmp(a->s[0]->workload, b->s[0]->workload) && !strcmp(a->rest, b->rest);
}

/* One metric at the coordinates of a curve's point: same cell group and kernel, same coordinates; NaN if there is none. */
static double same_point(const struct series_set *set, const struct series *like, const char *metric)
{
	for (size_t i = 0; i < set->nr; i++) {
		const struct series *s = &set->s[i];

		if (series_is(s, like->workload, metric) && !strcmp(s->kernel, like->kernel) && !strcmp(s->section, like->section) &&
		    !strcmp(s->lane, like->lane) && !strcmp(s->fs, like->fs) && !strcmp(s->mode, like->mode) &&
		    !strcmp(s->image, like->image) && (!strcmp(s->coords, like->coords) || !*s->coords))
			return series_median(s);
	}
	return NAN;
}

/* Says from the numbers themselves whether the containers' pages are held once. */
static const char *shared_word(double unique, double logical, double one_copy)
{
	double saved = (logical - unique) / (logical - one_copy);

	return saved >= 0.9 ? "yes" : saved > 0.1 ? "partly" : "no";
}

/* The median at x; NaN if the curve has no such point (or there is no curve). */
static double curve_value(const struct curve *c, double x)
{
	for (size_t i = 0; c && i < c->nr; i++)
		if (c->x[i] == x)
			return series_median(c->s[i]);
	return NAN;
}

static void summary_savings_rows(struct table *t, const struct series_set *set, const struct curve_set *curves, size_t at,
				 const char *baseline)
{
	const struct curve *ref = NULL, *head = &curves->c[at];
	double one;

	for (size_t i = at; i < curves->nr; i++) {
		const struct curve *c = &curves->c[i];
		bool clone = !strcmp(c->s[0]->mode, "reflink") || !strcmp(c->s[0]->mode, "snapshot");

		if (same_place(c, head) && clone && !strcmp(c->s[0]->kernel, baseline) &&
		    (!ref || !strcmp(c->s[0]->mode, "reflink")))
			ref = c;
	}
	for (size_t i = at; i < curves->nr; i++) {
		const struct curve *c = &curves->c[i];
		const struct series *s = c->s[c->nr - 1];
		double unique, logical, base;

		if (!same_place(c, head))
			continue;
		base = curve_value(ref, c->x[c->nr - 1]);
		unique = series_median(s);
		logical = same_point(set, s, "logical_pages");
		one = series_ideal(set, s);
		table_cell(t, "%s", s->image);
		table_cell(t, "%s, %s", s->fs, s->lane);
		table_cell(t, "%s", s->coords);
		table_cell(t, "%s, %s", s->kernel, s->mode);
		table_cell(t, "%s", shared_word(unique, logical, one));
		table_cell(t, "%.1f", unique * BENCH_PAGE / 0x1p20);
		if (c == ref || isnan(base) || base == 0)
			table_cell(t, "-");
		else
			table_cell(t, "%.1f", 100 * (1 - unique / base));
	}
	one = series_ideal(set, head->s[head->nr - 1]);
	if (!isnan(one)) {
		const struct series *s = head->s[head->nr - 1];
		double base = curve_value(ref, head->x[head->nr - 1]);

		table_cell(t, "%s", s->image);
		table_cell(t, "%s, %s", s->fs, s->lane);
		table_cell(t, "%s", s->coords);
		table_cell(t, "(one copy: the ideal)");
		table_cell(t, "yes");
		table_cell(t, "%.1f", one * BENCH_PAGE / 0x1p20);
		if (isnan(base) || base == 0)
			table_cell(t, "-");
		else
			table_cell(t, "%.1f", 100 * (1 - one / base));
	}
}

/* Pages as MiB, "-" for NaN; static storage that lasts until the next call. */
static const char *show_mib(double pages)
{
	static char text[32];

	snprintf(text, sizeof(text), isnan(pages) ? "-" : "%.1f", pages * BENCH_PAGE / 0x1p20);
	return text;
}

/* MiB over N, one table for each place, with the slope. */
static void summary_footprint_table(FILE *f, const struct curve_set *curves, size_t at)
{
	const struct curve *head = &curves->c[at];
	struct table *t = table_new("l", "kernel, mode");

	for (size_t k = 0; k < head->nr; k++) {
		char *n = bench_printf("N=%.0f", head->x[k]);

		table_add_column(t, 'r', n);
		free(n);
	}
	table_add_column(t, 'r', "MiB per container more");
	for (size_t i = at; i < curves->nr; i++) {
		const struct curve *c = &curves->c[i];

		if (!same_place(c, head))
			continue;
		table_cell(t, "%s, %s", c->s[0]->kernel, c->s[0]->mode);
		for (size_t k = 0; k < head->nr; k++)
			table_cell(t, "%s", show_mib(curve_value(c, head->x[k])));
		slope_cell(t, c);
	}
	fprintf(f, "%s, %s, lane %s%s%s: MiB of unique page frames that N containers hold in the page cache\n\n", head->s[0]->image,
		head->s[0]->fs, head->s[0]->lane, *head->rest ? ", " : "", head->rest);
	table_print_markdown(f, t);
	table_free(t);
}

static void summary_footprint(FILE *f, const json_t *doc, const struct series_set *set)
{
	struct table *savings = table_new("lllllrr", "image", "file system, lane", "at", "kernel, mode", "shared", "MiB", "reduction %");
	struct curve_set curves;

	curves_collect(set, "unique_frames", "n", &curves);
	if (curves.nr)
		fprintf(f, "## Memory footprint against the number of containers\n\n");
	for (size_t i = 0; i < curves.nr; i++) {
		bool first = true;

		for (size_t k = 0; k < i; k++)
			first &= !same_place(&curves.c[k], &curves.c[i]);
		if (!first)
			continue;
		summary_footprint_table(f, &curves, i);
		summary_savings_rows(savings, set, &curves, i, json_str(doc, "baseline", ""));
	}
	if (curves.nr)
		fprintf(f, "The slope is Theil-Sen's over all boots, with its 95 %% interval.\n\n");
	if (table_rows(savings)) {
		fprintf(f, "## Page cache shared or not\n\nAt the largest N. \"Shared\" is read off the numbers: yes if the frames are "
			   "those of one copy (to 10 %%), no if they are those of N.\n\n");
		table_print_markdown(f, savings);
	}
	table_free(savings);
	curves_free(&curves);
}

/* last: of this coordinate the open table shows the largest value only. */
struct chapter {
	const char *workload, *title, *text, *last;
};

static const struct chapter chapters[] = {
	{ "fault", "Page fault latency by class", "", NULL },
	{ "read", "Reading", "", NULL },
	{ "cow", "COW break", "The first write to a shared extent, by way, at the largest number of sharers (n).", "n" },
	{ "copyup", "Overlay copy-up by file size", "", NULL },
	{ "start", "Container start", "The first container and the later ones.", NULL },
	{ "pressure", "Under memory pressure", "", NULL },
	{ "fio", "fio", "", NULL },
};

/* The base name of a series whose metric ends in ".p50", or NULL. */
static char *hist_name(const struct series *s)
{
	size_t len = strlen(s->metric);

	if (len < 5 || strcmp(s->metric + len - 4, ".p50"))
		return NULL;
	return bench_printf("%.*s", (int)(len - 4), s->metric);
}

static bool is_derived(const struct series *s)
{
	const char *dot = strchr(s->metric, '.');

	return dot && (!strcmp(dot, ".p99") || !strcmp(dot, ".p99.9") || !strcmp(dot, ".mean"));
}

static const struct series *by_kernel(const struct series_set *set, const char *key, const char *kernel)
{
	for (size_t i = 0; i < set->nr; i++)
		if (!strcmp(set->s[i].key, key) && !strcmp(set->s[i].kernel, kernel))
			return &set->s[i];
	return NULL;
}

/* A series' key with another metric in it: what follows the last but one separator. */
static char *key_with_metric(const struct series *s, const char *metric)
{
	size_t tail = strlen(s->metric) + 1 + strlen(s->coords), len = strlen(s->key);

	return bench_printf("%.*s%s\x1f%s", (int)(len - tail), s->key, metric, s->coords);
}

static void chapter_cell(struct table *t, const struct series_set *set, const struct series *s, const char *hist, const char *kernel)
{
	static const char *const parts[] = { ".p50", ".p99", ".p99.9" };
	const char *text[BENCH_SIZE(parts)];

	if (!hist) {
		s = by_kernel(set, s->key, kernel);
		table_cell(t, "%s", s ? show_value(series_median(s), s->unit, s->lane) : "-");
		return;
	}
	for (size_t i = 0; i < BENCH_SIZE(parts); i++) {
		char *metric = bench_printf("%s%s", hist, parts[i]), *key = key_with_metric(s, metric);
		const struct series *p = by_kernel(set, key, kernel);

		text[i] = p ? show_value(series_median(p), p->unit, p->lane) : "-";
		free(metric);
		free(key);
	}
	table_cell(t, "%s / %s / %s", text[0], text[1], text[2]);
}

/* Which rows of a workload a table shows. */
struct selection {
	const char *workload;
	const char *without;	/* a metric that has tables of its own */
	const char *coord;	/* only series with the value at (or without this coordinate) */
	double at;
};

static bool is_selected(const struct series_set *set, size_t i, const struct selection *sel)
{
	const struct series *s = &set->s[i];
	double x = sel->coord ? coord_number(series_coord(s, sel->coord, NULL)) : NAN;

	if (strcmp(s->workload, sel->workload) || is_derived(s) || (sel->without && series_is(s, NULL, sel->without)) ||
	    (!isnan(x) && x != sel->at))
		return false;
	/* Another kernel's series of the same key has its column already. */
	for (size_t p = 0; p < i; p++)
		if (!strcmp(set->s[p].key, s->key))
			return false;
	return true;
}

/* One table: a row for each metric and place of a workload, a column for each kernel; latencies first. No metric crowds out the others. */
static void summary_table(FILE *f, const json_t *doc, const struct series_set *set, const struct selection *sel)
{
	const json_t *kernels = json_object_get(doc, "kernels"), *k;
	struct table *t = table_new("llll", "lane", "where", "metric", "at");
	json_t *shown = json_object();	/* so many rows of each metric */
	size_t left_out = 0, i;
	bool hists = false;

	json_array_foreach(kernels, i, k)
		table_add_column(t, 'r', json_str(k, "label", "?"));
	table_add_column(t, 'l', "cell");
	for (int want_hist = 1; want_hist >= 0; want_hist--)
		for (size_t r = 0; r < set->nr; r++) {
			const struct series *s = &set->s[r];
			char *hist = hist_name(s);

			if (!hist == !want_hist && is_selected(set, r, sel)) {
				const char *metric = hist ? hist : s->metric;
				json_int_t rows = json_integer_value(json_object_get(shown, metric));

				if (rows >= SUMMARY_ROWS) {
					left_out++;
				} else {
					json_object_set_new(shown, metric, json_integer(rows + 1));
					hists |= hist != NULL;
					table_cell(t, "%s", s->lane);
					table_cell(t, "%s/%s/%s", s->fs, s->mode, s->image);
					table_cell(t, "%s", metric);
					table_cell(t, "%s", s->coords);
					json_array_foreach(kernels, i, k)
						chapter_cell(t, set, s, hist, json_str(k, "label", ""));
					table_cell(t, "`%.12s`", json_str(s->v[0].cell, "id", "?"));
				}
			}
			free(hist);
		}
	table_print_markdown(f, t);
	table_free(t);
	json_decref(shown);
	if (hists)
		fprintf(f, "Latencies are p50 / p99 / p99.9.\n\n");
	if (left_out)
		fprintf(f, "... and %zu rows more in run.json.\n\n", left_out);
}

/* The largest value of a coordinate in a workload; NaN if it has none. */
static double largest_coord(const struct series_set *set, const char *workload, const char *coord)
{
	double most = NAN;

	for (size_t i = 0; coord && i < set->nr; i++)
		if (!strcmp(set->s[i].workload, workload))
			most = fmax(most, coord_number(series_coord(&set->s[i], coord, NULL)));
	return most;
}

static bool has_workload(const struct series_set *set, const char *workload)
{
	for (size_t i = 0; i < set->nr; i++)
		if (!strcmp(set->s[i].workload, workload))
			return true;
	return false;
}

/* Workloads without a chapter of their own, so that a new one needs no change here. */
static void summary_others(FILE *f, const json_t *doc, const struct series_set *set)
{
	const json_t *w;
	size_t i;

	json_array_foreach(json_object_get(doc, "workloads"), i, w) {
		const char *name = json_str(w, "name", "");
		bool own = false;

		for (size_t c = 0; c < BENCH_SIZE(chapters); c++)
			own |= !strcmp(chapters[c].workload, name);
		if (own || !has_workload(set, name))
			continue;
		fprintf(f, "<details><summary>%s: all metrics</summary>\n\n", name);
		summary_table(f, doc, set, &(struct selection){ .workload = name, .without = "unique_frames" });
		fprintf(f, "</details>\n\n");
	}
}

void report_put_text(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\n':
			fputs("&#10;", f);
			break;
		default:
			fputc((unsigned char)*s < 0x20 && *s != '\t' ? '?' : *s, f);
		}
	}
}

struct table *report_gate(const json_t *doc)
{
	struct table *t = table_new("llllll", "section", "kernel", "must be", "is", "found", "reproduce");
	const json_t *g;
	size_t i;

	json_array_foreach(json_object_get(doc, "gate_results"), i, g) {
		const char *metric = json_str(g, "metric", "");

		table_cell(t, "%s", json_str(g, "section", "?"));
		table_cell(t, "%s", json_str(g, "label", "?"));
		table_cell(t, "%s%s%s", json_str(g, "want", "?"), *metric ? " in " : "", metric);
		table_cell(t, "%s", json_is_true(json_object_get(g, "ok")) ? "so" : "NOT so");
		table_cell(t, "%s", json_str(g, "why", ""));
		table_cell(t, "`%s`", json_str(g, "reproduce", ""));
	}
	return t;
}

static void summary_gate(FILE *f, const json_t *doc)
{
	size_t failed, nr = gate_count(doc, &failed);
	struct table *t;

	if (!nr)
		return;
	fprintf(f, "## Gate\n\n%s\n\n", failed ?
		"**This run is invalid: comparisons whose outcome is known came out otherwise. No other number here can be trusted.**" :
		"Comparisons whose outcome is known, made to show that the others can be trusted: all came out as they must.");
	t = report_gate(doc);
	table_print_markdown(f, t);
	table_free(t);
}

struct table *report_bad_cells(const json_t *doc)
{
	struct table *t = table_new("llllll", "cell", "what", "kernel", "verdict", "why", "reproduce");
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		char *splat;

		if (cell_class(json_str(c, "verdict", "")) == CELL_PASSED)
			continue;
		splat = cell_splat(c);
		table_cell(t, "`%s`", json_str(c, "id", "?"));
		table_cell(t, "%s: %s, %s, %s, %s", json_str(c, "section", "?"), json_str(c, "workload", "?"), json_str(c, "lane", "?"),
			   json_str(c, "fs", "?"), json_str(c, "mode", "?"));
		table_cell(t, "%s", json_str(c, "kernel", "?"));
		table_cell(t, "%s", json_str(c, "verdict", "?"));
		table_cell(t, "%s%s%s%s", json_str(c, "why", ""), *splat ? " (" : "", splat, *splat ? ")" : "");
		table_cell(t, "`%s`", json_str(c, "reproduce", ""));
		free(splat);
	}
	return t;
}

static void summary_bad_cells(FILE *f, const json_t *doc)
{
	struct table *t = report_bad_cells(doc);

	if (table_rows(t)) {
		fprintf(f, "## Boots without a number\n\nWhat failed, was invalid or was skipped appears in no table above.\n\n");
		table_print_markdown(f, t);
	}
	table_free(t);
}

static void summary_reproduce(FILE *f, const json_t *doc)
{
	json_t *said = json_object();
	const json_t *c;
	size_t i;

	fprintf(f, "## Reproduce\n\nOne boot of each section; any other by its cell.\n\n```\n");
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		char *key = bench_printf("%s %s", json_str(c, "section", "?"), json_str(c, "lane", "?"));

		if (!json_object_get(said, key))
			fprintf(f, "%s\t# %s\n", json_str(c, "reproduce", "?"), key);
		json_object_set_new(said, key, json_true());
		free(key);
	}
	fprintf(f, "```\n");
	json_decref(said);
}

int report_summary(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp)
{
	struct series_set set;
	FILE *f = fopen(path, "w");
	int ret = 0;

	if (!f)
		return -errno;
	series_collect(doc, NULL, &set);
	fprintf(f, "# %s: %s\n\n", json_str(json_object_get(doc, "plan"), "name", "?"), json_str(doc, "id", "?"));
	if (!json_is_true(json_object_get(doc, "complete")))
		fprintf(f, "**Incomplete: the run was interrupted; what follows is from the boots that were finished.**\n\n");
	summary_gate(f, doc);
	summary_provenance(f, doc);
	summary_notes(f, doc);
	if (nr_cmp) {
		fprintf(f, "## Verdicts\n\n");
		if (kernel_configs_differ(doc))
			fprintf(f, "The kernels' configs differ (see above).\n\n");
		for (size_t i = 0; i < nr_cmp; i++)
			summary_comparison(f, &c[i]);
	}
	summary_footprint(f, doc, &set);
	for (size_t i = 0; i < BENCH_SIZE(chapters); i++) {
		if (!has_workload(&set, chapters[i].workload))
			continue;
		fprintf(f, "## %s\n\n%s%s", chapters[i].title, chapters[i].text, *chapters[i].text ? "\n\n" : "");
		summary_table(f, doc, &set, &(struct selection){ .workload = chapters[i].workload, .coord = chapters[i].last,
								  .at = largest_coord(&set, chapters[i].workload, chapters[i].last) });
	}
	summary_others(f, doc, &set);
	summary_bad_cells(f, doc);
	summary_reproduce(f, doc);
	series_free(&set);
	if (ferror(f))
		ret = -EIO;
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------- */

static json_t *number_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *row_json(const struct cmp_row *r)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "section", r->section, "workload", r->workload, "lane", r->lane,
			      "fs", r->fs, "mode", r->mode, "image", r->image, "metric", r->metric, "coords", r->coords, "unit",
			      r->unit, "family", r->family);

	json_object_set_new(o, "base", number_or_null(r->base));
	json_object_set_new(o, "cand", number_or_null(r->cand));
	json_object_set_new(o, "rel", number_or_null(r->rel));
	json_object_set_new(o, "interval", json_pack("[o,o]", number_or_null(r->ci[0]), number_or_null(r->ci[1])));
	json_object_set_new(o, "delta", number_or_null(r->delta));
	json_object_set_new(o, "noise", number_or_null(r->noise));
	json_object_set_new(o, "found_from", number_or_null(r->found_from));
	json_object_set_new(o, "p", number_or_null(r->p));
	json_object_set_new(o, "boots", json_pack("[i,i]", (int)r->nb, (int)r->nc));
	json_object_set_new(o, "verdict", json_string(verdict_name(r->verdict)));
	json_object_set_new(o, "why", json_string(r->why ? r->why : ""));
	json_object_set_new(o, "reproduce", json_string(r->reproduce ? r->reproduce : ""));
	return o;
}

json_t *report_json(const json_t *doc, const struct comparison *c, size_t nr_cmp)
{
	json_t *out = json_pack("{s:s,s:s,s:b}", "schema", "shcache-report/1", "run", json_str(doc, "id", "?"), "complete",
				json_is_true(json_object_get(doc, "complete")));
	json_t *list = json_array();

	for (size_t i = 0; i < nr_cmp; i++) {
		json_t *o = json_pack("{s:s,s:s}", "base", c[i].base, "cand", c[i].cand), *rows = json_array(), *lane = json_object(),
		       *count = json_object();

		json_object_set_new(o, "refused", c[i].refused ? json_string(c[i].refused) : json_null());
		for (size_t l = 0; l < BENCH_SIZE(report_lanes); l++)
			if (comparison_lane(&c[i], report_lanes[l]) != V_INFO)
				json_object_set_new(lane, report_lanes[l], json_string(verdict_name(comparison_lane(&c[i], report_lanes[l]))));
		for (size_t v = 0; v < BENCH_SIZE(c[i].count); v++)
			json_object_set_new(count, verdict_name((enum verdict)v), json_integer((json_int_t)c[i].count[v]));
		for (size_t r = 0; r < c[i].nr; r++)
			json_array_append_new(rows, row_json(&c[i].rows[r]));
		json_object_set_new(o, "lanes", lane);
		json_object_set_new(o, "count", count);
		json_object_set_new(o, "failed_cells", json_integer((json_int_t)c[i].failed));
		json_object_set_new(o, "rows", rows);
		json_array_append_new(list, o);
	}
	json_object_set_new(out, "comparisons", list);
	if (json_object_get(doc, "gate_results"))
		json_object_set(out, "gate", json_object_get(doc, "gate_results"));
	return out;
}
