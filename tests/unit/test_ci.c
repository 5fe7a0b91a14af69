// SPDX-License-Identifier: GPL-2.0
/*
 * The CI examples in docs/ci do what they say: the scripts are taken out of the files and run, with the command that was built, the fake
 * QEMU, and stand-ins for make, apt-get and sbatch. What the CI system does between the jobs (artifacts) is done by the test.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "fake-top.h"

#define PARTS 4

static int setup(void **state)
{
	char *path;

	(void)state;
	if (ft_setup())
		return -1;
	ft_kernel("base", "{\"t\":\"sample\",\"m\":\"unique_frames\",\"v\":1000,\"x\":{\"n\":\"10\",\"access\":\"read\"}}\n");
	ft_kernel("cand", "{\"t\":\"sample\",\"m\":\"unique_frames\",\"v\":500,\"x\":{\"n\":\"10\",\"access\":\"read\"}}\n");
	ft_write("bench/nightly.plan", "[plan]\nsummary = tiny\nkernels = base cand\nhistory = yes\n"
		 "[frames]\nworkload = footprint\nfs = xfs btrfs\nmode = reflink overlay\nshared = yes\nmem = 64M\n");
	ft_link("docs/ci");
	ft_write("Makefile", "all deps:\n\t@echo made $@ >>made\n");
	ft_write("bin/apt-get", "#!/bin/sh\necho \"$@\" >>" "apt\n");
	ft_write("bin/sbatch", "#!/bin/bash\n"
		 "# Runs the job at once, all of an array, with nothing in the environment but what --export names.\n"
		 "set -eu\n"
		 "array=; export=\n"
		 "for a; do case $a in --array=*) array=${a#*=};; --export=ALL,*) export=${a#*,};; --parsable) ;;\n"
		 "--dependency=afterany:4711) ;; -*) echo \"sbatch: $a?\" >&2; exit 9;; *) script=$a;; esac; done\n"
		 "IFS=,; for e in $export; do export \"$e\"; done\n"
		 "if [ \"$array\" ]; then\n"
		 "  for ((i = ${array%-*}; i <= ${array#*-}; i++)); do SLURM_ARRAY_TASK_ID=$i sh \"$script\" >&2 || echo \"part $i: $?\" >&2; done\n"
		 "  echo '4711;cluster'\n"
		 "else rc=0; sh \"$script\" || rc=$?; echo \"judged $rc\"; exit $rc; fi\n");
	path = xasprintf("%s/bin:%s", ft_top, getenv("PATH"));
	setenv("PATH", path, 1);
	free(path);
	path = xasprintf("chmod +x %s/bin/*", ft_top);
	if (system(path))
		return -1;
	free(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return ft_teardown();
}

/* Every test begins in a checkout in which nothing was measured. */
static int clean(void **state)
{
	(void)state;
	unsetenv("SHCACHE_RESULTS");
	unsetenv("SHCACHE_HISTORY");
	return ft_bash("rm -rf results/runs parts* nights report step made apt");
}

static size_t indent_of(const char *line)
{
	return strspn(line, " ");
}

/* The lines of a YAML file below the line that begins with key (after its indentation and "- "), as far as they are indented more. */
static char *yaml_block(const char *text, const char *key)
{
	const char *line = text;
	struct buf b = {};
	size_t depth = 0;
	bool in = false;

	buf_str(&b, "");
	for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t in_by = indent_of(line), len = strcspn(line, "\n");
		const char *word = line + in_by + (line[in_by] == '-' && line[in_by + 1] == ' ' ? 2 : 0);

		if (in && len > in_by && in_by <= depth)
			break;
		if (in)
			buf_add(&b, line, len + (line[len] == '\n'));
		else if (!strncmp(word, key, strlen(key))) {
			in = true;
			depth = in_by;
		}
	}
	if (!in)
		fail_msg("no \"%s\" in it", key);
	return b.s;
}

/* Cuts the common indentation; a list of commands loses its dashes. */
static char *script_of(const char *block)
{
	size_t depth = indent_of(block);
	struct buf b = {};

	buf_str(&b, "");
	for (const char *line = block; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n"), cut = len < depth ? len : depth;

		if (!strncmp(line + cut, "- ", 2))
			cut += 2;
		buf_add(&b, line + cut, len - cut);
		buf_str(&b, "\n");
	}
	return b.s;
}

/* A step's or job's script. */
static char *yaml_script(const char *text, const char *of, const char *key)
{
	char *block = yaml_block(text, of), *inner = yaml_block(block, key), *script = script_of(inner);

	/* What only the CI system replaces must not be left in it. */
	assert_null(strstr(script, "${{"));
	free(block);
	free(inner);
	return script;
}

static char *find(const char *pattern)
{
	char *full = xasprintf("%s/%s", ft_top, pattern), *hit = NULL;
	glob_t g;

	if (!glob(full, 0, NULL, &g)) {
		if (g.gl_pathc > 1)
			fail_msg("%zu files match %s", (size_t)g.gl_pathc, pattern);
		hit = xstrdup(g.gl_pathv[0]);
	}
	globfree(&g);
	free(full);
	return hit;
}

/* A merged run: all eight boots, from all parts, judged; and in the history. */
static void check_merged(const char *pattern, const char *history)
{
	char *path = find(pattern), *text;
	json_t *doc;

	if (!path)
		fail_msg("no %s; the scripts said:\n%s", pattern, ft_said);
	doc = json_load_file(path, 0, NULL);
	assert_non_null(doc);
	assert_int_equal(json_array_size(json_object_get(doc, "cells")), 8);
	assert_int_equal(json_array_size(json_object_get(doc, "parts")), PARTS);
	*strrchr(path, '/') = '\0';
	text = xasprintf("%s/summary.md", path);
	free(path);
	path = ft_read(text);
	assert_non_null(path);
	assert_non_null(strstr(path, "**improved**"));
	free(text);
	free(path);
	text = ft_read(history);
	assert_non_null(text);
	assert_non_null(strstr(text, "\"t\":\"run\""));
	free(text);
	json_decref(doc);
}

static void must(const char *script, int want)
{
	int got = ft_bash(script);

	if (got != want)
		fail_msg("exit status %d, wanted %d:\n%s\n%s", got, want, script, ft_said);
}

static void github(void **state)
{
	char *text = ft_read("docs/ci/github-actions.yml"), *measure, *judge, *step;

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "  PARTS: 4\n"));
	assert_non_null(strstr(text, "        part: [1, 2, 3, 4]\n"));
	measure = yaml_script(text, "name: Measure", "run: |");
	judge = yaml_script(text, "name: Merge and judge", "run: |");
	setenv("PARTS", "4", 1);
	for (int i = 1; i <= PARTS; i++) {
		char part[2] = { (char)('0' + i), '\0' }, *upload;

		setenv("PART", part, 1);
		must(measure, 0);
		/* upload-artifact of results/runs as part-I, download-artifact of part-* to parts. */
		upload = xasprintf("mkdir -p parts; mv results/runs parts/part-%d", i);
		must(upload, 0);
		free(upload);
	}
	unsetenv("PART");
	unsetenv("PARTS");
	step = xasprintf("%s/step", ft_top);
	setenv("GITHUB_STEP_SUMMARY", step, 1);
	setenv("SHCACHE_HISTORY", "nights/history.jsonl", 1);
	must(judge, 0);
	unsetenv("GITHUB_STEP_SUMMARY");
	unsetenv("SHCACHE_HISTORY");
	check_merged("results/runs/*-nightly-*/run.json", "nights/history.jsonl");
	free(step);
	step = ft_read("step");
	assert_non_null(strstr(step, "## Verdicts"));
	free(step);
	free(text);
	free(measure);
	free(judge);
}

static void gitlab(void **state)
{
	char *text = ft_read("docs/ci/gitlab-ci.yml"), *measure, *judge, *dir;

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "  PARTS: 4\n"));
	assert_non_null(strstr(text, "      - PART: [1, 2, 3, 4]\n"));
	measure = yaml_script(text, "part:", "script:");
	judge = yaml_script(text, "judge:", "script:");
	dir = xasprintf("%s/parts", ft_top);
	setenv("SHCACHE_RESULTS", dir, 1);
	setenv("PARTS", "4", 1);
	for (int i = 1; i <= PARTS; i++) {
		char part[2] = { (char)('0' + i), '\0' };

		/* Artifacts of all jobs come together in one directory. */
		setenv("PART", part, 1);
		must(measure, 0);
	}
	unsetenv("PART");
	unsetenv("PARTS");
	free(dir);
	dir = xasprintf("%s/report", ft_top);
	setenv("SHCACHE_RESULTS", dir, 1);
	setenv("SHCACHE_HISTORY", "nights/history.jsonl", 1);
	must(judge, 0);
	check_merged("report/*-nightly-*/run.json", "nights/history.jsonl");
	/* A lost part is not overlooked, and the job says so with its exit code. */
	must("rm -r \"$(ls -d parts/*-nightly-* | head -n 1)\"", 0);
	must(judge, 3);
	assert_non_null(strstr(ft_said, "/4 is missing; parts must come from one plan"));
	unsetenv("SHCACHE_RESULTS");
	unsetenv("SHCACHE_HISTORY");
	free(dir);
	free(text);
	free(measure);
	free(judge);
}

static void slurm(void **state)
{
	(void)state;
	must("docs/ci/slurm-submit.sh 4 parts", 0);
	assert_non_null(strstr(ft_said, "judged 0\n"));
	check_merged("results/runs/*-nightly-*/run.json", "results/runs/history.jsonl");
	/* A regression is the judge's exit code. */
	ft_kernel("cand", "{\"t\":\"sample\",\"m\":\"unique_frames\",\"v\":1500,\"x\":{\"n\":\"10\",\"access\":\"read\"}}\n");
	must("docs/ci/slurm-submit.sh 2 parts2", 1);
	assert_non_null(strstr(ft_said, "judged 1\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(github, clean),
		cmocka_unit_test_setup(gitlab, clean),
		cmocka_unit_test_setup(slurm, clean),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
