// SPDX-License-Identifier: GPL-2.0
/*
 * Reports for CI systems: JUnit XML and KTAP. A row of a comparison is a test; "unchanged" and "improved" pass, "regressed" fails,
 * "invalid" is an error, and "inconclusive" is skipped, as nothing was shown. Rows that are never judged are left out.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "report.h"

/* " name="..."" */
static void put_attribute(FILE *f, const char *name, const char *value)
{
	fprintf(f, " %s=\"", name);
	report_put_text(f, value);
	fputc('"', f);
}

static bool is_judged(const struct cmp_row *r)
{
	return r->verdict != V_INFO;
}

/* "fault.mean class=pte-only" */
static char *row_name(const struct cmp_row *r)
{
	return bench_printf("%s%s%s", r->metric, *r->coords ? " " : "", r->coords);
}

/* "+3.1 % [+2.9, +3.2] %: 640 insn -> 660 insn" and the reason, if there is one. */
static char *row_says(const struct cmp_row *r)
{
	char *numbers = isnan(r->rel) ? bench_strdup("") :
			bench_printf(" %s %s: %s -> %s", show_percent(r->rel), show_interval(r->ci), show_value(r->base, r->unit, r->lane),
				     show_value(r->cand, r->unit, r->lane));
	char *text = bench_printf("%s%s%s%s", verdict_name(r->verdict), numbers, r->why ? "; " : "", r->why ? r->why : "");

	free(numbers);
	return text;
}

static void junit_row(FILE *f, const struct cmp_row *r)
{
	static const char *const element[] = { [V_REGRESSED] = "failure", [V_INVALID] = "error", [V_INCONCLUSIVE] = "skipped",
					       [V_INFO] = NULL };
	char *place = report_place(r), *name = row_name(r), *says = row_says(r), *class = bench_printf("%s.%s", r->workload, place);

	fputs("  <testcase", f);
	put_attribute(f, "classname", class);
	put_attribute(f, "name", name);
	fputs(" time=\"0\">\n", f);
	if (element[r->verdict]) {
		fprintf(f, "   <%s", element[r->verdict]);
		if (r->verdict != V_INCONCLUSIVE)
			put_attribute(f, "type", verdict_name(r->verdict));
		put_attribute(f, "message", says);
		fputs("/>\n", f);
	}
	fputs("   <system-out>", f);
	report_put_text(f, says);
	fputs("&#10;reproduce: ", f);
	report_put_text(f, r->reproduce);
	fputs("</system-out>\n  </testcase>\n", f);
	free(place);
	free(name);
	free(says);
	free(class);
}

struct totals {
	size_t tests, failures, errors, skipped;
};

static void put_totals(FILE *f, const struct totals *t)
{
	fprintf(f, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\"", t->tests, t->failures, t->errors, t->skipped);
}

static void add_totals(struct totals *sum, const struct totals *t)
{
	sum->tests += t->tests;
	sum->failures += t->failures;
	sum->errors += t->errors;
	sum->skipped += t->skipped;
}

static struct totals lane_totals(const struct comparison *c, const char *lane)
{
	size_t count[6];

	report_lane_counts(c, lane, count);
	return (struct totals){ .tests = count[V_IMPROVED] + count[V_REGRESSED] + count[V_UNCHANGED] + count[V_INCONCLUSIVE] + count[V_INVALID],
				.failures = count[V_REGRESSED], .errors = count[V_INVALID], .skipped = count[V_INCONCLUSIVE] };
}

static struct totals boot_totals(const json_t *doc)
{
	return (struct totals){ .tests = json_array_size(json_object_get(doc, "cells")), .failures = report_count_cells(doc, CELL_FAILED),
				.errors = report_count_cells(doc, CELL_INVALID), .skipped = report_count_cells(doc, CELL_SKIPPED) };
}

static void junit_suite(FILE *f, const json_t *doc, const char *name, const struct totals *t)
{
	const char *created = json_str(doc, "created", "");

	fputs(" <testsuite", f);
	put_attribute(f, "name", name);
	put_totals(f, t);
	/* The schema's dateTime has no room for the Z. */
	fprintf(f, " time=\"0\" timestamp=\"%.19s\">\n", created);
}

static void junit_property(FILE *f, const char *name, const char *value)
{
	fputs("   <property", f);
	put_attribute(f, "name", name);
	put_attribute(f, "value", value);
	fputs("/>\n", f);
}

static void junit_properties(FILE *f, const json_t *doc)
{
	const json_t *q = json_object_get(doc, "qemu"), *kernels = json_object_get(doc, "kernels"), *k;
	size_t i;

	fputs("  <properties>\n", f);
	junit_property(f, "run", json_str(doc, "id", "?"));
	junit_property(f, "qemu", json_str(q, "version", "?"));
	junit_property(f, "accelerator", json_str(q, "accel", "?"));
	json_array_foreach((json_t *)kernels, i, k) {
		char *name = bench_printf("kernel %s", json_str(k, "label", "?"));
		char *value = bench_printf("%s, build %s, config %.12s", json_str(k, "release", "?"), json_str(k, "id", "?"),
					   json_str(k, "config_hash", "?"));

		junit_property(f, name, value);
		free(name);
		free(value);
	}
	fputs("  </properties>\n", f);
}

static void junit_boots(FILE *f, const json_t *doc)
{
	static const char *const element[] = { [CELL_FAILED] = "failure", [CELL_INVALID] = "error", [CELL_SKIPPED] = "skipped",
					       [CELL_UNKNOWN] = NULL };
	const struct totals t = boot_totals(doc);
	const json_t *c;
	size_t i;

	junit_suite(f, doc, "boots", &t);
	junit_properties(f, doc);
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *verdict = json_str(c, "verdict", "?");
		char *class = bench_printf("%s.%s", json_str(c, "section", "?"), json_str(c, "kernel", "?")), *splat = cell_splat(c);
		char *name = bench_printf("%s %s %s/%s boot %.0f layout %.0f", json_str(c, "id", "?"), json_str(c, "lane", "?"),
					  json_str(c, "fs", "?"), json_str(c, "mode", "?"), json_num(c, "boot", 0),
					  json_num(c, "perturbation", 0));
		char *says = bench_printf("%s: %s%s%s", verdict, json_str(c, "why", ""), *splat ? "; " : "", splat);

		fputs("  <testcase", f);
		put_attribute(f, "classname", class);
		put_attribute(f, "name", name);
		fprintf(f, " time=\"%.1f\">\n", fmax(json_num(c, "wall_s", 0), 0));
		if (element[cell_class(verdict)]) {
			fprintf(f, "   <%s", element[cell_class(verdict)]);
			if (cell_class(verdict) != CELL_SKIPPED)
				put_attribute(f, "type", verdict);
			put_attribute(f, "message", says);
			fputs("/>\n", f);
		}
		fputs("   <system-out>reproduce: ", f);
		report_put_text(f, json_str(c, "reproduce", ""));
		fputs("</system-out>\n  </testcase>\n", f);
		free(class);
		free(name);
		free(says);
		free(splat);
	}
	fputs(" </testsuite>\n", f);
}

static void junit_gate(FILE *f, const json_t *doc)
{
	const json_t *g;
	size_t i, failed;
	const struct totals t = { .tests = gate_count(doc, &failed), .errors = failed };

	junit_suite(f, doc, "gate", &t);
	json_array_foreach(json_object_get(doc, "gate_results"), i, g) {
		char *name = bench_printf("%s must be %s", json_str(g, "label", "?"), json_str(g, "want", "?"));

		fputs("  <testcase", f);
		put_attribute(f, "classname", json_str(g, "section", "?"));
		put_attribute(f, "name", name);
		fputs(" time=\"0\">\n", f);
		if (!json_is_true(json_object_get(g, "ok"))) {
			fputs("   <error type=\"invalid\"", f);
			put_attribute(f, "message", json_str(g, "why", ""));
			fputs("/>\n", f);
		}
		fputs("   <system-out>reproduce: ", f);
		report_put_text(f, json_str(g, "reproduce", ""));
		fputs("</system-out>\n  </testcase>\n", f);
		free(name);
	}
	fputs(" </testsuite>\n", f);
}

static void junit_refused(FILE *f, const json_t *doc, const struct comparison *c)
{
	const struct totals t = { .tests = 1, .errors = 1 };
	char *name = bench_printf("%s with %s", c->base, c->cand);

	junit_suite(f, doc, name, &t);
	fputs("  <testcase classname=\"comparison\" name=\"can be compared\" time=\"0\">\n   <error type=\"invalid\"", f);
	put_attribute(f, "message", c->refused);
	fputs("/>\n  </testcase>\n </testsuite>\n", f);
	free(name);
}

static int end_file(FILE *f)
{
	int ret = ferror(f) ? -EIO : 0;

	return fclose(f) && !ret ? -errno : ret;
}

int report_junit(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp)
{
	struct totals all = boot_totals(doc), gate = {};
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	gate.tests = gate_count(doc, &gate.errors);
	add_totals(&all, &gate);
	for (size_t i = 0; i < nr_cmp; i++)
		for (size_t l = 0; l < BENCH_SIZE(report_lanes); l++) {
			struct totals t = lane_totals(&c[i], report_lanes[l]);

			if (c[i].refused)
				t = (struct totals){ .tests = !l, .errors = !l };
			add_totals(&all, &t);
		}
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites", f);
	put_attribute(f, "name", json_str(json_object_get(doc, "plan"), "name", "?"));
	put_totals(f, &all);
	fputs(" time=\"0\">\n", f);
	if (gate.tests)
		junit_gate(f, doc);
	for (size_t i = 0; i < nr_cmp; i++) {
		if (c[i].refused)
			junit_refused(f, doc, &c[i]);
		for (size_t l = 0; l < BENCH_SIZE(report_lanes) && !c[i].refused; l++) {
			const struct totals t = lane_totals(&c[i], report_lanes[l]);
			char *name = bench_printf("%s with %s, %s lane", c[i].base, c[i].cand, report_lanes[l]);

			if (t.tests) {
				junit_suite(f, doc, name, &t);
				for (size_t r = 0; r < c[i].nr; r++)
					if (is_judged(&c[i].rows[r]) && !strcmp(c[i].rows[r].lane, report_lanes[l]))
						junit_row(f, &c[i].rows[r]);
				fputs(" </testsuite>\n", f);
			}
			free(name);
		}
	}
	junit_boots(f, doc);
	fputs("</testsuites>\n", f);
	return end_file(f);
}

/* --- KTAP ------------------------------------------------------------------------------------------------------------------ */

/* One line's text: '#' would begin a directive, and there are no lines in lines. */
static void put_tap(FILE *f, const char *s)
{
	for (; *s; s++)
		fputc(*s == '#' ? '_' : (unsigned char)*s < 0x20 ? ' ' : *s, f);
}

static void ktap_row(FILE *f, size_t no, const struct cmp_row *r)
{
	bool bad = r->verdict == V_REGRESSED || r->verdict == V_INVALID;
	char *place = report_place(r), *name = row_name(r), *says = row_says(r);

	fprintf(f, "    %s %zu ", bad ? "not ok" : "ok", no);
	put_tap(f, r->workload);
	fputc(' ', f);
	put_tap(f, place);
	fputc(' ', f);
	put_tap(f, name);
	if (r->verdict == V_INCONCLUSIVE) {
		fputs(" # SKIP ", f);
		put_tap(f, says);
	}
	fputs("\n    # ", f);
	put_tap(f, says);
	fputs("\n    # reproduce: ", f);
	put_tap(f, r->reproduce);
	fputc('\n', f);
	free(place);
	free(name);
	free(says);
}

/* A lane of a comparison as a test with its rows below. */
static void ktap_lane(FILE *f, size_t no, const struct comparison *c, const char *lane)
{
	const struct totals t = lane_totals(c, lane);
	size_t n = 0;

	fprintf(f, "    KTAP version 1\n    1..%zu\n", t.tests);
	for (size_t r = 0; r < c->nr; r++)
		if (is_judged(&c->rows[r]) && !strcmp(c->rows[r].lane, lane))
			ktap_row(f, ++n, &c->rows[r]);
	fprintf(f, "%s %zu %s with %s, %s lane%s%s\n", t.failures || t.errors ? "not ok" : "ok", no, c->base, c->cand, lane,
		comparison_lane(c, lane) == V_INCONCLUSIVE ? " # SKIP " : "",
		comparison_lane(c, lane) == V_INCONCLUSIVE ? "inconclusive" : "");
}

static void ktap_gate(FILE *f, size_t no, const json_t *doc)
{
	size_t failed, nr = gate_count(doc, &failed), i;
	const json_t *g;

	fprintf(f, "    KTAP version 1\n    1..%zu\n", nr);
	json_array_foreach(json_object_get(doc, "gate_results"), i, g) {
		fprintf(f, "    %s %zu %s: %s must be %s\n    # ", json_is_true(json_object_get(g, "ok")) ? "ok" : "not ok", i + 1,
			json_str(g, "section", "?"), json_str(g, "label", "?"), json_str(g, "want", "?"));
		put_tap(f, json_str(g, "why", ""));
		fputs("\n    # reproduce: ", f);
		put_tap(f, json_str(g, "reproduce", ""));
		fputc('\n', f);
	}
	fprintf(f, "%s %zu gate\n", failed ? "not ok" : "ok", no);
}

int report_ktap(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp)
{
	const struct totals boots = boot_totals(doc);
	size_t failed, gates = gate_count(doc, &failed), tests = 1 + (gates > 0), no = 0;
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	for (size_t i = 0; i < nr_cmp; i++) {
		tests += c[i].refused != NULL;
		for (size_t l = 0; l < BENCH_SIZE(report_lanes) && !c[i].refused; l++)
			tests += lane_totals(&c[i], report_lanes[l]).tests > 0;
	}
	fprintf(f, "KTAP version 1\n1..%zu\n", tests);
	if (gates)
		ktap_gate(f, ++no, doc);
	for (size_t i = 0; i < nr_cmp; i++) {
		if (c[i].refused) {
			fprintf(f, "not ok %zu %s with %s\n# ", ++no, c[i].base, c[i].cand);
			put_tap(f, c[i].refused);
			fputc('\n', f);
		}
		for (size_t l = 0; l < BENCH_SIZE(report_lanes) && !c[i].refused; l++)
			if (lane_totals(&c[i], report_lanes[l]).tests)
				ktap_lane(f, ++no, &c[i], report_lanes[l]);
	}
	fprintf(f, "%s %zu boots: %zu, %zu failed, %zu invalid, %zu skipped\n", boots.failures || boots.errors ? "not ok" : "ok", ++no,
		boots.tests, boots.failures, boots.errors, boots.skipped);
	return end_file(f);
}
