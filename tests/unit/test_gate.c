// SPDX-License-Identifier: GPL-2.0
/*
 * The gate: what plans may say of it, every way in which it can fail, and that a run whose gate fails is worth nothing: by gate_judge() on
 * documents, and as a whole with the command and fake kernels.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench.h"
#include "fake-top.h"
#include "gate.h"
#include "plan.h"
#include "rundoc-fixture.h"

/* --- plans ------------------------------------------------------------------------------------------------------------------------- */

#define HEAD "[plan]\nkernels = base cand\n[a]\nworkload = fault\n[g]\nworkload = fault\nlane = icount\nperturb = 2\n"

static void plans(void **state)
{
	static const struct {
		const char *text;
		int ret;
	} t[] = {
		{ HEAD "kernels = base base:again slow\ngate = again:unchanged slow:regressed:fault*\n", 0 },
		{ HEAD "kernels = base slow\n", -EINVAL },
		{ HEAD "gate = slow:regressed\n", -EINVAL },
		{ HEAD "kernels = base slow\ngate = slow\n", -EINVAL },
		{ HEAD "kernels = base slow\ngate = slow:slower\n", -EINVAL },
		{ HEAD "kernels = base slow\ngate = fast:improved\n", -EINVAL },
		{ HEAD "kernels = base slow\ngate = base:unchanged\n", -EINVAL },
		{ HEAD "kernels = base slow\ngate = slow:improved\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct plan *p;
		int ret = plan_parse("p", t[i].text, &p);

		if (ret != t[i].ret)
			fail_msg("%zu: %d", i, ret);
		if (!ret)
			plan_free(p);
	}
}

/* A gate's boots are of its own kernels, with labels that cannot be mistaken; -k does not change them. */
static void cells(void **state)
{
	struct plan *p;
	struct cell *c;
	size_t nr, gate = 0;

	(void)state;
	assert_int_equal(plan_parse("p", HEAD "kernels = base base:again slow\ngate = again:unchanged slow:regressed\n", &p), 0);
	assert_int_equal(plan_expand(p, "other", &c, &nr), 0);
	assert_int_equal(nr, 1 + 3 * 2);
	for (size_t i = 0; i < nr; i++) {
		bool own = !strncmp(c[i].label, "gate-", 5);

		assert_int_equal(own, !strcmp(c[i].s->name, "g"));
		assert_true(own || !strcmp(c[i].kernel, "other"));
		gate += own;
		if (!strcmp(c[i].label, "gate-again"))
			assert_string_equal(c[i].kernel, "base");
	}
	assert_int_equal(gate, 6);
	cells_free(c, nr);
	plan_free(p);
}

/* --- documents ------------------------------------------------------------------------------------------------------------------- */

static const char *const labels[] = { "base", "cand", "gate-base", "gate-again", "gate-slow" };

/* fault_batch of base is 1000; again and slow are the gate's, at two layouts and two places. */
static json_t *make(double again, double slow, double cand)
{
	json_t *doc = fx_doc();

	fx_metrics(doc);
	for (size_t k = 0; k < ARRAY_SIZE(labels); k++) {
		fx_kernel(doc, labels[k], labels[k], k == 1 ? "5e71e5" : "", "aaaa1111");
		if (k > 1)
			json_object_set_new(json_array_get(json_object_get(doc, "kernels"), k), "gate", json_true());
		for (unsigned int layout = 0; layout < 2; layout++)
			for (unsigned int fs = 0; fs < 2; fs++) {
				double v = k == 1 ? cand : k == 3 ? again : k == 4 ? slow : 1000;
				json_t *c = fx_cell(doc, labels[k], "fault", "icount", fs ? "btrfs" : "xfs", "reflink", 0, layout);

				json_object_set_new(c, "section", json_string(k > 1 ? "g" : "main"));
				if (k > 1)
					json_object_set_new(c, "gate", json_true());
				/* Layouts differ by more than what is looked for. */
				fx_sample(c, "fault_batch", v * (1 + 0.05 * layout), "class=pte-only");
				fx_sample(c, "fault_batch", 9000, "class=cold-major");
				fx_sample(c, "storm", 500, "procs=2");
			}
	}
	json_object_set_new(doc, "gates", json_pack("[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s}]",
						    "section", "g", "base", "gate-base", "label", "gate-again", "want", "unchanged", "metric", "",
						    "section", "g", "base", "gate-base", "label", "gate-slow", "want", "regressed", "metric",
						    "fault*"));
	return doc;
}

static const char *why(const json_t *judged, size_t i)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(judged, "gate_results"), i), "why"));
}

/* One percent is 10 of 1000 and 20 is fx_metrics()'s floor: 3 % it is here. */
static void as_it_must(void **state)
{
	json_t *doc = make(1000, 1030, 1000), *j = gate_judge(doc);
	struct comparison c;
	size_t failed;
	char *text;

	(void)state;
	assert_int_equal(gate_count(j, &failed), 2);
	assert_int_equal(failed, 0);
	assert_string_equal(why(j, 0), "6 rows");
	assert_string_equal(why(j, 1), "2 rows, most of all fault_batch class=pte-only (xfs/reflink/debian-slim) +3.0 %");
	assert_int_equal(json_array_size(json_object_get(j, "kernels")), 2);
	assert_int_equal(json_array_size(json_object_get(j, "cells")), 8);
	assert_int_equal(rundoc_check(j, &text), 0);
	/* The document itself is as it was, and the slow kernel is no regression of the candidate. */
	assert_int_equal(json_array_size(json_object_get(doc, "cells")), 20);
	assert_int_equal(compare(j, "base", j, "cand", false, &c), 0);
	assert_int_equal(comparison_exit(&c, true), 0);
	assert_int_equal(c.count[V_INVALID], 0);
	comparison_free(&c);
	json_decref(j);
	json_decref(doc);
}

static void none(void **state)
{
	json_t *doc = fx_doc(), *j = gate_judge(doc);
	size_t failed;

	(void)state;
	assert_ptr_equal(doc, j);
	assert_int_equal(gate_count(j, &failed), 0);
	assert_int_equal(failed, 0);
	json_decref(j);
	json_decref(doc);
}

static json_t *cell_of(json_t *doc, const char *label)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "kernel")), label))
			return c;
	return NULL;
}

static void spoil_panic(json_t *doc)
{
	fx_fail(cell_of(doc, "gate-slow"), "panic", "BUG");
}
static void spoil_missing(json_t *doc)
{
	json_t *cells_ = json_object_get(doc, "cells");

	for (size_t i = json_array_size(cells_); i--;)
		if (!strcmp(json_string_value(json_object_get(json_array_get(cells_, i), "kernel")), "gate-slow"))
			json_array_remove(cells_, i);
}
static void spoil_metric(json_t *doc)
{
	json_object_set_new(json_array_get(json_object_get(doc, "gates"), 1), "metric", json_string("falt*"));
}
static void spoil_kernel(json_t *doc)
{
	json_array_remove(json_object_get(doc, "kernels"), 4);	/* gate-slow */
	spoil_missing(doc);
}
/* The regression shows on XFS only. */
static void spoil_place(json_t *doc)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "fs")), "btrfs") &&
		    !strcmp(json_string_value(json_object_get(c, "kernel")), "gate-slow"))
			json_object_set_new(json_array_get(json_object_get(c, "samples"), 0), "v",
					    json_real(1000 * (1 + 0.05 * json_number_value(json_object_get(c, "perturbation")))));
}
static void spoil_opposite(json_t *doc)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "kernel")), "gate-slow"))
			json_object_set_new(json_array_get(json_object_get(c, "samples"), 1), "v", json_real(5000));
}
/* The icount lane has shown itself not deterministic. */
static void spoil_lane(json_t *doc)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c)
		if (json_object_get(c, "gate"))
			fx_fail(c, "invalid", "the icount lane is not deterministic here");
}

static void failures(void **state)
{
	static const struct {
		double again, slow;
		void (*spoil)(json_t *doc);
		size_t which;
		const char *say;
	} t[] = {
		{ 1030, 1030, NULL, 0, "2 of 6 rows are not unchanged, the first: fault_batch class=pte-only (xfs/reflink/debian-slim) +3.0 %, regressed" },
		{ 960, 1030, NULL, 0, "improved" },
		{ 1000, 1005, NULL, 1, "no row regressed; the largest change is fault_batch class=pte-only (xfs/reflink/debian-slim) +0.5 %, unchanged" },
		{ 1000, 1000, NULL, 1, "no row regressed" },
		{ 1000, 900, NULL, 1, "no row regressed" },
		{ 1000, 1030, spoil_panic, 1, "panic: BUG" },
		{ 1000, 1030, spoil_missing, 1, "not run with gate-slow" },
		{ 1000, 1030, spoil_metric, 1, "nothing was measured that is called falt*" },
		{ 1000, 1030, spoil_kernel, 1, "its kernels are not in the run" },
		{ 1000, 1030, spoil_place, 1, "no row regressed; the largest change is fault_batch class=pte-only (btrfs/reflink/debian-slim) 0.00 %" },
		{ 1000, 1030, spoil_opposite, 1, "a row improved: fault_batch class=cold-major" },
		{ 1000, 1030, spoil_lane, 0, "not deterministic" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *doc = make(t[i].again, t[i].slow, 1000), *j;
		size_t failed;

		if (t[i].spoil)
			t[i].spoil(doc);
		j = gate_judge(doc);
		assert_int_equal(gate_count(j, &failed), 2);
		if (!failed || !strstr(why(j, t[i].which), t[i].say))
			fail_msg("%zu: wanted \"%s\", got \"%s\"", i, t[i].say, why(j, t[i].which));
		json_decref(j);
		json_decref(doc);
	}
}

/* Reports say it first, in every form. */
static void reports(void **state)
{
	static const struct {
		int (*write)(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp);
		const char *good, *bad;
	} forms[] = {
		{ report_summary, "all came out as they must", "**This run is invalid: " },
		{ report_junit, "<testsuite name=\"gate\" tests=\"2\" failures=\"0\" errors=\"0\"",
		  "<testsuite name=\"gate\" tests=\"2\" failures=\"0\" errors=\"1\"" },
		{ report_ktap, "\nok 1 gate\n", "\nnot ok 1 gate\n" },
	};

	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		json_t *doc = make(1000, bad ? 1005 : 1030, 1000), *j = gate_judge(doc), *v;
		char path[] = "/tmp/shcache-gate-XXXXXX", *text = NULL;
		struct comparison c;
		size_t len;
		FILE *f;

		assert_int_equal(compare(j, "base", j, "cand", false, &c), 0);
		close(mkstemp(path));
		for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
			assert_int_equal(forms[i].write(path, j, &c, 1), 0);
			assert_int_equal(read_file(path, &text, NULL), 0);
			if (!strstr(text, bad ? forms[i].bad : forms[i].good))
				fail_msg("%zu: no \"%s\" in:\n%s", i, bad ? forms[i].bad : forms[i].good, text);
			free(text);
		}
		assert_int_equal(report_html(path, j, &c, 1, NULL, NULL), 0);
		assert_int_equal(read_file(path, &text, NULL), 0);
		assert_non_null(strstr(text, bad ? "<b>invalid run</b>" : "<b>gate passed</b>"));
		free(text);
		f = open_memstream(&text, &len);
		report_terminal(f, j, &c, 1, false, false);
		fclose(f);
		assert_non_null(strstr(text, bad ? "INVALID: 1 of 2 comparisons whose outcome is known" : "gate: all 2 comparisons"));
		if (bad)
			assert_non_null(strstr(text, "./shbench run quick --only g"));
		free(text);
		v = report_json(j, &c, 1);
		assert_int_equal(json_array_size(json_object_get(v, "gate")), 2);
		json_decref(v);
		unlink(path);
		comparison_free(&c);
		json_decref(j);
		json_decref(doc);
	}
}

/* Three runs: one is as it must be, in one the A/A pair is not, in one the regression is too small. */
static void power(void **state)
{
	static const double again[] = { 1000, 1031, 1000 }, slow[] = { 1030, 1040, 1002 };
	json_t *docs[3], *p, *e, *plain = fx_doc();
	char *text = NULL, *out = NULL;
	size_t len;
	FILE *f;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		docs[i] = make(again[i], slow[i], 1000);
	p = gate_power(docs, 3, &text);
	assert_non_null(p);
	assert_null(text);
	assert_int_equal(json_integer_value(json_object_get(p, "false_alarms")), 1);
	assert_int_equal(json_integer_value(json_object_get(p, "misses")), 1);
	assert_int_equal(json_array_size(json_object_get(p, "gates")), 2);
	/* The A/A pair too: a share of false alarms. */
	assert_int_equal(json_array_size(json_object_get(p, "power")), 2);
	e = json_array_get(json_object_get(p, "power"), 1);
	assert_string_equal(json_string_value(json_object_get(e, "label")), "gate-slow");
	/* Rows of storm and cold-major do not change, so that never all rows regress. */
	assert_int_equal(json_integer_value(json_object_get(e, "all")), 0);
	assert_int_equal(json_integer_value(json_object_get(e, "any")), 2);
	assert_int_equal(json_integer_value(json_object_get(e, "of")), 3);
	assert_float_equal(json_number_value(json_object_get(e, "high")), 0.04, 1e-9);
	assert_float_equal(json_number_value(json_array_get(json_object_get(e, "ci"), 1)), 0.7075982, 1e-6);
	f = open_memstream(&out, &len);
	gate_power_print(f, p);
	fclose(f);
	assert_non_null(strstr(out, "3 runs: 1 false alarms, 1 misses"));
	free(out);
	json_decref(p);
	for (size_t i = 0; i < 3; i++)
		json_decref(docs[i]);
	assert_null(gate_power(&plain, 1, &text));
	assert_non_null(strstr(text, "has no gate"));
	free(text);
	json_decref(plain);
}

/* --- as a whole -------------------------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	return ft_setup();
}

static int teardown(void **state)
{
	(void)state;
	return ft_teardown();
}

static void must(const char *script, int want, const char *say)
{
	int got = ft_bash(script);

	if (got != want || !strstr(ft_said, say))
		fail_msg("exit status %d, wanted %d and \"%s\": %s\n%s", got, want, say, script, ft_said);
}

#define GUEST(v) "{\"t\":\"sample\",\"m\":\"fault_batch\",\"v\":" #v ",\"x\":{\"class\":\"pte-only\"}}\n"

static void whole(void **state)
{
	(void)state;
	ft_kernel("base", GUEST(1000));
	ft_kernel("cand", GUEST(1001));
	ft_kernel("slow", GUEST(1030));
	ft_write("bench/nightly.plan", "[plan]\nkernels = base cand\nhistory = yes\n[main]\nworkload = fault\nlane = icount\nmem = 64M\n"
		 "[gate-fault]\nworkload = fault\nlane = icount\nmem = 64M\nkernels = base base:again slow\n"
		 "gate = again:unchanged slow:regressed\n");
	must("./shbench run nightly", 0, "gate: all 2 comparisons whose outcome is known came out as they must");
	assert_null(strstr(ft_said, "pte-only"));
	/* What it cost, on the terminal, in the document and in the pages. */
	must("./shbench report last", 0, "a guest was running in");
	must("grep -q '\"harness_cpu_s\"' results/runs/*/run.json && grep -q '^| took |' results/runs/*/summary.md && "
	     "grep -q '<th>took</th>' results/runs/*/report.html", 0, "");
	/* All rows, written as people write it. */
	must("./shbench report last -v all", 0, "class=pte-only  1 kinsn");
	/* The gate's kernels are not in the history. */
	must("! grep -q gate-slow results/runs/history.jsonl && grep -q '\"kernel\":\"cand\"' results/runs/history.jsonl", 0, "");
	must("./shbench compare last last", 0, "base with cand");
	/* A second night: now there is a line to draw, and the page shows it. */
	must("sleep 1.1; ./shbench run nightly && grep -c History results/runs/*/report.html", 0, ":1");
	must("for i in 1 2; do SHCACHE_RESULTS=parts ./shbench run nightly --shard $i/2; done; ./shbench merge parts/*-nightly-*", 0, "gate: all 2 comparisons");
	must("./shbench gate results/runs/*-nightly-* parts/*-nightly-*", 3, "is only a part of one");
	/* Over all runs; the curve wants more sizes than one. */
	must("./shbench gate --output curve results/runs/*-nightly-* && ls curve | wc -l", 0, "0 false alarms, 0 misses");
	/* A single boot is no gate; one gate alone is. */
	must("./shbench run nightly --cell $(./shbench list nightly | grep -m1 gate-slow | cut -c-12)", 0, "");
	must("./shbench run nightly --only gate-fault", 0, "gate: all 2 comparisons");
	/* Asleep: the slow kernel is not slow. The candidate's regression does not matter any more. */
	ft_kernel("slow", GUEST(1002));
	ft_kernel("cand", GUEST(2000));
	must("SHCACHE_RESULTS=bad ./shbench run nightly", 3, "the gate failed: 1 comparisons whose outcome is known came out otherwise");
	must("test ! -e bad/history.jsonl", 0, "");
	must("SHCACHE_RESULTS=bad ./shbench report", 3, "INVALID: 1 of 2 comparisons");
	must("./shbench gate bad/*-nightly-*", 1, "1 runs: 0 false alarms, 1 misses");
	must("./shbench gate --json bad/*-nightly-*", 1, "\"misses\": 1");
	/* A curve: three sizes, one of them too small, and the same data that draw it. */
	ft_kernel("slow5", GUEST(1003));
	ft_kernel("slow9", GUEST(1009));
	ft_write("bench/curve.plan", "[plan]\nkernels = base\n[g]\nworkload = fault\nlane = icount\nmem = 64M\n"
		 "kernels = base base:again slow5 slow9 slow\ngate = again:unchanged slow9:regressed:fault_batch slow5:unchanged\n");
	must("SHCACHE_RESULTS=curves ./shbench run curve && ./shbench gate --output curve curves/*-curve-*", 0, "1 runs: 0 false alarms, 0 misses");
	must("cut -f3,5 curve/g-fault-batch.tsv | tr '\\n\\t' ' :'", 0, "x:value 0:0 0.2:0 0.3:0 0.9:100 ");
	must("file curve/g-fault-batch.png curve/g-fault-batch.svg", 0, "PNG image data, 1000 x 620");
}

/*
 * The guest's watchdog speaks while QEMU has used no processor time: that is the host's doing, so the boot is repeated. If it always does, it
 * is the kernel's.
 */
static void starved(void **state)
{
	(void)state;
	ft_kernel("base", GUEST(1000));
	/* The wait makes the share small also where the fake QEMU's own start takes long. */
	ft_kernel("cand", "sleep 0.5\n[   23.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 23s! [swapper/0:1]\n");
	ft_write("bench/busy.plan", "[plan]\nkernels = base cand\n[main]\nworkload = fault\nlane = icount\nmem = 64M\n");
	must("SHCACHE_RESULTS=busy ./shbench run busy", 1, "% of a processor, and the guest's watchdog spoke");
	assert_non_null(strstr(ft_said, "2 thrown away (busy host)"));
	must("grep -q '\"thrown_away\": 2' busy/*/run.json && grep -q '^- 2 boots were thrown away' busy/*/summary.md", 0, "");
	/* Any other splat counts at once. */
	ft_kernel("cand", "[    3.000000] BUG: KASAN: use-after-free in foo+0x1/0x2\n");
	must("SHCACHE_RESULTS=splat ./shbench run busy || ! grep -q thrown_away splat/*/run.json", 0, "KASAN");
}

/* What a guest could not carry out is in the list, with the reason; it is no failure. */
static void skipped_check(void **state)
{
	(void)state;
	ft_kernel("base", GUEST(1000) "{\"t\":\"check\",\"name\":\"dax\",\"ok\":true,\"skip\":true,\"detail\":\"no such device\"}\n"
		  "{\"t\":\"check\",\"name\":\"content\",\"ok\":true,\"detail\":\"\"}\n");
	ft_write("bench/checks.plan", "[plan]\nkernels = base\n[main]\nworkload = fault\nlane = icount\nmem = 64M\n");
	must("./shbench test checks", 0, "    ok 1 dax # SKIP no such device\n    ok 2 content\n");
	must("./shbench report last -v all", 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans),    cmocka_unit_test(cells),   cmocka_unit_test(as_it_must), cmocka_unit_test(none),
		cmocka_unit_test(failures), cmocka_unit_test(reports), cmocka_unit_test(power),    cmocka_unit_test(whole),
		cmocka_unit_test(starved),  cmocka_unit_test(skipped_check),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
