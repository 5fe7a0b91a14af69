// SPDX-License-Identifier: GPL-2.0
/*
 * bisect.c and kernel-steps.c: the search alone, in every case of small size; then whole bisections, of a series and of commits, on a
 * source tree of a few files whose "kernels" tests/fake-qemu.c plays.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "bisect.h"
#include "fake-top.h"
#include "kernel.h"

/* --- the search ---------------------------------------------------------------------------------------------------------------- */

struct truth {
	size_t n, culprit;
	unsigned int broken;	/* bit k: step k cannot be told */
	unsigned int asked;	/* the same for steps that were asked for */
	unsigned int calls;
};

static int ask(size_t step, void *arg)
{
	struct truth *t = arg;

	assert_in_range(step, 1, t->n - 1);
	assert_false(t->asked >> step & 1);
	t->asked |= 1u << step;
	t->calls++;
	return t->broken >> step & 1 ? -EAGAIN : step >= t->culprit;
}

/* All sizes, culprits, and sets of steps that cannot be told. */
static void search(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 8; n++)
		for (size_t culprit = 1; culprit <= n; culprit++)
			for (unsigned int broken = 0; broken < 1u << n; broken += 2) {
				struct truth t = { .n = n, .culprit = culprit, .broken = broken };
				size_t from, first, want_from = culprit - 1, want_first = culprit, steps = 0;

				assert_int_equal(bisect_search(n, ask, &t, &from, &first), 0);
				/* The nearest steps on both sides that can be told. */
				while (want_from && broken >> want_from & 1)
					want_from--;
				while (want_first < n && broken >> want_first & 1)
					want_first++;
				assert_int_equal(from, want_from);
				assert_int_equal(first, want_first);
				while (1u << steps < n)
					steps++;
				if (!broken)
					assert_in_range(t.calls, 0, steps);
			}
}

static int give_up(size_t step, void *arg)
{
	(void)step;
	++*(unsigned int *)arg;
	return -EINTR;
}

static void search_interrupted(void **state)
{
	unsigned int calls = 0;
	size_t from, first;

	(void)state;
	assert_int_equal(bisect_search(9, give_up, &calls, &from, &first), -EINTR);
	assert_int_equal(calls, 1);
}

/* --- whole bisections --------------------------------------------------------------------------------------------------------- */

/* Speaks kbuild's interface; a symbol that Kconfig does not have does not take, and patch "broken" does not compile. */
static const char makefile[] =
	"allnoconfig:\n"
	"\t@mkdir -p $(O)\n"
	"\t@while IFS= read -r l; do s=$${l%%=*}; grep -qx \"config $${s#CONFIG_}\" Kconfig && echo \"$$l\"; done <$(KCONFIG_ALLCONFIG) >$(O)/.config; true\n"
	"bzImage:\n"
	"\t@test ! -e broken || { echo 'x.c:1: error: broken' >&2; false; }\n"
	"\t@echo built >>$(O)/../../../../../builds\n"
	"\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config\n"
	"\t@cp guest $(O)/arch/x86/boot/bzImage; echo map >$(O)/System.map; touch $(O)/vmlinux\n"
	"\t@echo 6.12.0-fake >$(O)/include/config/kernel.release\n"
	".PHONY: allnoconfig bzImage\n";

#define GUEST(a, b) "echo '{\"t\":\"sample\",\"m\":\"fault_batch\",\"v\":" #a ",\"x\":{\"class\":\"pte-only\"}}' >guest;" \
	"echo '{\"t\":\"sample\",\"m\":\"fault_batch\",\"v\":" #b ",\"x\":{\"class\":\"cold-major\"}}' >>guest;"
#define COMMIT(subject) "git add -A; git commit -qm '" subject "';"

/*
 * Seven commits on a base: the second brings the symbol, the third costs a little, the fourth does not build, the fifth is what moved
 * pte-only, the sixth changes nothing.
 */
static const char history[] =
	"mkdir -p src && cd src && git init -q -b master && git config user.name a && git config user.email a@b;"
	GUEST(1000, 9000) "printf 'config A\\n' >Kconfig; mv ../mk Makefile;" COMMIT("base") "git tag base;"
	"echo 1 >one;" COMMIT("mm: first")
	"printf 'config NEW\\n' >>Kconfig;" COMMIT("mm: second, the symbol")
	GUEST(1020, 9000) COMMIT("mm: third, a little")
	"touch broken;" COMMIT("mm: fourth, does not build")
	"rm broken;" GUEST(1300, 9000) COMMIT("mm: fifth, the culprit")
	"echo 6 >six;" COMMIT("mm: sixth")
	GUEST(1302, 9000) COMMIT("mm: seventh, a little more")
	"git format-patch -q -o ../series base; cd ../series; ls *.patch >series;"
	"cd ../src && git worktree add -q ../fake base";

static int setup(void **state)
{
	(void)state;
	if (ft_setup())
		return -1;
	ft_write("mk", makefile);
	if (ft_bash(history)) {
		fputs(ft_said, stderr);
		return -1;
	}
	/* A tree: source as it is; what git has left in it would be part of it. */
	ft_bash("rm fake/.git");
	ft_write("kernels/a.config", "CONFIG_A=y\n");
	ft_write("kernels/new.config", "CONFIG_NEW=y\n");
	ft_write("kernels/base.kernel", "source = tree:fake\nconfig = a.config\n");
	ft_write("kernels/cand.kernel", "source = tree:fake\nseries = series\nconfig = a.config new.config\n");
	ft_write("kernels/old.kernel", "source = git:src#base\nconfig = a.config\n");
	ft_write("kernels/new.kernel", "source = git:src#master\nconfig = a.config\n");
	ft_write("bench/nightly.plan", "[plan]\nkernels = base cand\n[wall]\nworkload = fault\n"
		 "[gate]\nworkload = fault\nlane = icount\nmem = 64M\nkernels = base base:again\ngate = again:unchanged\n"
		 "[fault]\nworkload = fault\nlane = icount\nfs = xfs\nmount.cand = logbufs=8\nperturb = 2\nmem = 64M\ndevice_size = 64M\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return ft_teardown();
}

static void must(const char *script, int want)
{
	int got = ft_bash(script);

	if (got != want)
		fail_msg("exit status %d, wanted %d: %s\n%s", got, want, script, ft_said);
}

static void has(const char *text)
{
	if (!strstr(ft_said, text))
		fail_msg("\"%s\" is not in it:\n%s", text, ft_said);
}

static unsigned int builds(void)
{
	char *text = ft_read("cache/builds");
	unsigned int n = 0;

	for (char *p = text; p && (p = strchr(p, '\n')); p++)
		n++;
	free(text);
	return n;
}

static void of_a_series(void **state)
{
	json_t *v;
	unsigned int built;

	(void)state;
	must("./shbench bisect base cand --metric fault_batch", 0);
	has("bisect: fault_batch in fault/icount; another place with --only");
	has("bisect: following fault_batch class=pte-only, fault/icount/xfs/reflink/synthetic: 1 kinsn to 1.30 kinsn over 7 steps");
	has("cand@4 cannot be measured; another step is tried");
	has("cand@5");
	has("<-  0005-mm-fifth-the-culprit.patch: mm: fifth, the culprit");
	/* The fourth cannot be told apart from the fifth. */
	has("moved between cand@3 and cand@5; what lies between cannot be measured");
	/* The plan's mount options are those of the end and of the steps on the way to it, not of the base. */
	must("cat results/runs/*/cells/*.json | tr -d '\\n ' | grep -o '\"kernel\":\"cand[@0-9]*\"[^}]*\"mount\":\"[^\"]*\"' | "
	     "sed 's/.*mount/mount/' | sort -u", 0);
	assert_string_equal(ft_said, "mount\":\"logbufs=8\"\n");
	must("! cat results/runs/*/cells/*.json | tr -d '\\n ' | grep -q '\"kernel\":\"base\"[^}]*\"mount\":\"logbufs'", 0);
	/* Again: nothing is built but what could not be. */
	built = builds();
	must("./shbench bisect base cand --metric fault_batch --json -q", 0);
	assert_int_equal(builds(), built);
	v = json_loads(strchr(ft_said, '{'), JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "first_bad")), "cand@5");
	assert_string_equal(json_string_value(json_object_get(v, "last_good")), "cand@3");
	json_decref(v);
}

/* Between the last two patches: one step, a small part of the whole. */
static void of_a_part(void **state)
{
	(void)state;
	must("./shbench bisect cand@5 cand --metric fault_batch", 3);
	has("fault_batch did not move between cand@5 and cand: 2 series, none beyond its smallest relevant change");
	must("./shbench bisect base cand@3 --metric fault_batch", 0);
	has("moved by 0003-mm-third-a-little.patch: mm: third, a little (100 % of the whole change)");
	has("2 steps, ");
}

static void of_commits(void **state)
{
	(void)state;
	must("./shbench bisect old new --metric fault_batch --only fault", 0);
	has("mm: fifth, the culprit");
	has("moved between new@");
}

/* What cannot be bisected is said in words. */
static void refusals(void **state)
{
	static const struct {
		const char *args, *say;
	} t[] = {
		{ "base cand", "which metric? Say --metric NAME" },
		{ "base cnad --metric fault_batch", "did you mean cand?" },
		{ "base old --metric fault_batch", "are not of one source" },
		{ "cand base --metric fault_batch", "are neither steps of one series nor commits of one tree" },
		{ "cand cand --metric fault_batch", "nothing lies between cand and cand" },
		{ "base cand@8 --metric fault_batch", "the series has 7 patches" },
		{ "base cand@x --metric fault_batch", "the series has 7 patches" },
		{ "base base@1 --metric fault_batch", "has neither a series nor commits" },
		{ "new old --metric fault_batch", "is not an ancestor of base" },
		{ "base cand --metric falt", "plan nightly measures no 'falt' in the icount lane" },
		{ "base cand --metric fault_batch --only nowhere", "has no cell 'nowhere'" },
		{ "base cand --metric fault_batch --plan other", "no plan 'other'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *cmd = xasprintf("./shbench bisect %s", t[i].args);
		int ret = ft_bash(cmd);

		if (ret != EXIT_USAGE && ret != EXIT_INFRA)
			fail_msg("%s: exit status %d", cmd, ret);
		has(t[i].say);
		free(cmd);
	}
}

/* A step of a series is a kernel as any other: fewer patches, another id; all patches, the same. */
static void steps_are_kernels(void **state)
{
	struct kernel_build whole, all, part;
	struct kernel_steps s;

	(void)state;
	assert_int_equal(kernel_lookup("cand", &whole), 0);
	assert_int_equal(kernel_lookup("cand@7", &all), 0);
	assert_int_equal(kernel_lookup("cand@6", &part), 0);
	assert_string_equal(whole.id, all.id);
	assert_string_not_equal(whole.id, part.id);
	assert_string_equal(part.name, "cand@6");
	kernel_build_free(&whole);
	kernel_build_free(&all);
	kernel_build_free(&part);
	assert_int_equal(kernel_steps("base", "cand@2", &s), 0);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.name[0], "base");
	assert_string_equal(s.name[1], "cand@1");
	assert_string_equal(s.what[1], "0001-mm-first.patch: mm: first");
	assert_string_equal(s.name[2], "cand@2");
	kernel_steps_free(&s);
	assert_int_equal(kernel_steps("old", "new", &s), 0);
	assert_int_equal(s.n, 8);
	assert_string_equal(s.name[7], "new");
	assert_non_null(strstr(s.what[5], " mm: fifth, the culprit"));
	kernel_steps_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search),	  cmocka_unit_test(search_interrupted), cmocka_unit_test(of_a_series),
		cmocka_unit_test(of_a_part),	  cmocka_unit_test(of_commits),		cmocka_unit_test(refusals),
		cmocka_unit_test(steps_are_kernels),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
