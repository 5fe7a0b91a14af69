/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of bench/ share among themselves (and with those of harness/ that read documents: merge, shard, bisect): small allocation helpers, series (all values of one metric that differ only in
 * boot and perturbation), aligned tables, and how numbers are written for people.
 */
#ifndef SHCACHE_BENCH_UTIL_H
#define SHCACHE_BENCH_UTIL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "hist.h"

#define BENCH_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Pages are 4 KiB: the guest is x86-64. */
#define BENCH_PAGE 4096.0

/* --- memory: these abort when there is none, as nothing better could be done; bench_alloc() zeroes ------------------------ */

void *bench_alloc(size_t bytes);
void *bench_grow(void *p, size_t bytes);
char *bench_strdup(const char *s);
char *bench_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A string member of an object, or def. */
const char *json_str(const json_t *obj, const char *key, const char *def);
/* A number member of an object, or def. */
double json_num(const json_t *obj, const char *key, double def);

/* --- series (series.c) ---------------------------------------------------------------------------------------------------- */

enum direction { D_LOWER, D_HIGHER, D_INFO };

/* One boot's value: several samples of one boot have become their median, several histograms their sum. */
struct value {
	unsigned int boot, perturbation;
	uint64_t seed;
	double v;
	const json_t *cell;
};

struct series {
	char *key;		/* equal for series that may be compared; does not hold the kernel */
	const char *kernel;	/* label; like the other plain strings it belongs to the document */
	const char *section, *workload, *lane, *fs, *mode, *image;
	const json_t *x;	/* coordinates; NULL if there are none */
	char *coords;		/* the same as text, "access=mmap n=10" */
	char *metric;		/* with ".p50", ".p99", ".p99.9" or ".mean" if it is derived from a histogram */
	const char *unit;	/* "" for a metric that the document does not define */
	enum direction direction;
	double rel_delta;	/* smallest relevant change, as a fraction; already the one of this lane and accelerator */
	double abs_floor;
	struct value *v;	/* by boot, then perturbation */
	size_t nr;
	size_t first;		/* place in the document; series are sorted by it */
};

struct series_set {
	struct series *s;
	size_t nr;
};

/* All series of one kernel (label) or, for NULL, of all kernels, from the cells that passed. */
void series_collect(const json_t *doc, const char *label, struct series_set *set);
void series_free(struct series_set *set);
/* Median over boots; over perturbations first if there are several. */
double series_median(const struct series *s);
/* Is this series of that metric? NULL workload: of any. */
bool series_is(const struct series *s, const char *workload, const char *metric);
/* A coordinate as text, or def. */
const char *series_coord(const struct series *s, const char *name, const char *def);
/*
 * Curves: series of one metric that differ only in one numeric coordinate, in its ascending order. rest is the text of the other
 * coordinates.
 */
struct curve {
	const struct series **s;
	double *x;
	size_t nr;
	char *rest;
};
struct curve_set {
	struct curve *c;
	size_t nr;
};
void curves_collect(const struct series_set *set, const char *metric, const char *coord, struct curve_set *out);
void curves_free(struct curve_set *set);
/* Slope over all boots' values with its 95 % interval (NaN if there are too few points); -EINVAL without two different x. */
int curve_slope(const struct curve *c, double *slope, double ci[2]);
/* "4096", "64k", "1.5M": a number (powers of 1024); NaN if it is none. */
double coord_number(const char *s);

/*
 * What perfect sharing would need at the place and coordinates of a footprint series, in pages: one copy of all files, or what overlayfs
 * needs where that is less (programs use a part of the files only). NaN if the document does not say.
 */
double series_ideal(const struct series_set *set, const struct series *like);

/* Counted in pages or bytes: exact, not a time. */
bool unit_is_exact(const char *unit);
/* The key of a cell's group: section, workload, lane, fs, mode, image, processors and parameters. */
char *cell_group(const json_t *cell);
/* The histogram that a hist record's "h" holds. 0 or -EINVAL with a constant text in *why. */
int hist_from_json(const json_t *j, struct hist *h, const char **why);

/* What a cell's verdict means for exit codes and reports. */
enum cell_class { CELL_PASSED, CELL_SKIPPED, CELL_FAILED, CELL_INVALID, CELL_UNKNOWN };
enum cell_class cell_class(const char *verdict);

/* --- tables and numbers (table.c) ----------------------------------------------------------------------------------------- */

/* Columns by alignment, one letter each: "lrr". Cells are added row by row. */
struct table;
struct table *table_new(const char *align, ...);	/* then one heading per column */
void table_add_column(struct table *t, char align, const char *heading);	/* before the first cell */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t table_rows(const struct table *t);
/* Aligned with blanks, at most max rows (0: all); and as Markdown. Headings are always printed. */
void table_print_text(FILE *f, const struct table *t, size_t max);
void table_print_markdown(FILE *f, const struct table *t);
/* As HTML; text in backquotes becomes code. */
void table_print_html(FILE *f, const struct table *t);
void table_free(struct table *t);

/* Numbers for people, in static storage of several slots (good for a dozen uses in one call). */
const char *show_value(double v, const char *unit, const char *lane);	/* "1.25 us", "12.0 MiB", "951 insn"; "-" for NaN */
const char *show_percent(double rel);					/* "+12.3 %" */
const char *show_interval(const double ci[2]);				/* "[-1.2, +3.4] %" */

#endif
