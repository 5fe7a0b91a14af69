// SPDX-License-Identifier: GPL-2.0
/*
 * plot.c: which plots a run gives, what their data are, and that what gnuplot needs is all in the plot's own directory. Where gnuplot is
 * installed the plots are really drawn; that PNG and SVG are there and not empty is all that a program can see of them.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "rundoc-fixture.h"

#define TEMPLATES "results/templates"

static char dir[] = "/tmp/shcache-plots-XXXXXX";
static char fakebin[64], *old_path;

static char *text_of(const char *name)
{
	char *path, *s = calloc(1, 1 << 20);
	FILE *f;

	assert_true(asprintf(&path, "%s/plots/%s", dir, name) > 0);
	f = fopen(path, "r");
	if (!f)
		fail_msg("there is no %s", path);
	if (!fread(s, 1, (1 << 20) - 1, f))
		*s = '\0';
	fclose(f);
	free(path);
	return s;
}

static bool exists(const char *name)
{
	char *path;
	struct stat st;
	bool there;

	assert_true(asprintf(&path, "%s/plots/%s", dir, name) > 0);
	there = !stat(path, &st) && st.st_size > 0;
	free(path);
	return there;
}

/* A gnuplot that only notes what it was asked for: drawing thirty plots is not what is tested here. */
static void fake_gnuplot(const char *script)
{
	char *path;
	FILE *f;

	assert_true(asprintf(&path, "%s/gnuplot", fakebin) > 0);
	f = fopen(path, "w");
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	chmod(path, 0755);
	free(path);
}

static int group_setup(void **state)
{
	char *path;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(fakebin, sizeof(fakebin), "%s/bin", dir);
	mkdir(fakebin, 0755);
	old_path = strdup(getenv("PATH"));
	if (asprintf(&path, "%s:%s", fakebin, old_path) < 0)
		return -1;
	setenv("PATH", path, 1);
	free(path);
	fake_gnuplot("echo \"$1\" >> ../asked; : > \"${1%.gp}.png\"");
	return 0;
}

static int group_teardown(void **state)
{
	char *cmd;
	int ret;

	(void)state;
	setenv("PATH", old_path, 1);
	free(old_path);
	if (asprintf(&cmd, "rm -r '%s'", dir) < 0)
		return -1;
	ret = system(cmd);
	free(cmd);
	return ret;
}

static size_t count_plots(void)
{
	char *path;
	struct dirent *e;
	DIR *dh;
	size_t n = 0;

	assert_true(asprintf(&path, "%s/plots", dir) > 0);
	dh = opendir(path);
	while ((e = readdir(dh)))
		n += strlen(e->d_name) > 4 && !strcmp(e->d_name + strlen(e->d_name) - 4, ".tsv");
	closedir(dh);
	free(path);
	return n;
}

static void names(void **state)
{
	static const char *const want[] = {
		"footprint-access-read-xfs-wall", "footprint-access-mmap-btrfs-wall", "footprint-access-programs-xfs-wall", "savings-wall",
		"fault-cdf-xfs-reflink-icount-around-off", "fault-cdf-xfs-reflink-wall-around-on", "cow-break-xfs-icount",
		"cow-sharers-cold-reflink-xfs-icount", "cow-sharers-warm-reflink-btrfs-icount", "copyup-xfs-wall", "start-xfs-wall", "fault-storm-xfs-wall",
		"pressure-refaults-xfs-wall", "fio-bandwidth-btrfs-wall",
	};
	json_t *doc = realistic_doc(2);
	int nr = plots_draw(doc, dir, TEMPLATES);

	(void)state;
	assert_int_equal(nr, count_plots());
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		char *tsv, *gp;

		assert_true(asprintf(&tsv, "%s.tsv", want[i]) > 0 && asprintf(&gp, "%s.gp", want[i]) > 0);
		if (!exists(tsv) || !exists(gp))
			fail_msg("there is no plot %s", want[i]);
		free(tsv);
		free(gp);
	}
	assert_false(exists("savings-icount.tsv"));
	json_decref(doc);
}

/* Numbers of the footprint plot, and what is said on it. */
static void footprint(void **state)
{
	char *tsv = text_of("footprint-access-mmap-xfs-wall.tsv"), *gp = text_of("footprint-access-mmap-xfs-wall.gp");

	(void)state;
	assert_true(!strncmp(tsv, "no\tseries\tx\tgroup\tvalue\tlow\thigh\n", 32));
	assert_non_null(strstr(tsv, "\n1\tbase, reflink\t100\t-\t3828.125\t3828.125\t3828.125\n"));
	assert_non_null(strstr(tsv, "\tshcache, reflink\t100\t-\t42.96875\t"));
	assert_non_null(strstr(tsv, "\tone copy\t1\t-\t38.28125\t38.28125\t38.28125\n"));
	assert_null(strstr(tsv, "again"));
	assert_non_null(strstr(gp, "Linux 6.12.117, xfs, debian-slim, lane wall (tcg), 2 boots; again is the same kernel, not drawn"));
	assert_non_null(strstr(gp, "array tick[7]\ntick[1] = \"1\"\n"));
	/* The templates are in it word for word: the plot can be drawn again without the checkout. */
	assert_non_null(strstr(gp, "Okabe and Ito"));
	assert_non_null(strstr(gp, "set logscale xy"));
	free(tsv);
	free(gp);
	/* Snapshots, which only the second file system has, come before the ideal. */
	gp = text_of("savings-wall.gp");
	assert_non_null(strstr(gp, "series = 7\n"));
	assert_non_null(strstr(gp, "label[7] = \"one copy\"\n"));
	free(gp);
}

/* Modes that other sections of a plan measured belong into the same plot, in order along each line. */
static void sections(void **state)
{
	static const unsigned int n[] = { 50, 1, 10 };
	json_t *doc = fx_doc(), *c;
	char *tsv, *at[3];

	(void)state;
	fx_kernel(doc, "base", "base", "", "");
	fx_metric(doc, "footprint", "unique_frames", "pages", "lower", 0.01, 64, 0);
	for (unsigned int i = 0; i < 3; i++) {
		char x[32];

		c = fx_cell(doc, "base", "footprint", "wall", "xfs", i == 2 ? "copy" : "reflink", 0, 0);
		json_object_set_new(c, "section", json_sprintf("part%u", i));
		snprintf(x, sizeof(x), "n=%u access=mmap", n[i]);
		fx_sample(c, "unique_frames", 256 * n[i], x);
	}
	assert_int_equal(plots_draw(doc, dir, TEMPLATES), 2);
	tsv = text_of("footprint-access-mmap-xfs-wall.tsv");
	at[0] = strstr(tsv, "\n1\tbase, reflink\t1\t-\t1\t1\t1\n");
	at[1] = strstr(tsv, "\n1\tbase, reflink\t50\t-\t50\t50\t50\n");
	at[2] = strstr(tsv, "\n2\tbase, copy\t10\t-\t10\t10\t10\n");
	assert_true(at[0] && at[1] && at[2] && at[0] < at[1] && at[1] < at[2]);
	/* What an earlier drawing left is gone. */
	assert_false(exists("start-xfs-wall.tsv"));
	free(tsv);
	json_decref(doc);
}

/* The last value of a distribution is 1, at the maximum; it never falls. */
static void distribution(void **state)
{
	json_t *doc = fx_doc(), *c;
	double last = 0, v = 0, x = 0;
	char *tsv, *line, *save = NULL;
	struct hist *h = malloc(sizeof(*h));
	size_t n = 0;

	(void)state;
	fx_kernel(doc, "base", "base", "", "");
	fx_metric(doc, "fault", "fault", "ns", "lower", 0.01, 64, 0);
	for (unsigned int boot = 0; boot < 2; boot++) {
		c = fx_cell(doc, "base", "fault", "icount", "xfs", "reflink", boot, 0);
		hist_init(h);
		for (unsigned int i = 1; i <= 50; i++)
			hist_add(h, boot ? 1000 * i : 10 * i);
		fx_hist_add(c, "fault", h, "class=resident-minor around=off");
	}
	assert_true(plots_draw(doc, dir, TEMPLATES) == 1);
	tsv = text_of("fault-cdf-xfs-reflink-icount-around-off.tsv");
	line = strtok_r(tsv, "\n", &save);
	while ((line = strtok_r(NULL, "\n", &save))) {
		assert_int_equal(sscanf(line, "1\tbase, resident-minor\t%lf\t-\t%lf", &x, &v), 2);
		assert_true(v >= last);
		/* Half of all faults are of the first boot, all of at most 500. */
		if (x <= 499)
			assert_true(v < 0.5);
		if (x > 600)
			assert_true(v >= 0.5);
		last = v;
		n++;
	}
	assert_true(n > 50 && v == 1 && x == 50000);
	free(h);
	free(tsv);
	json_decref(doc);
}

/* What gnuplot would take for markup, a format or the end of a string. */
static void odd_names(void **state)
{
	json_t *doc = fx_doc(), *c;
	char *gp;

	(void)state;
	fx_kernel(doc, "my_\"kernel\"\\", "base", "", "");
	json_object_set_new(doc, "baseline", json_string("my_\"kernel\"\\"));
	fx_metric(doc, "pressure", "refaults", "count", "lower", 0.01, 64, 0);
	for (unsigned int i = 0; i < 2; i++) {
		c = fx_cell(doc, "my_\"kernel\"\\", "pressure", "wall", "xfs", "reflink", 0, 0);
		fx_sample(c, "refaults", 5, i ? "limit=50%" : "limit=a_b");
	}
	assert_int_equal(plots_draw(doc, dir, TEMPLATES), 1);
	gp = text_of("pressure-refaults-xfs-wall.gp");
	assert_non_null(strstr(gp, "label[1] = \"my_\\\"kernel\\\"\\\\, reflink\"\n"));
	assert_non_null(strstr(gp, "group[2] = \"limit=50%%\"\n"));
	assert_non_null(strstr(gp, "group[1] = \"limit=a\\\\_b\"\n"));
	free(gp);
	json_decref(doc);
}

static int draw_quietly(const json_t *doc, const char *where, const char *templates)
{
	int keep = dup(2), ret;

	assert_non_null(freopen("/dev/null", "w", stderr));
	ret = plots_draw(doc, where, templates);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
	return ret;
}

static void failures(void **state)
{
	json_t *doc = realistic_doc(1), *bare = fx_doc();

	(void)state;
	fx_kernel(bare, "base", "base", "", "");
	assert_int_equal(plots_draw(bare, dir, TEMPLATES), 0);
	assert_int_equal(draw_quietly(doc, dir, "/nowhere"), -ENOENT);
	assert_int_equal(draw_quietly(doc, "/nowhere/at/all", TEMPLATES), -ENOENT);
	fake_gnuplot("exit 3");
	assert_int_equal(draw_quietly(doc, dir, TEMPLATES), -EIO);
	setenv("PATH", "/nowhere", 1);
	assert_int_equal(draw_quietly(doc, dir, TEMPLATES), -ENOENT);
	assert_true(exists("footprint-access-read-xfs-wall.tsv") && exists("footprint-access-read-xfs-wall.gp"));
	setenv("PATH", old_path, 1);
	json_decref(doc);
	json_decref(bare);
}

/* Each template once, by the real gnuplot. */
static void really(void **state)
{
	static const char *const want[] = { "footprint-access-mmap-xfs-wall.png", "footprint-access-mmap-xfs-wall.svg", "savings-wall.png",
					    "savings-wall.svg", "fault-cdf-xfs-reflink-wall.png", "fault-cdf-xfs-reflink-wall.svg" };
	json_t *doc = fx_doc(), *c;

	(void)state;
	if (system("gnuplot --version >/dev/null 2>&1"))
		skip();
	fx_kernel(doc, "base", "base", "", "");
	fx_metric(doc, "footprint", "unique_frames", "pages", "lower", 0.01, 64, 0);
	fx_metric(doc, "fault", "fault", "ns", "lower", 0.01, 64, 0);
	c = fx_cell(doc, "base", "footprint", "wall", "xfs", "reflink", 0, 0);
	fx_sample(c, "unique_frames", 256, "n=1 access=mmap");
	fx_sample(c, "unique_frames", 2560, "n=10 access=mmap");
	fx_sample(c, "one_copy_pages", 256, "n=10 access=mmap");
	c = fx_cell(doc, "base", "fault", "wall", "xfs", "reflink", 0, 0);
	fx_hist(c, "fault", 5000, 0.2, 300, "class=resident-minor");
	assert_int_equal(plots_draw(doc, dir, TEMPLATES), 3);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (!exists(want[i]))
			fail_msg("gnuplot did not draw %s", want[i]);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(footprint),
		cmocka_unit_test(sections),
		cmocka_unit_test(distribution),
		cmocka_unit_test(odd_names),
		cmocka_unit_test(failures),
		cmocka_unit_test(really),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
