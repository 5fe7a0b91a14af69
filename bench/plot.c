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
#include "plot.h"

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
	const char *tick;	/* x as the document says it, or NULL */
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
	char *left_out;		/* what is not drawn, for subtitles */
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
void plot_put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '\n') {
			fputs("\\n", f);
			continue;
		}
		if (strchr("_^@&~{}", *s))
			fputs("\\\\", f);
		else if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

/* A mark's text: gnuplot takes it for a format. */
void plot_put_mark(FILE *f, const char *s)
{
	char *twice = bench_alloc(2 * strlen(s) + 1);
	size_t n = 0;

	for (; *s; s++) {
		if (*s == '%')
			twice[n++] = '%';
		twice[n++] = *s;
	}
	plot_put_string(f, twice);
	free(twice);
}

void plot_put_setting(FILE *f, const char *name, const char *s)
{
	fprintf(f, "%s = ", name);
	plot_put_string(f, s);
	fputc('\n', f);
}

int plot_copy_in(FILE *dst, const char *dir, const char *file)
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

int plot_close(FILE *f, int ret)
{
	if (!ret && ferror(f))
		ret = -EIO;
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

/* The ideal is drawn, and named, last. */
static void ideal_last(struct plot *p)
{
	size_t last = p->nr_lines - 1;

	for (size_t l = 0; l < last; l++) {
		struct line keep = p->lines[l];

		if (strcmp(keep.name, "one copy"))
			continue;
		for (size_t k = l; k < last; k++)
			p->lines[k] = p->lines[k + 1];
		p->lines[last] = keep;
		for (size_t i = 0; i < p->nr_points; i++)
			p->points[i].line = p->points[i].line == l ? last : p->points[i].line - (p->points[i].line > l);
		return;
	}
}

/* Along each line from left to right, also where its points came from several sections of a plan. */
static int cmp_point(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->x != y->x)
		return x->x < y->x ? -1 : 1;
	return (x->v > y->v) - (x->v < y->v);
}

static int write_tsv(const struct plot *p, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "no\tseries\tx\tgroup\tvalue\tlow\thigh\n");
	for (size_t i = 0; i < p->nr_points; i++) {
		const struct point *pt = &p->points[i];

		fprintf(f, "%zu\t%s\t%.10g\t", pt->line + 1, p->lines[pt->line].name, pt->x);
		for (const char *s = p->groups.nr ? p->groups.w[pt->group] : "-"; *s; s++)
			fputc(*s == '\n' ? ' ' : *s, f);
		fprintf(f, "\t%.10g\t%.10g\t%.10g\n", pt->v, pt->lo, pt->hi);
	}
	return plot_close(f, 0);
}

/* "65536" as "64k"; anything that is no multiple of 4096 as it is. */
static char *size_text(const char *text)
{
	double v = coord_number(text);
	unsigned int k = 0;

	if (isnan(v) || v == 0 || fmod(v, 4096) != 0)
		return bench_strdup(text);
	for (; k < 3 && fmod(v, 1024) == 0; k++)
		v /= 1024;
	return bench_printf("%.0f%c", v, " kMG"[k]);
}

/* Extremes of the axes and, for lines, where the x axis has its marks: at the values that were measured. */
static void put_range(FILE *f, const struct plot *p)
{
	double lo[2] = { INFINITY, INFINITY }, hi[2] = { -INFINITY, -INFINITY }, unit = 1;
	struct words ticks = {};

	for (size_t i = 0; i < p->nr_points; i++) {
		const struct point *pt = &p->points[i];
		double low = pt->lo > 0 ? fmin(pt->lo, pt->v) : pt->v, high = fmax(pt->hi, pt->v);

		lo[0] = fmin(lo[0], pt->x);
		hi[0] = fmax(hi[0], pt->x);
		lo[1] = fmin(lo[1], low);
		hi[1] = fmax(hi[1], high);
		if (pt->tick)
			word_no(&ticks, pt->tick);
	}
	/* Times are in seconds, so that the axis can say ms; numbers on bars then are in the unit of the highest. */
	if (strstr(p->yformat, "cs"))
		unit = hi[1] < 1e-6 ? 1e-9 : hi[1] < 1e-3 ? 1e-6 : hi[1] < 1 ? 1e-3 : 1;
	fprintf(f, "valuescale = %g\n", unit);
	fprintf(f, "xmin = %.10g\nxmax = %.10g\nymin = %.10g\nymax = %.10g\nticks = %zu\n", lo[0], hi[0], lo[1], hi[1], ticks.nr);
	if (ticks.nr)
		fprintf(f, "array tick[%zu]\n", ticks.nr);
	for (size_t i = 0; i < ticks.nr; i++) {
		char *size = size_text(ticks.w[i]);

		fprintf(f, "tick[%zu] = ", i + 1);
		plot_put_mark(f, size);
		free(size);
		fputc('\n', f);
	}
	if (ticks.nr)
		fprintf(f, "array tickat[%zu]\n", ticks.nr);
	for (size_t i = 0; i < ticks.nr; i++)
		fprintf(f, "tickat[%zu] = %.10g\n", i + 1, coord_number(ticks.w[i]));
	words_free(&ticks);
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
	plot_put_setting(f, "name", p->name);
	plot_put_setting(f, "title", p->title);
	plot_put_setting(f, "subtitle", p->subtitle);
	plot_put_setting(f, "xlabel", p->xlabel);
	plot_put_setting(f, "ylabel", p->ylabel);
	plot_put_setting(f, "xformat", p->xformat);
	plot_put_setting(f, "yformat", p->yformat);
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
	put_range(f, p);
	if (p->groups.nr)
		fprintf(f, "array group[%zu]\n", p->groups.nr);
	for (size_t i = 0; i < p->groups.nr; i++) {
		fprintf(f, "group[%zu] = ", i + 1);
		plot_put_mark(f, p->groups.w[i]);
		fputc('\n', f);
	}
	ret = plot_copy_in(f, templates, "style.gp");
	if (!ret)
		ret = plot_copy_in(f, templates, file);
	free(file);
	return plot_close(f, ret);
}

int plot_run_gnuplot(const char *dir, const char *name)
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

char *plot_file_name(const char *text)
{
	char *s = bench_alloc(strlen(text) + 1);
	size_t n = 0;

	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') || *text == '.';

		if (plain)
			s[n++] = *text;
		else if (n && s[n - 1] != '-')
			s[n++] = '-';
	}
	while (n && s[n - 1] == '-')
		s[--n] = '\0';
	return s;
}

/* A file name that no other plot has: a number is added if it is taken. */
static char *plot_name(struct drawing *d, const char *text)
{
	char *s = plot_file_name(text), *name = bench_strdup(s);
	size_t taken = d->names.nr;

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
	ideal_last(p);
	qsort(p->points, p->nr_points, sizeof(*p->points), cmp_point);
	tsv = bench_printf("%s/%s.tsv", d->dir, p->name);
	gp = bench_printf("%s/%s.gp", d->dir, p->name);
	ret = write_tsv(p, tsv);
	if (!ret)
		ret = write_gp(p, gp, d->templates);
	if (!ret)
		ret = plot_run_gnuplot(d->dir, p->name);
	if (ret)
		d->err = ret;
	else
		d->nr++;
	free(tsv);
	free(gp);
	plot_free(p);
}

/* --- what there is to draw ---------------------------------------------------------------------------------------------------- */

/* "Linux 6.12.0, xfs, debian, lane wall (tcg), 3 boots" */
static char *subtitle(const struct drawing *d, const struct series *s)
{
	const json_t *k = json_array_get(json_object_get(d->doc, "kernels"), 0);

	return bench_printf("Linux %s, %s, %s, lane %s (%s), %zu boot%s%s", json_str(k, "release", "?"), s->fs, s->image, s->lane,
			    strcmp(s->lane, "icount") ? json_str(json_object_get(d->doc, "qemu"), "accel", "?") : "guest instructions", s->nr,
			    s->nr == 1 ? "" : "s", d->left_out);
}

static bool same_place(const struct series *a, const struct series *b)
{
	return !strcmp(a->workload, b->workload) && !strcmp(a->lane, b->lane) && !strcmp(a->fs, b->fs) && !strcmp(a->image, b->image);
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
	if (!strcmp(s->unit, "bytes/s")) {
		*label = "MiB/s";
		*format = "%g";
		return 0x1p-20;
	}
	*label = s->unit;
	*format = "%.0s%c";
	return 1;
}

static bool same_group(const struct curve *a, const struct curve *b)
{
	return same_place(a->s[0], b->s[0]) && !strcmp(a->rest, b->rest);
}

/* The ideal at every N that any curve of this plot has. */
static void add_ideal_line(struct drawing *d, struct plot *p, const struct curve_set *curves, size_t at)
{
	size_t line = p->nr_lines;

	for (size_t i = at; i < curves->nr; i++)
		for (size_t j = 0; same_group(&curves->c[i], &curves->c[at]) && j < curves->c[i].nr; j++) {
			double x = curves->c[i].x[j], v = series_ideal(&d->set, curves->c[i].s[j]) * BENCH_PAGE / 0x1p20;
			bool there = isnan(v);

			for (size_t k = 0; k < p->nr_points; k++)
				there |= p->points[k].line == line && p->points[k].x == x;
			if (!there)
				add_point(p, (struct point){ .line = line_no(p, "", "one copy"), .x = x, .v = v, .lo = v, .hi = v });
		}
}

static void draw_footprint(struct drawing *d)
{
	struct curve_set curves;

	curves_collect(&d->set, "unique_frames", "n", &curves);
	for (size_t i = 0; i < curves.nr; i++) {
		const struct series *s = curves.c[i].s[0];
		struct plot p = { .template = "lines", .xlabel = "containers (N)", .yformat = "%g", .xformat = "",
				  .ylabel = "unique page frames in the page cache, MiB" };
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

				pt.line = line;
				pt.x = c->x[j];
				pt.tick = series_coord(c->s[j], "n", NULL);
				add_point(&p, pt);
			}
		}
		add_ideal_line(d, &p, &curves, i);
		id = bench_printf("footprint-%s-%s-%s", curves.c[i].rest, s->fs, s->lane);
		p.name = plot_name(d, id);
		p.title = bench_printf("Page-cache footprint against the number of containers%s%s", *curves.c[i].rest ? ", " : "",
				       curves.c[i].rest);
		p.subtitle = subtitle(d, s);
		plot_draw(d, &p);
		free(id);
	}
	curves_free(&curves);
}

/* The series of a curve at x, or NULL. */
static const struct series *curve_at(const struct curve *c, double x)
{
	for (size_t i = 0; i < c->nr; i++)
		if (c->x[i] == x)
			return c->s[i];
	return NULL;
}

/* One group of bars: all kernels and modes with so many containers, and the ideal. */
static void add_savings(struct drawing *d, struct plot *p, const struct curve_set *curves, size_t at, double n)
{
	const struct curve *head = &curves->c[at];
	const char *slash = strrchr(head->s[0]->image, '/'), *image = slash ? slash + 1 : head->s[0]->image;
	/* Bars are narrow: the image's parameters and path are in the summary. */
	char *group = bench_printf("%s, %s\n%.*s\nN=%.0f", head->s[0]->fs, series_coord(head->s[0], "access", head->rest),
				   (int)strcspn(image, ":"), image, n);
	size_t before = p->groups.nr, no = word_no(&p->groups, group);
	double ideal = NAN;

	free(group);
	if (no < before)
		return;
	for (size_t i = 0; i < curves->nr; i++) {
		const struct series *s = curve_at(&curves->c[i], n);
		struct point pt;

		if (!s || !same_group(&curves->c[i], head))
			continue;
		pt = series_point(s, BENCH_PAGE / 0x1p20);
		pt.group = no;
		pt.x = (double)no + 1;
		pt.line = line_no(p, s->kernel, s->mode);
		add_point(p, pt);
		if (isnan(ideal))
			ideal = series_ideal(&d->set, s) * BENCH_PAGE / 0x1p20;
	}
	if (!isnan(ideal))
		add_point(p, (struct point){ .line = line_no(p, "", "one copy"), .group = no, .x = (double)no + 1, .v = ideal, .lo = ideal,
					     .hi = ideal });
}

/* Bars at the largest N of each curve, one group for each file system, image and access. */
static void draw_savings(struct drawing *d, const char *lane)
{
	struct plot p = { .template = "bars", .xlabel = "", .xformat = "", .yformat = "%g", .ylabel = "unique page frames, MiB" };
	struct curve_set curves;
	char *id;

	curves_collect(&d->set, "unique_frames", "n", &curves);
	for (size_t i = 0; i < curves.nr; i++)
		if (!strcmp(curves.c[i].s[0]->lane, lane))
			add_savings(d, &p, &curves, i, curves.c[i].x[curves.c[i].nr - 1]);
	id = bench_printf("savings-%s", lane);
	p.name = plot_name(d, id);
	p.title = bench_strdup("What N containers hold in the page cache");
	p.subtitle = bench_printf("Linux %s, lane %s%s", json_str(json_array_get(json_object_get(d->doc, "kernels"), 0), "release", "?"), lane,
				  d->left_out);
	plot_draw(d, &p);
	free(id);
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
		struct plot p = { .template = "cdf", .ylabel = "share of events", .yformat = "%g" };
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
		p.subtitle = subtitle(d, s);
		plot_draw(d, &p);
		free(id);
		free(metric);
	}
	free(done);
	free(h);
}

/*
 * A plot of bars: groups are the coordinates but for one (coord), which with the kernel tells the bars apart. last: of this coordinate
 * only the largest value is drawn (another plot shows the rest).
 */
struct bars {
	const char *workload, *metric, *coord, *last, *name, *title;
	bool ylog;
};

static const struct bars bar_plots[] = {
	{ "start", "start_ns", "k", NULL, "start", "Container start, first and later containers", false },
	{ "cow", "cow.p50", "state", "n", "cow-break", "COW break: first write to a shared extent (median)", true },
	{ "pressure", "refaults", NULL, NULL, "pressure-refaults", "Refaults under memory pressure", false },
	{ "pressure", "throughput", NULL, NULL, "pressure-throughput", "Throughput under memory pressure", false },
	{ "fio", "fio_bw", NULL, NULL, "fio-bandwidth", "fio bandwidth by job", false },
};

/* Has this coordinate one value in all series of a plot? Then it belongs to the title, not to each label. */
static bool is_constant(const struct drawing *d, const struct series *like, const char *coord)
{
	for (size_t i = 0; i < d->set.nr; i++) {
		const struct series *s = &d->set.s[i];

		if (series_is(s, like->workload, like->metric) && same_place(s, like) &&
		    strcmp(series_coord(s, coord, ""), series_coord(like, coord, "")))
			return false;
	}
	return true;
}

/* ", stride=1": the coordinates that are constant over a plot. */
static char *constants(const struct drawing *d, const struct series *s)
{
	char *text = bench_strdup("");
	const char *k;
	json_t *v;

	json_object_foreach((json_t *)s->x, k, v) {
		char *more;

		if (!is_constant(d, s, k))
			continue;
		more = bench_printf("%s, %s=%s", text, k, json_string_value(v));
		free(text);
		text = more;
	}
	return text;
}

/*
 * The coordinates but for two and the constant ones, as a label: "way=store n=8" becomes "store n=8" where the name says nothing.
 */
static char *group_label(const struct drawing *d, const struct series *s, const char *without, const char *also)
{
	static const char *const plain[] = { "way", "program", "job", "access", "state", "dir" };
	char *label = bench_strdup("");
	const char *k;
	json_t *v;

	json_object_foreach((json_t *)s->x, k, v) {
		const char *val = json_string_value(v);
		bool bare = false;
		char *more;

		if ((without && !strcmp(k, without)) || (also && !strcmp(k, also)) || is_constant(d, s, k))
			continue;
		for (size_t i = 0; i < BENCH_SIZE(plain); i++)
			bare |= !strcmp(plain[i], k);
		more = bench_printf("%s%s%s%s%s", label, *label ? " " : "", bare ? "" : k, bare ? "" : "=", val ? val : "?");
		free(label);
		label = more;
	}
	return label;
}

/* The largest value of a coordinate among the series of one plot; NaN if there is none. */
static double largest_coord(const struct drawing *d, const struct bars *b, const struct series *like)
{
	double most = NAN;

	for (size_t i = 0; b->last && i < d->set.nr; i++)
		if (series_is(&d->set.s[i], b->workload, b->metric) && same_place(&d->set.s[i], like))
			most = fmax(most, coord_number(series_coord(&d->set.s[i], b->last, NULL)));
	return most;
}

static void draw_bars(struct drawing *d, const struct bars *b)
{
	bool *done = bench_alloc((d->set.nr + 1) * sizeof(*done));

	for (size_t i = 0; i < d->set.nr; i++) {
		const struct series *s = &d->set.s[i];
		struct plot p = { .template = "bars", .xlabel = "", .xformat = "", .ylog = b->ylog };
		double scale, least = INFINITY, last = largest_coord(d, b, s);
		char *id, *fixed;

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
			if (!isnan(last) && coord_number(series_coord(t, b->last, NULL)) != last)
				continue;
			group = group_label(d, t, b->coord, b->last);
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
		fixed = constants(d, s);
		if (isnan(last) || is_constant(d, s, b->last))
			p.title = bench_printf("%s%s", b->title, fixed);
		else
			p.title = bench_printf("%s, %s=%.0f%s", b->title, b->last, last, fixed);
		p.subtitle = subtitle(d, s);
		plot_draw(d, &p);
		free(id);
		free(fixed);
	}
	free(done);
}

/* A plot of lines over a numeric coordinate, one for each value of another (split), and for each clone mode if there are many lines. */
struct lines {
	const char *workload, *metric, *coord, *split, *name, *title, *xlabel;
	bool by_mode;
};

static const struct lines line_plots[] = {
	{ "copyup", "copyup_total", "size", NULL, "copyup", "Overlay copy-up (open and first byte) against file size", "file size, bytes",
	  false },
	{ "cow", "cow.p50", "n", "state", "cow-sharers", "COW break against the number of sharers (median)", "files that share the extent",
	  true },
	{ "fault", "storm", "procs", NULL, "fault-storm", "Processes that fault the same pages at once", "processes",
	  false },
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
		const char *split;
		double scale;
		char *id, *fixed;

		if (done[i] || strcmp(s->workload, l->workload))
			continue;
		scale = axis_of(s, &p.ylabel, &p.yformat);
		for (size_t k = i; k < curves.nr; k++) {
			const struct curve *c = &curves.c[k];
			char *label, *what;

			if (done[k] || !series_is(c->s[0], l->workload, l->metric) || !same_place(c->s[0], s) ||
			    (l->by_mode && strcmp(c->s[0]->mode, s->mode)) ||
			    (l->split && strcmp(series_coord(c->s[0], l->split, ""), series_coord(s, l->split, ""))))
				continue;
			done[k] = true;
			label = group_label(d, c->s[0], l->coord, l->split);
			what = l->by_mode ? bench_strdup(label) : bench_printf("%s%s%s", c->s[0]->mode, *label ? ", " : "", label);
			for (size_t j = 0; j < c->nr; j++) {
				struct point pt = series_point(c->s[j], scale);

				pt.line = line_no(&p, c->s[0]->kernel, what);
				pt.x = c->x[j];
				pt.tick = series_coord(c->s[j], l->coord, NULL);
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
		split = l->split ? series_coord(s, l->split, "") : "";
		id = bench_printf("%s-%s-%s%s%s-%s", l->name, split, l->by_mode ? s->mode : "", l->by_mode ? "-" : "", s->fs,
				  s->lane);
		p.name = plot_name(d, id);
		fixed = constants(d, s);
		p.title = bench_printf("%s%s%s", l->title, l->by_mode ? ", mode " : "", l->by_mode ? s->mode : "");
		if (*split && !is_constant(d, s, l->split)) {
			char *more = bench_printf("%s, %s=%s", p.title, l->split, split);

			free(p.title);
			p.title = more;
		}
		if (*fixed) {
			char *more = bench_printf("%s%s", p.title, fixed);

			free(p.title);
			p.title = more;
		}
		p.subtitle = subtitle(d, s);
		plot_draw(d, &p);
		free(id);
		free(fixed);
	}
	free(done);
	curves_free(&curves);
}

/*
 * The second label of one and the same kernel (an A/A pair) is left out: it is there for the verdicts and would only cover the first.
 */
static void leave_out_twins(struct drawing *d)
{
	const json_t *kernels = json_object_get(d->doc, "kernels"), *k, *e;
	size_t i, j, n = 0;

	d->left_out = bench_strdup("");
	json_array_foreach(kernels, i, k) {
		bool twin = false;
		char *more;

		json_array_foreach(kernels, j, e)
			twin |= j < i && !strcmp(json_str(k, "id", ""), json_str(e, "id", ""));
		if (!twin)
			continue;
		more = bench_printf("%s; %s is the same kernel, not drawn", d->left_out, json_str(k, "label", "?"));
		free(d->left_out);
		d->left_out = more;
		for (j = n = 0; j < d->set.nr; j++) {
			struct series keep = d->set.s[j];

			/* Swapped, not dropped, so that series_free() still finds all of them. */
			if (strcmp(keep.kernel, json_str(k, "label", ""))) {
				d->set.s[j] = d->set.s[n];
				d->set.s[n++] = keep;
			}
		}
		d->set.nr = n;
	}
}

/* Plots of an earlier drawing must not look like plots of this one. */
void plot_remove_old(const char *dir)
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
	size_t collected;

	if (mkdir(d.dir, 0777) && errno != EEXIST) {
		d.err = -errno;
		free(d.dir);
		return d.err;
	}
	plot_remove_old(d.dir);
	series_collect(doc, NULL, &d.set);
	collected = d.set.nr;
	leave_out_twins(&d);
	draw_footprint(&d);
	draw_savings(&d, "wall");
	draw_savings(&d, "icount");
	draw_cdfs(&d);
	for (size_t i = 0; i < BENCH_SIZE(line_plots); i++)
		draw_lines(&d, &line_plots[i]);
	for (size_t i = 0; i < BENCH_SIZE(bar_plots); i++)
		draw_bars(&d, &bar_plots[i]);
	d.set.nr = collected;
	series_free(&d.set);
	words_free(&d.names);
	free(d.left_out);
	free(d.dir);
	return d.err ? d.err : d.nr;
}
