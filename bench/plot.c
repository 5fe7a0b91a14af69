// SPDX-License-Identifier: GPL-2.0
/*
 * Plots. Each is four files in DIR/plots: the numbers (NAME.tsv), the gnuplot program (NAME.gp: a head with names and titles, then
 * the templates word for word) and what it draws (NAME.svg, NAME.png). `gnuplot NAME.gp` in that directory draws them again.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-util.h"

extern char **environ;

struct line {
	char *name;
	size_t what, kernel;	/* numbers, from 0, of what it shows and of its kernel */
};

struct point {
	size_t line;
	double x;
	size_t group;
	double v, lo, hi;
};

struct words {
	char **w;
	size_t nr;
};

struct plot {
	char *name;
	const char *template;
	char *title, *subtitle;
	const char *xlabel, *ylabel, *xformat, *yformat;
	bool ylog;
	struct words whats, kernels, groups;
	struct line *lines;
	struct point *points;
	size_t nr_lines, nr_points;
};

struct drawing {
	const json_t *doc;
	const char *templates;
	char *dir;
	struct series_set set;
	struct words names;	/* of the plots so far */
	int nr, err;
};

static size_t word_no(struct words *w, const char *s)
{
	for (size_t i = 0; i < w->nr; i++)
		if (!strcmp(w->w[i], s))
			return i;
	w->w = bench_grow(w->w, (w->nr + 1) * sizeof(*w->w));
	w->w[w->nr] = bench_strdup(s);
	return w->nr++;
}

static void words_free(struct words *w)
{
	for (size_t i = 0; i < w->nr; i++)
		free(w->w[i]);
	free(w->w);
	*w = (struct words){};
}

/* Number of the line "kernel, what". */
static size_t line_no(struct plot *p, const char *kernel, const char *what)
{
	char *name = *what && *kernel ? bench_printf("%s, %s", kernel, what) : bench_strdup(*what ? what : kernel);

	for (size_t i = 0; i < p->nr_lines; i++)
		if (!strcmp(p->lines[i].name, name)) {
			free(name);
			return i;
		}
	p->lines = bench_grow(p->lines, (p->nr_lines + 1) * sizeof(*p->lines));
	p->lines[p->nr_lines] = (struct line){ .name = name, .what = word_no(&p->whats, what) };
	p->lines[p->nr_lines].kernel = *kernel ? word_no(&p->kernels, kernel) : 0;
	return p->nr_lines++;
}

static void add_point(struct plot *p, struct point pt)
{
	p->points = bench_grow(p->points, (p->nr_points + 1) * sizeof(*p->points));
	p->points[p->nr_points++] = pt;
}

/* A series' median and extremes, scaled. */
static struct point series_point(const struct series *s, double scale)
{
	struct point pt = { .v = series_median(s) * scale, .lo = INFINITY, .hi = -INFINITY };

	for (size_t i = 0; i < s->nr; i++) {
		pt.lo = fmin(pt.lo, s->v[i].v * scale);
		pt.hi = fmax(pt.hi, s->v[i].v * scale);
	}
	return pt;
}

static void plot_free(struct plot *p)
{
	for (size_t i = 0; i < p->nr_lines; i++)
		free(p->lines[i].name);
	words_free(&p->whats);
	words_free(&p->kernels);
	words_free(&p->groups);
	free(p->lines);
	free(p->points);
	free(p->name);
	free(p->title);
	free(p->subtitle);
}

/* --- writing ------------------------------------------------------------------------------------------------------------------ */

/* A gnuplot string in double quotes; what enhanced text would take for markup is taken from it. */
static void put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (strchr("_^@&~{}", *s))
			fputs("\\\\", f);
		else if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void put_setting(FILE *f, const char *name, const char *s)
{
	fprintf(f, "%s = ", name);
	put_string(f, s);
	fputc('\n', f);
}

static int copy_in(FILE *dst, const char *dir, const char *file)
{
	char *path = bench_printf("%s/%s", dir, file), data[4096];
	FILE *src = fopen(path, "r");
	int ret = 0;
	size_t n;

	if (!src) {
		ret = -errno;
		fprintf(stderr, "shbench: %s: cannot be read: %s\n", path, strerror(-ret));
		free(path);
		return ret;
	}
	fputc('\n', dst);
	while ((n = fread(data, 1, sizeof(data), src)) > 0)
		fwrite(data, 1, n, dst);
	if (ferror(src))
		ret = -EIO;
	fclose(src);
	free(path);
	return ret;
}

static int close_checked(FILE *f, int ret)
{
	if (!ret && ferror(f))
		ret = -EIO;
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

static int write_tsv(const struct plot *p, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "no\tseries\tx\tgroup\tvalue\tlow\thigh\n");
	for (size_t l = 0; l < p->nr_lines; l++)
		for (size_t i = 0; i < p->nr_points; i++) {
			const struct point *pt = &p->points[i];

			if (pt->line == l)
				fprintf(f, "%zu\t%s\t%.10g\t%s\t%.10g\t%.10g\t%.10g\n", l + 1, p->lines[l].name, pt->x,
					p->groups.nr ? p->groups.w[pt->group] : "-", pt->v, pt->lo, pt->hi);
		}
	return close_checked(f, 0);
}

static int write_gp(const struct plot *p, const char *path, const char *templates)
{
	FILE *f = fopen(path, "w");
	char *file = bench_printf("%s.gp", p->template);
	int ret;

	if (!f) {
		free(file);
		return -errno;
	}
	put_setting(f, "name", p->name);
	put_setting(f, "title", p->title);
	put_setting(f, "subtitle", p->subtitle);
	put_setting(f, "xlabel", p->xlabel);
	put_setting(f, "ylabel", p->ylabel);
	put_setting(f, "xformat", p->xformat);
	put_setting(f, "yformat", p->yformat);
	fprintf(f, "ylog = %d\ngroups = %zu\nseries = %zu\narray label[%zu]\narray colour[%zu]\narray kind[%zu]\n", p->ylog, p->groups.nr,
		p->nr_lines, p->nr_lines, p->nr_lines, p->nr_lines);
	for (size_t i = 0; i < p->nr_lines; i++) {
		/* Colour tells what is shown and dash the kernel; where there is one thing only, both tell the kernel. */
		bool many = p->whats.nr > 1;

		fprintf(f, "label[%zu] = \"", i + 1);
		for (const char *s = p->lines[i].name; *s; s++)
			fprintf(f, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
		fprintf(f, "\"\ncolour[%zu] = %zu\nkind[%zu] = %zu\n", i + 1, 1 + (many ? p->lines[i].what : p->lines[i].kernel), i + 1,
			p->lines[i].kernel + 1);
	}
	if (p->groups.nr)
		fprintf(f, "array group[%zu]\n", p->groups.nr);
	for (size_t i = 0; i < p->groups.nr; i++) {
		fprintf(f, "group[%zu] = ", i + 1);
		put_string(f, p->groups.w[i]);
		fputc('\n', f);
	}
	ret = copy_in(f, templates, "style.gp");
	if (!ret)
		ret = copy_in(f, templates, file);
	free(file);
	return close_checked(f, ret);
}

static int run_gnuplot(const char *dir, const char *name)
{
	char *file = bench_printf("%s.gp", name), *argv[] = { (char *)"gnuplot", file, NULL };
	posix_spawn_file_actions_t fa;
	int ret, status;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addchdir_np(&fa, dir);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", 0, 0);
	ret = -posix_spawnp(&pid, "gnuplot", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (ret == -ENOENT)
		fprintf(stderr, "shbench: gnuplot is not installed (Debian: gnuplot-nox); %s/%s can be drawn later\n", dir, file);
	if (!ret) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "shbench: gnuplot failed on %s/%s (status 0x%x)\n", dir, file, status);
			ret = -EIO;
		}
	}
	free(file);
	return ret;
}

/* A file name of letters, digits, dots and dashes; a number is added if it is taken. */
static char *plot_name(struct drawing *d, const char *text)
{
	char *s = bench_alloc(strlen(text) + 1), *name;
	size_t n = 0, taken = d->names.nr;

	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') || *text == '.';

		if (plain)
			s[n++] = *text;
		else if (n && s[n - 1] != '-')
			s[n++] = '-';
	}
	while (n && s[n - 1] == '-')
		s[--n] = '\0';
	name = bench_strdup(s);
	for (unsigned int k = 2; word_no(&d->names, name) < taken; k++) {
		free(name);
		name = bench_printf("%s-%u", s, k);
	}
	free(s);
	return name;
}

/* Writes and draws a plot, and frees it. One without at least two points is no plot. */
static void plot_draw(struct drawing *d, struct plot *p)
{
	char *tsv, *gp;
	int ret;

	if (p->nr_points < 2 || d->err) {
		plot_free(p);
		return;
	}
	tsv = bench_printf("%s/%s.tsv", d->dir, p->name);
	gp = bench_printf("%s/%s.gp", d->dir, p->name);
	ret = write_tsv(p, tsv);
	if (!ret)
		ret = write_gp(p, gp, d->templates);
	if (!ret)
		ret = run_gnuplot(d->dir, p->name);
	if (ret)
		d->err = ret;
	else
		d->nr++;
	free(tsv);
	free(gp);
	plot_free(p);
}

/* --- what there is to draw ---------------------------------------------------------------------------------------------------- */

/* "Linux 6.12.0, xfs, lane wall (tcg), 3 boots" */
static char *subtitle(const struct drawing *d, const struct series *s, const char *more)
{
	const char *accel = json_str(json_object_get(d->doc, "qemu"), "accel", "?");
	const json_t *k = json_array_get(json_object_get(d->doc, "kernels"), 0);

	return bench_printf("Linux %s, %s, %s, %s%s%zu boot%s%s", json_str(k, "release", "?"), s->fs, s->image,
			    !strcmp(s->lane, "icount") ? "lane icount (guest instructions)" : "lane wall, ", strcmp(s->lane, "icount") ? accel : "",
			    s->nr, s->nr == 1 ? "" : "s", more);
}

static bool same_place(const struct series *a, const struct series *b)
{
	return !strcmp(a->section, b->section) && !strcmp(a->lane, b->lane) && !strcmp(a->fs, b->fs) && !strcmp(a->image, b->image);
}

static bool is_ns(const struct series *s)
{
	return !strcmp(s->unit, "ns");
}

/* How a value of this series is drawn: its factor, the axis' name and format. */
static double axis_of(const struct series *s, const char **label, const char **format)
{
	bool icount = !strcmp(s->lane, "icount");

	if (is_ns(s)) {
		*label = icount ? "guest instructions" : "time";
		*format = icount ? "%.0s%c" : "%.0s %cs";
		return icount ? 1 : 1e-9;
	}
	if (unit_is_exact(s->unit)) {
		*label = "MiB";
		*format = "%g";
		return (strcmp(s->unit, "pages") ? 1 : BENCH_PAGE) / 0x1p20;
	}
	*label = s->unit;
	*format = "%.0s%c";
	return 1;
}

static double one_copy(const struct drawing *d, const struct series *like)
{
	for (size_t i = 0; i < d->set.nr; i++) {
		const struct series *s = &d->set.s[i];

		if (series_is(s, like->workload, "one_copy_pages") && same_place(s, like) &&
		    (!*s->coords || !strcmp(s->coords, like->coords)))
			return series_median(s);
	}
	return NAN;
}

static void draw_footprint(struct drawing *d)
{
	struct curve_set curves;

	curves_collect(&d->set, "unique_frames", "n", &curves);
	for (size_t i = 0; i < curves.nr; i++) {
		const struct series *s = curves.c[i].s[0];
		struct plot p = { .template = "lines", .xlabel = "containers (N)", .yformat = "%g", .xformat = "",
				  .ylabel = "unique page frames in the page cache, MiB" };
		double ideal = NAN, lo = INFINITY, hi = 0;
		bool first = true;
		char *id;

		for (size_t k = 0; k < i; k++)
			first &= !same_place(curves.c[k].s[0], s) || strcmp(curves.c[k].rest, curves.c[i].rest);
		if (!first)
			continue;
		for (size_t k = i; k < curves.nr; k++) {
			const struct curve *c = &curves.c[k];
			size_t line;

			if (!same_place(c->s[0], s) || strcmp(c->rest, curves.c[i].rest))
				continue;
			line = line_no(&p, c->s[0]->kernel, c->s[0]->mode);
			for (size_t j = 0; j < c->nr; j++) {
				struct point pt = series_point(c->s[j], BENCH_PAGE / 0x1p20);

				if (isnan(ideal))
					ideal = one_copy(d, c->s[j]) * BENCH_PAGE / 0x1p20;
				pt.line = line;
				pt.x = c->x[j];
				lo = fmin(lo, pt.x);
				hi = fmax(hi, pt.x);
				add_point(&p, pt);
			}
		}
		if (!isnan(ideal) && hi > lo) {
			size_t line = line_no(&p, "", "one copy");

			add_point(&p, (struct point){ .line = line, .x = lo, .v = ideal, .lo = ideal, .hi = ideal });
			add_point(&p, (struct point){ .line = line, .x = hi, .v = ideal, .lo = ideal, .hi = ideal });
		}
		id = bench_printf("footprint-%s-%s-%s", curves.c[i].rest, s->fs, s->lane);
		p.name = plot_name(d, id);
		p.title = bench_printf("Page-cache footprint against the number of containers%s%s", *curves.c[i].rest ? ", " : "",
				       curves.c[i].rest);
		p.subtitle = subtitle(d, s, "");
		plot_draw(d, &p);
		free(id);
	}
	curves_free(&curves);
}

/* Bars at the largest N, one group for each file system, image and access. */
static void draw_savings(struct drawing *d, const char *lane)
{
	struct plot p = { .template = "bars", .xlabel = "", .xformat = "", .yformat = "%g", .ylabel = "unique page frames, MiB" };
	const struct series *any = NULL;
	struct curve_set curves;
	double n = 0;

	curves_collect(&d->set, "unique_frames", "n", &curves);
	for (size_t i = 0; i < curves.nr; i++) {
		const struct curve *c = &curves.c[i];
		const struct series *s = c->s[c->nr - 1];
		struct point pt = series_point(s, BENCH_PAGE / 0x1p20);
		double ideal = one_copy(d, s) * BENCH_PAGE / 0x1p20;
		char *group;

		if (strcmp(s->lane, lane))
			continue;
		group = bench_printf("%s %s %s N=%.0f", s->image, s->fs, series_coord(s, "access", c->rest), c->x[c->nr - 1]);
		pt.group = word_no(&p.groups, group);
		pt.x = (double)pt.group + 1;
		pt.line = line_no(&p, s->kernel, s->mode);
		add_point(&p, pt);
		if (!isnan(ideal)) {
			bool there = false;

			pt.line = line_no(&p, "", "one copy");
			pt.v = pt.lo = pt.hi = ideal;
			for (size_t k = 0; k < p.nr_points; k++)
				there |= p.points[k].line == pt.line && p.points[k].group == pt.group;
			if (!there)
				add_point(&p, pt);
		}
		any = any ? any : s;
		n = fmax(n, c->x[c->nr - 1]);
		free(group);
	}
	if (any) {
		char *id = bench_printf("savings-%s", lane);

		p.name = plot_name(d, id);
		p.title = bench_printf("What N containers hold in the page cache, up to N=%.0f", n);
		p.subtitle = bench_printf("Linux %s, lane %s, %s", json_str(json_array_get(json_object_get(d->doc, "kernels"), 0), "release", "?"),
					  lane, json_str(json_object_get(d->doc, "qemu"), "accel", "?"));
		free(id);
	}
	plot_draw(d, &p);
	curves_free(&curves);
}

/* The distribution of one cell's histogram, up to its maximum. */
static void add_cdf(struct plot *p, const struct hist *h, size_t line, double scale)
{
	uint64_t cum = 0;

	for (unsigned int b = 0; b < HIST_BUCKETS && h->n; b++) {
		double x = fmin((double)hist_high(b), (double)h->max) * scale;

		if (!h->b[b])
			continue;
		if (!cum)
			add_point(p, (struct point){ .line = line, .x = (double)h->min * scale });
		cum += h->b[b];
		if (x > 0)
			add_point(p, (struct point){ .line = line, .x = x, .v = (double)cum / (double)h->n });
	}
}

/* All boots' histograms of one series, added up. */
static void merged_hist(const struct series *s, const char *metric, struct hist *sum)
{
	struct hist *h = bench_alloc(sizeof(*h));
	const char *why;

	hist_init(sum);
	for (size_t i = 0; i < s->nr; i++) {
		const json_t *rec;
		size_t k;

		json_array_foreach(json_object_get(s->v[i].cell, "hists"), k, rec)
			if (!strcmp(json_str(rec, "m", ""), metric) && (json_object_get(rec, "x") == s->x ||
									 json_equal(json_object_get(rec, "x"), s->x)) &&
			    !hist_from_json(json_object_get(rec, "h"), h, &why))
				hist_merge(sum, h);
	}
	free(h);
}

/* One plot for each place and fault-around setting of every histogram that has classes. */
static void draw_cdfs(struct drawing *d)
{
	bool *done = bench_alloc((d->set.nr + 1) * sizeof(*done));
	struct hist *h = bench_alloc(sizeof(*h));

	for (size_t i = 0; i < d->set.nr; i++) {
		const struct series *s = &d->set.s[i];
		const char *around = series_coord(s, "around", ""), *dot = strstr(s->metric, ".p50");
		struct plot p = { .template = "cdf", .ylabel = "share of faults", .yformat = "%g" };
		char *id, *metric;
		double scale;

		if (done[i] || !dot || dot[4] || !series_coord(s, "class", NULL))
			continue;
		metric = bench_printf("%.*s", (int)(dot - s->metric), s->metric);
		scale = axis_of(s, &p.xlabel, &p.xformat);
		for (size_t k = i; k < d->set.nr; k++) {
			const struct series *t = &d->set.s[k];

			if (strcmp(t->metric, s->metric) || !same_place(t, s) || strcmp(t->mode, s->mode) ||
			    strcmp(series_coord(t, "around", ""), around) || !series_coord(t, "class", NULL))
				continue;
			done[k] = true;
			merged_hist(t, metric, h);
			add_cdf(&p, h, line_no(&p, t->kernel, series_coord(t, "class", "")), scale);
		}
		id = bench_printf("%s-cdf-%s-%s-%s%s%s", metric, s->fs, s->mode, s->lane, *around ? "-around-" : "", around);
		p.name = plot_name(d, id);
		p.title = bench_printf("%s latency by class, mode %s%s%s", metric, s->mode, *around ? ", fault-around " : "", around);
		p.title[0] = p.title[0] >= 'a' && p.title[0] <= 'z' ? (char)(p.title[0] - 'a' + 'A') : p.title[0];
		p.subtitle = subtitle(d, s, "");
		plot_draw(d, &p);
		free(id);
		free(metric);
	}
	free(done);
	free(h);
}

/* A plot of bars: groups are the coordinates but for one, which with the kernel tells the bars apart. */
struct bars {
	const char *workload, *metric, *coord, *name, *title;
	bool ylog;
};

static const struct bars bar_plots[] = {
	{ "start", "start_ns", "k", "start", "Container start, first and later containers", false },
	{ "cow", "cow.p50", NULL, "cow-break", "COW break: first write to a shared extent (median)", true },
	{ "cow", "frames_gained", NULL, "cow-frames", "Page frames gained by a COW break", true },
	{ "pressure", "refaults", NULL, "pressure-refaults", "Refaults under memory pressure", false },
	{ "pressure", "throughput", NULL, "pressure-throughput", "Throughput under memory pressure", false },
	{ "fio", "bw", NULL, "fio-bandwidth", "fio bandwidth by job", false },
};

/* The coordinates but for one, as a label: "way=store sharers=8" becomes "store sharers=8" where the name says nothing. */
static char *group_label(const struct series *s, const char *without)
{
	static const char *const plain[] = { "way", "program", "job", "access", "cache" };
	char *label = bench_strdup("");
	const char *k;
	json_t *v;

	json_object_foreach((json_t *)s->x, k, v) {
		const char *val = json_string_value(v);
		bool bare = false;
		char *more;

		if (without && !strcmp(k, without))
			continue;
		for (size_t i = 0; i < BENCH_SIZE(plain); i++)
			bare |= !strcmp(plain[i], k);
		more = bench_printf("%s%s%s%s%s", label, *label ? " " : "", bare ? "" : k, bare ? "" : "=", val ? val : "?");
		free(label);
		label = more;
	}
	return label;
}

static void draw_bars(struct drawing *d, const struct bars *b)
{
	bool *done = bench_alloc((d->set.nr + 1) * sizeof(*done));

	for (size_t i = 0; i < d->set.nr; i++) {
		const struct series *s = &d->set.s[i];
		struct plot p = { .template = "bars", .xlabel = "", .xformat = "", .ylog = b->ylog };
		double scale, least = INFINITY;
		char *id;

		if (done[i] || !series_is(s, b->workload, b->metric))
			continue;
		scale = axis_of(s, &p.ylabel, &p.yformat);
		for (size_t k = i; k < d->set.nr; k++) {
			const struct series *t = &d->set.s[k];
			struct point pt;
			char *group, *what;

			if (!series_is(t, b->workload, b->metric) || !same_place(t, s) || done[k])
				continue;
			done[k] = true;
			group = group_label(t, b->coord);
			what = bench_printf("%s%s%s", t->mode, b->coord ? ", " : "", b->coord ? series_coord(t, b->coord, "") : "");
			pt = series_point(t, scale);
			pt.group = word_no(&p.groups, *group ? group : t->fs);
			pt.x = (double)pt.group + 1;
			pt.line = line_no(&p, t->kernel, what);
			least = fmin(least, pt.lo);
			add_point(&p, pt);
			free(group);
			free(what);
		}
		/* A logarithmic axis has no place for nothing. */
		p.ylog &= least > 0;
		id = bench_printf("%s-%s-%s", b->name, s->fs, s->lane);
		p.name = plot_name(d, id);
		p.title = bench_strdup(b->title);
		p.subtitle = subtitle(d, s, "");
		plot_draw(d, &p);
		free(id);
	}
	free(done);
}

/* A plot of lines over a numeric coordinate. */
struct lines {
	const char *workload, *metric, *coord, *name, *title, *xlabel;
};

static const struct lines line_plots[] = {
	{ "copyup", "copyup_ns", "size", "copyup", "Overlay copy-up against file size", "file size, bytes" },
	{ "cow", "cow.p50", "sharers", "cow-sharers", "COW break against the number of sharers (median)", "files that share the extent" },
	{ "fault", "storm", "procs", "fault-storm", "Processes that fault the same pages at once", "processes" },
};

static void draw_lines(struct drawing *d, const struct lines *l)
{
	struct curve_set curves;
	bool *done;

	curves_collect(&d->set, l->metric, l->coord, &curves);
	done = bench_alloc((curves.nr + 1) * sizeof(*done));
	for (size_t i = 0; i < curves.nr; i++) {
		const struct series *s = curves.c[i].s[0];
		struct plot p = { .template = "lines", .xlabel = l->xlabel, .xformat = "" };
		bool rise = false;
		double scale;
		char *id;

		if (done[i] || strcmp(s->workload, l->workload))
			continue;
		scale = axis_of(s, &p.ylabel, &p.yformat);
		for (size_t k = i; k < curves.nr; k++) {
			const struct curve *c = &curves.c[k];
			char *label, *what;

			if (done[k] || !series_is(c->s[0], l->workload, l->metric) || !same_place(c->s[0], s))
				continue;
			done[k] = true;
			label = group_label(c->s[0], l->coord);
			what = bench_printf("%s%s%s", c->s[0]->mode, *label ? ", " : "", label);
			for (size_t j = 0; j < c->nr; j++) {
				struct point pt = series_point(c->s[j], scale);

				pt.line = line_no(&p, c->s[0]->kernel, what);
				pt.x = c->x[j];
				if (pt.x > 0 && pt.lo > 0)
					add_point(&p, pt);
			}
			rise |= c->nr > 1;
			free(label);
			free(what);
		}
		if (!rise) {
			plot_free(&p);
			continue;
		}
		id = bench_printf("%s-%s-%s", l->name, s->fs, s->lane);
		p.name = plot_name(d, id);
		p.title = bench_strdup(l->title);
		p.subtitle = subtitle(d, s, "");
		plot_draw(d, &p);
		free(id);
	}
	free(done);
	curves_free(&curves);
}

/* Plots of an earlier drawing must not look like plots of this one. */
static void remove_old(const char *dir)
{
	static const char *const ends[] = { ".tsv", ".gp", ".svg", ".png" };
	DIR *dh = opendir(dir);
	struct dirent *e;

	while (dh && (e = readdir(dh))) {
		const char *dot = strrchr(e->d_name, '.');

		for (size_t i = 0; dot && i < BENCH_SIZE(ends); i++)
			if (!strcmp(dot, ends[i]))
				unlinkat(dirfd(dh), e->d_name, 0);
	}
	if (dh)
		closedir(dh);
}

int plots_draw(const json_t *doc, const char *dir, const char *templates)
{
	struct drawing d = { .doc = doc, .templates = templates, .dir = bench_printf("%s/plots", dir) };

	if (mkdir(d.dir, 0777) && errno != EEXIST) {
		d.err = -errno;
		free(d.dir);
		return d.err;
	}
	remove_old(d.dir);
	series_collect(doc, NULL, &d.set);
	draw_footprint(&d);
	draw_savings(&d, "wall");
	draw_savings(&d, "icount");
	draw_cdfs(&d);
	for (size_t i = 0; i < BENCH_SIZE(line_plots); i++)
		draw_lines(&d, &line_plots[i]);
	for (size_t i = 0; i < BENCH_SIZE(bar_plots); i++)
		draw_bars(&d, &bar_plots[i]);
	series_free(&d.set);
	words_free(&d.names);
	free(d.dir);
	return d.err ? d.err : d.nr;
}
