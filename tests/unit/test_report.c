// SPDX-License-Identifier: GPL-2.0
/*
 * report.c and table.c. The whole output for one realistic run is held against tests/fixtures/report-*; after a wanted change
 * `UPDATE_GOLDEN=1 build/tests/test_report` writes them anew (read the diff). What they show is also asserted here in a few facts, so
 * that a careless update does not pass.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "bench-util.h"
#include "bench.h"
#include "report.h"
#include "rundoc-fixture.h"

#define FIXTURES "tests/fixtures/"

static json_t *doc;
static struct comparison cmp[2];

static int setup(void **state)
{
	(void)state;
	doc = realistic_doc(1);
	return compare(doc, "base", doc, "again", false, &cmp[0]) || compare(doc, "base", doc, "shcache", false, &cmp[1]);
}

static int teardown(void **state)
{
	(void)state;
	comparison_free(&cmp[0]);
	comparison_free(&cmp[1]);
	json_decref(doc);
	return 0;
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *s = calloc(1, 4 << 20);

	if (!f) {
		free(s);
		return NULL;
	}
	if (fread(s, 1, (4 << 20) - 1, f) == 0)
		*s = '\0';
	fclose(f);
	return s;
}

/* Compares, and says at which line they part. */
static void golden(const char *name, const char *got)
{
	char *path, *want;

	assert_true(asprintf(&path, FIXTURES "%s", name) > 0);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(got, f);
		fclose(f);
	}
	want = read_text(path);
	if (!want)
		fail_msg("%s cannot be read: run the test from the checkout's top", path);
	for (size_t line = 1, i = 0;; i++) {
		if (got[i] != want[i])
			fail_msg("%s:%zu: it is now \"%.*s\"", path, line, (int)strcspn(got + i, "\n"), got + i);
		if (!got[i])
			break;
		line += got[i] == '\n';
	}
	free(want);
	free(path);
}

static size_t count_lines(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static char *terminal(const struct comparison *c, size_t nr, bool all, bool color)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	report_terminal(f, doc, c, nr, all, color);
	fclose(f);
	return text;
}

static void has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in it:\n%s", words, text);
}

static void terminal_golden(void **state)
{
	char *text = terminal(cmp, 2, false, false);

	(void)state;
	golden("report-terminal.txt", text);
	assert_true(count_lines(text) <= 25);
	has(text, "base with again, icount lane: unchanged (");
	has(text, "base with again, wall lane: unchanged, times pooled (");
	has(text, "base with shcache, icount lane: regressed (");
	has(text, "invalid: panic: kernel BUG at mm/filemap.c:142!");
	has(text, "more; all rows with -v all (at the end of the command)\n");
	assert_null(strchr(text, '\033'));
	free(text);
}

/* Never more than 25 lines, however many comparisons there are; --all has no limit. */
static void terminal_limit(void **state)
{
	struct comparison many[6];
	char *text;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		many[i] = cmp[1];
	for (size_t nr = 1; nr <= 6; nr++) {
		text = terminal(many, nr, false, true);
		if (count_lines(text) > 25)
			fail_msg("%zu lines for %zu comparisons:\n%s", count_lines(text), nr, text);
		has(text, "\033[1;31mregressed\033[0m");
		free(text);
	}
	text = terminal(cmp, 2, true, false);
	assert_true(count_lines(text) >= cmp[0].nr + cmp[1].nr);
	free(text);
}

/* What the run took is a line of the 25. Rows begin with WORKLOAD/LANE below their heading: each ends with its command. */
static void terminal_cost(void **state)
{
	char *text, *row, *save;
	bool below = false;
	size_t rows = 0;

	(void)state;
	json_object_set_new(doc, "cost", json_pack("{s:f,s:f,s:f,s:f,s:f}", "total_s", 511.6, "prepare_s", 2.04, "guests_s", 499.9, "qemu_cpu_s",
						   950.0, "harness_cpu_s", 12.3));
	json_object_set_new(json_array_get(json_object_get(doc, "cells"), 0), "thrown_away", json_integer(2));
	text = terminal(cmp, 2, false, false);
	has(text, "took 8 min 32 s, a guest was running in 97.7 % of it, 2.0 s went by before the first boot; processor: QEMU 950 s, harness 12.3 s (1.3 %)\n");
	has(text, ", 2 thrown away (busy host)\n");
	assert_true(count_lines(text) <= 25);
	for (row = strtok_r(text, "\n", &save); row; row = strtok_r(NULL, "\n", &save)) {
		if (strstr(row, "reproduce") && !strstr(row, "./shbench")) {
			below = true;
		} else if (below && memchr(row, '/', strcspn(row, " "))) {
			rows++;
			has(row, "./shbench run ");
		}
	}
	assert_true(rows > 3);
	free(text);
	json_object_del(doc, "cost");
	json_object_del(json_array_get(json_object_get(doc, "cells"), 0), "thrown_away");
}

/* Without a comparison: what one kernel's containers cost. */
static void terminal_single(void **state)
{
	char *text = terminal(NULL, 0, false, false);

	(void)state;
	assert_true(count_lines(text) <= 25);
	has(text, "38.3 MiB at N=1");
	has(text, "3828.1 MiB at N=100");
	has(text, "38.28 [38.28, 38.28]");
	free(text);
}

static void terminal_refused(void **state)
{
	struct comparison c = { .base = (char *)"a", .cand = (char *)"b", .refused = (char *)"different accelerators" };
	char *text = terminal(&c, 1, false, false);

	(void)state;
	has(text, "a with b: not compared: different accelerators");
	free(text);
}

static void incomplete(void **state)
{
	char *text;

	(void)state;
	json_object_set_new(doc, "complete", json_false());
	text = terminal(cmp, 2, false, false);
	has(text, "INCOMPLETE");
	assert_true(count_lines(text) <= 25);
	free(text);
}

static void summary_golden(void **state)
{
	char path[] = "/tmp/shcache-summary-XXXXXX", *text;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(report_summary(path, doc, cmp, 2), 0);
	text = read_text(path);
	golden("report-summary.md", text);
	has(text, "| base, reflink | 38.3 | 76.6 | 191.4 | 382.8 | 765.6 | 1914.1 | 3828.1 | 38.28 [38.28, 38.28] |");
	has(text, "| debian-slim | xfs, wall | access=read n=100 | base, reflink | no | 3828.1 | - |");
	has(text, "| debian-slim | xfs, wall | access=read n=100 | shcache, reflink | yes | 43.0 | 98.9 |");
	has(text, "| debian-slim | xfs, wall | access=read n=100 | (one copy: the ideal) | yes | 38.3 | 99.0 |");
	has(text, "| panic | kernel BUG at mm/filemap.c:142! |");
	has(text, "| skipped | no loop devices |");
	has(text, "slimmed to the 212 files");
	has(text, "Instructions are not time");
	has(text, "/dev/kvm is there, but a guest does not boot under it");
	has(text, "./shbench run quick --cell abc000000000\t# footprint-xfs wall");
	/* The many latencies of the chapter do not crowd out the means. */
	has(text, "| fault_batch |");
	/* A workload that nobody has heard of. */
	has(text, "surprise | colour=green |");
	has(text, "furlongs");
	unlink(path);
	free(text);
}

static void summary_unwritable(void **state)
{
	json_t *bare = fx_doc();

	(void)state;
	fx_kernel(bare, "base", "base", "", "");
	assert_true(report_summary("/nowhere/summary.md", doc, cmp, 2) < 0);
	if (!access("/dev/full", W_OK))
		assert_true(report_summary("/dev/full", doc, cmp, 2) < 0 && report_summary("/dev/full", bare, NULL, 0) < 0);
	json_decref(bare);
}

/* A summary of the barest document must not fail. */
static void summary_empty(void **state)
{
	char path[] = "/tmp/shcache-summary-XXXXXX", *text;
	json_t *bare = fx_doc();

	(void)state;
	fx_kernel(bare, "base", "base", "", "");
	close(mkstemp(path));
	assert_int_equal(report_summary(path, bare, NULL, 0), 0);
	text = read_text(path);
	has(text, "## Provenance");
	assert_null(strstr(text, "## Verdicts"));
	assert_null(strstr(text, "## Memory"));
	unlink(path);
	free(text);
	json_decref(bare);
}

/* One failed boot has many values: they must not push what regressed out of the table. */
static void many_invalid(void **state)
{
	static const enum verdict v[] = { V_INVALID, V_INVALID, V_IMPROVED, V_INVALID, V_INVALID, V_REGRESSED, V_INVALID, V_INVALID };
	static const enum verdict want[] = { V_INVALID, V_INVALID, V_INVALID, V_REGRESSED, V_IMPROVED, V_INVALID, V_INVALID, V_INVALID };
	struct comparison c = { .nr = sizeof(v) / sizeof(v[0]) };
	const struct cmp_row **r;
	size_t nr;

	(void)state;
	c.rows = calloc(c.nr, sizeof(*c.rows));
	assert_non_null(c.rows);
	for (size_t i = 0; i < c.nr; i++) {
		c.rows[i].verdict = v[i];
		c.rows[i].metric = "fault_batch";
	}
	r = report_rows(&c, false, &nr);
	assert_int_equal(nr, c.nr);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(r[i]->verdict, want[i]);
		/* Each once, and those of a kind in their order. */
		for (size_t k = 0; k < i; k++)
			assert_true(r[k] != r[i] && (v[r[k] - c.rows] != v[r[i] - c.rows] || r[k] < r[i]));
	}
	free(r);
	c.nr = 3;
	r = report_rows(&c, false, &nr);
	assert_int_equal(r[0]->verdict, V_INVALID);
	assert_int_equal(r[2]->verdict, V_IMPROVED);
	free(r);
	free(c.rows);
}

static void as_json(void **state)
{
	json_t *v = report_json(doc, cmp, 2), *c = json_array_get(json_object_get(v, "comparisons"), 1), *rows, *r;
	char *text = json_dumps(v, 0);
	size_t i, invalid = 0;

	(void)state;
	/* NaN and infinity would make it unreadable; jansson refuses to hold them. */
	assert_non_null(text);
	assert_string_equal(json_string_value(json_object_get(json_object_get(c, "lanes"), "icount")), "regressed");
	assert_int_equal(json_integer_value(json_object_get(c, "failed_cells")), 1);
	rows = json_object_get(c, "rows");
	assert_int_equal(json_array_size(rows), cmp[1].nr);
	json_array_foreach(rows, i, r) {
		assert_true(json_object_get(r, "p") && json_object_get(r, "rel") && json_array_size(json_object_get(r, "interval")) == 2);
		invalid += !strcmp(json_string_value(json_object_get(r, "verdict")), "invalid");
		/* A pooled row needs the whole plan, one without a number its boot, any other all boots of its place. */
		assert_non_null(strstr(json_string_value(json_object_get(r, "reproduce")),
				       json_is_true(json_object_get(r, "family")) ? "./shbench run quick" :
				       strcmp(json_string_value(json_object_get(r, "verdict")), "invalid") ? " --only " : " --cell "));
	}
	assert_int_equal(invalid, 1);
	free(text);
	json_decref(v);
}

/* --- for CI systems ---------------------------------------------------------------------------------------------------------- */

static char *written(int (*write)(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp), size_t nr, char *path)
{
	strcpy(path, "/tmp/shcache-report-XXXXXX");
	close(mkstemp(path));
	assert_int_equal(write(path, doc, cmp, nr), 0);
	return read_text(path);
}

/* Does a file hold to a schema? With what is wrong on stderr. */
static bool validates(const char *path)
{
	char *cmd;
	int ret;

	assert_true(asprintf(&cmd, "xmllint --noout --schema results/schema/junit.xsd %s 2>/dev/null", path) > 0);
	ret = system(cmd);
	free(cmd);
	/* 127: there is no xmllint; `make deps` installs it. */
	assert_true(WIFEXITED(ret) && WEXITSTATUS(ret) != 127);
	return !WEXITSTATUS(ret);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0, len = strlen(what);

	/* memmem() and not strstr(), which the address sanitizer makes measure all of the text each time. */
	for (const char *end = text + strlen(text); (text = memmem(text, (size_t)(end - text), what, len)); text += len)
		n++;
	return n;
}

/* What no name or reason should hold, and any may. */
static void spoil_texts(void)
{
	for (size_t i = 0; i < cmp[1].nr; i += 7) {
		struct cmp_row *r = &cmp[1].rows[i];

		free(r->why);
		r->why = strdup("]]> & <b>\"it's\"</b>\n\001\033[31m # SKIP \xc3\xa4");
		free(r->coords);
		r->coords = strdup("a=<&\"> # SKIP b=\001");
	}
}

static void junit(void **state)
{
	size_t count[6] = { 0 }, cells = json_array_size(json_object_get(doc, "cells"));
	char path[64], *text, *attribute, *want;
	FILE *f;

	(void)state;
	for (int spoilt = 0; spoilt < 2; spoilt++) {
		if (spoilt)
			spoil_texts();
		text = written(report_junit, 2, path);
		assert_true(validates(path));
		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < 2; i++)
			for (size_t v = 0; v < 6; v++)
				count[v] += cmp[i].count[v];
		assert_int_equal(count_of(text, "<testcase "), count[V_IMPROVED] + count[V_REGRESSED] + count[V_UNCHANGED] +
				 count[V_INCONCLUSIVE] + count[V_INVALID] + cells);
		/* One boot has panicked, another was skipped. */
		assert_int_equal(count_of(text, "<failure "), count[V_REGRESSED] + 1);
		assert_int_equal(count_of(text, "<error "), count[V_INVALID]);
		assert_int_equal(count_of(text, "<skipped "), count[V_INCONCLUSIVE] + 1);
		assert_int_equal(count_of(text, "reproduce: ./shbench run quick"), count_of(text, "<testcase "));
		assert_true(asprintf(&want, "<testsuites name=\"quick\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\"",
				     count_of(text, "<testcase "), count[V_REGRESSED] + 1, count[V_INVALID], count[V_INCONCLUSIVE] + 1) > 0);
		has(text, want);
		free(want);
		has(text, "<testsuite name=\"base with shcache, icount lane\"");
		has(text, "<property name=\"accelerator\" value=\"tcg\"/>");
		has(text, "message=\"panic: kernel BUG at mm/filemap.c:142!\"");
		if (spoilt)
			has(text, "]]&gt; &amp; &lt;b&gt;&quot;it's&quot;&lt;/b&gt;&#10;??[31m # SKIP \xc3\xa4");
		/* The schema does look: without an attribute it is no JUnit any more. */
		attribute = strstr(text, " classname=\"");
		memcpy(attribute, " clazzname", 10);
		f = fopen(path, "w");
		fputs(text, f);
		fclose(f);
		assert_false(validates(path));
		unlink(path);
		free(text);
	}
	assert_true(report_junit("/nowhere/junit.xml", doc, cmp, 2) < 0);
}

/* Comparisons that were refused, and none at all. */
static void junit_corners(void **state)
{
	struct comparison c = { .base = (char *)"a", .cand = (char *)"b", .refused = (char *)"different accelerators: \"kvm\" and \"tcg\"" };
	char path[] = "/tmp/shcache-report-XXXXXX", *text;
	json_t *bare = fx_doc();

	(void)state;
	fx_kernel(bare, "base", "base", "", "");
	close(mkstemp(path));
	assert_int_equal(report_junit(path, doc, &c, 1), 0);
	text = read_text(path);
	assert_true(validates(path));
	has(text, "<error type=\"invalid\" message=\"different accelerators: &quot;kvm&quot; and &quot;tcg&quot;\"/>");
	has(text, " errors=\"1\" ");
	free(text);
	assert_int_equal(report_ktap(path, doc, &c, 1), 0);
	text = read_text(path);
	has(text, "1..2\nnot ok 1 a with b\n# different accelerators");
	free(text);
	assert_int_equal(report_junit(path, bare, NULL, 0), 0);
	assert_true(validates(path));
	assert_int_equal(report_ktap(path, bare, NULL, 0), 0);
	assert_int_equal(report_html(path, bare, NULL, 0, NULL, "/nowhere"), 0);
	assert_int_equal(report_html(path, doc, &c, 1, NULL, NULL), 0);
	text = read_text(path);
	has(text, "<b>not compared</b>");
	free(text);
	unlink(path);
	json_decref(bare);
}

/* A reader of KTAP: every plan is kept, results count from 1, and the outer result follows from the inner ones. */
static void ktap(void **state)
{
	char path[64], *text, *save = NULL;
	size_t plan[2] = { 0 }, seen[2] = { 0 }, bad = 0, no;

	(void)state;
	spoil_texts();
	text = written(report_ktap, 2, path);
	unlink(path);
	assert_int_equal(count_of(text, "# reproduce: ./shbench run quick"), count_of(text, "    ok ") + count_of(text, "    not ok "));
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		size_t depth = !strncmp(l, "    ", 4);
		bool ok;

		l += 4 * depth;
		if (sscanf(l, "1..%zu", &no) == 1) {
			plan[depth] = no;
			seen[depth] = 0;
			bad = depth ? 0 : bad;
			continue;
		}
		ok = !strncmp(l, "ok ", 3);
		if (!ok && strncmp(l, "not ok ", 7)) {
			assert_true(*l == '#' || !strcmp(l, "KTAP version 1"));
			continue;
		}
		assert_int_equal(sscanf(strstr(l, "ok ") + 3, "%zu", &no), 1);
		assert_int_equal(no, ++seen[depth]);
		bad += depth && !ok;
		/* One directive at most, and it is ours. */
		assert_true(count_of(l, "# ") <= 1 && count_of(l, "#") == count_of(l, "# SKIP "));
		if (!depth) {
			if (strncmp(strchr(strstr(l, "ok ") + 3, ' '), " boots", 6)) {
				assert_int_equal(seen[1], plan[1]);
				assert_int_equal(ok, !bad);
			}
			assert_true(no == plan[0] || strncmp(strchr(strstr(l, "ok ") + 3, ' '), " boots", 6));
		}
	}
	assert_int_equal(seen[0], plan[0]);
	assert_int_equal(plan[0], 5);
	free(text);
}

static int as_html(const char *path, const json_t *d, const struct comparison *c, size_t nr_cmp)
{
	return report_html(path, d, c, nr_cmp, "tests/fixtures/plots", NULL);
}

/* One file with everything in it: nothing is loaded from elsewhere, each row has its command, and what was measured cannot be markup. */
static void html(void **state)
{
	static const char *const outside[] = { "http:", "https:", "src=\"/", "src=\"plots", "href=", "@import", "url(", "<script", "<link" };
	size_t rows, all = cmp[0].nr + cmp[1].nr;
	char path[64], *text;

	(void)state;
	spoil_texts();
	text = written(as_html, 2, path);
	unlink(path);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		if (strstr(text, outside[i]))
			fail_msg("the page refers to something outside: %s", outside[i]);
	rows = count_of(text, "<td colspan=\"8\"><code>./shbench run quick");
	/* All rows, and once more those that changed. */
	assert_true(rows > all);
	assert_int_equal(rows, count_of(text, "<td colspan=\"8\">"));
	has(text, "<div class=\"chip regressed\"><b>regressed</b><span>base with shcache, icount lane<br>");
	has(text, "<div class=\"chip unchanged\"><b>unchanged, times pooled</b>");
	has(text, "]]&gt; &amp; &lt;b&gt;&quot;it's&quot;&lt;/b&gt;");
	assert_null(strstr(text, "<b>\"it"));
	assert_int_equal(count_of(text, "<figure>"), 2);
	/* Padding of each length: the fixtures are "<svg/>" and "<svg/>\n". */
	has(text, "alt=\"a.svg\" src=\"data:image/svg+xml;base64,PHN2Zy8+\"");
	has(text, "alt=\"b.svg\" src=\"data:image/svg+xml;base64,PHN2Zy8+Cg==\"");
	assert_int_equal(count_of(text, "<table>"), count_of(text, "</table>"));
	assert_int_equal(count_of(text, "<td"), count_of(text, "</td>"));
	free(text);
}

/* --- tables and numbers ----------------------------------------------------------------------------------------------------- */

static void numbers(void **state)
{
	static const struct {
		double v;
		const char *unit, *lane, *text;
	} cases[] = {
		{ 0, "ns", "wall", "0 ns" },	       { 951.5, "ns", "wall", "952 ns" },	{ 1254.7, "ns", "wall", "1.25 us" },
		{ 12547, "ns", "wall", "12.5 us" },    { 3.1e8, "ns", "wall", "310 ms" },	{ 951.5, "ns", "icount", "952 insn" },
		{ 9674, "ns", "icount", "9.67 kinsn" }, { 4096, "bytes", "wall", "4 KiB" },	{ 12.5 * (1 << 20), "bytes", "wall", "12.5 MiB" },
		{ -4096, "bytes", "wall", "-4 KiB" },  { 45e6, "bytes/s", "wall", "42.9 MiB/s" }, { 8192, "pages", "wall", "8192 pages" },
		{ 0.5, "pages/page", "wall", "0.5 pages/page" }, { 7, "", "wall", "7" },	{ NAN, "ns", "wall", "-" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(show_value(cases[i].v, cases[i].unit, cases[i].lane), cases[i].text);
	assert_string_equal(show_percent(0.123), "+12.3 %");
	assert_string_equal(show_percent(-0.5), "-50.0 %");
	assert_string_equal(show_percent(0), "0.00 %");
	assert_string_equal(show_percent(0.0001), "+0.01 %");
	assert_string_equal(show_percent(INFINITY), "from 0");
	assert_string_equal(show_percent(NAN), "-");
	assert_string_equal(show_interval((double[]){ -0.012, 0.034 }), "[-1.2, +3.4] %");
	assert_string_equal(show_interval((double[]){ NAN, NAN }), "-");
}

static void tables(void **state)
{
	struct table *t = table_new("lr", "name", "n");
	char *text = NULL;
	size_t len;
	FILE *f;

	(void)state;
	table_add_column(t, 'l', "last");
	for (int i = 8; i <= 10; i++) {
		table_cell(t, i == 9 ? "é" : "a|b");
		table_cell(t, "%d", i);
		table_cell(t, "x");
	}
	assert_int_equal(table_rows(t), 3);
	f = open_memstream(&text, &len);
	table_print_text(f, t, 2);
	table_print_markdown(f, t);
	fclose(f);
	assert_string_equal(text, "name  n  last\na|b   8  x\né     9  x\n"
				  "| name | n | last |\n|---|---:|---|\n| a\\|b | 8 | x |\n| é | 9 | x |\n| a\\|b | 10 | x |\n\n");
	table_free(t);
	free(text);
}

static void coordinates(void **state)
{
	(void)state;
	assert_true(coord_number("10") == 10 && coord_number("64k") == 65536 && coord_number("1.5M") == 1.5 * (1 << 20));
	assert_true(coord_number("1m") != coord_number("1m"));
	assert_true(isnan(coord_number("first")) && isnan(coord_number("")) && isnan(coord_number(NULL)) && isnan(coord_number("4kk")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(terminal_golden), TEST(terminal_limit), TEST(terminal_cost), TEST(terminal_single), TEST(terminal_refused), TEST(incomplete),
		TEST(summary_golden), TEST(summary_unwritable), TEST(summary_empty), TEST(as_json), TEST(junit),
		TEST(junit_corners), TEST(ktap), TEST(html),
		cmocka_unit_test(many_invalid), cmocka_unit_test(numbers), cmocka_unit_test(tables), cmocka_unit_test(coordinates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
