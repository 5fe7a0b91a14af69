// SPDX-License-Identifier: GPL-2.0
/*
 * Tables as aligned text and as Markdown, numbers as people read them, and the allocation helpers of bench/.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "bench-util.h"
#include "report.h"

void *bench_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p) {
		fputs("shbench: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *bench_grow(void *p, size_t bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p) {
		fputs("shbench: out of memory\n", stderr);
		abort();
	}
	return p;
}

char *bench_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(bench_alloc(len), s, len);
}

static char *bench_vprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0) {
		fputs("shbench: out of memory\n", stderr);
		abort();
	}
	return s;
}

char *bench_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = bench_vprintf(fmt, ap);
	va_end(ap);
	return s;
}

const char *json_str(const json_t *obj, const char *key, const char *def)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : def;
}

double json_num(const json_t *obj, const char *key, double def)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? json_number_value(v) : def;
}

struct table {
	size_t cols, nr;	/* nr: cells, the headings included */
	char *align;
	char **cell;
};

static void table_add(struct table *t, char *text)
{
	t->cell = bench_grow(t->cell, (t->nr + 1) * sizeof(*t->cell));
	t->cell[t->nr++] = text;
}

struct table *table_new(const char *align, ...)
{
	struct table *t = bench_alloc(sizeof(*t));
	va_list ap;

	t->cols = strlen(align);
	t->align = bench_strdup(align);
	va_start(ap, align);
	for (size_t i = 0; i < t->cols; i++)
		table_add(t, bench_strdup(va_arg(ap, const char *)));
	va_end(ap);
	return t;
}

void table_add_column(struct table *t, char align, const char *heading)
{
	t->align = bench_grow(t->align, t->cols + 2);
	t->align[t->cols++] = align;
	t->align[t->cols] = '\0';
	table_add(t, bench_strdup(heading));
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	table_add(t, bench_vprintf(fmt, ap));
	va_end(ap);
}

size_t table_rows(const struct table *t)
{
	return t->nr / t->cols - 1;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->nr; i++)
		free(t->cell[i]);
	free(t->cell);
	free(t->align);
	free(t);
}

/* Columns on the screen: bytes of UTF-8 that do not continue a character. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void pad(FILE *f, size_t n)
{
	for (; n; n--)
		fputc(' ', f);
}

void table_print_text(FILE *f, const struct table *t, size_t max)
{
	size_t rows = t->nr / t->cols, *width = bench_alloc(t->cols * sizeof(*width));

	if (max && rows > max + 1)
		rows = max + 1;
	for (size_t i = 0; i < rows * t->cols; i++) {
		size_t w = text_width(t->cell[i]), c = i % t->cols;

		if (w > width[c])
			width[c] = w;
	}
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < t->cols; c++) {
			const char *s = t->cell[r * t->cols + c];
			size_t fill = width[c] - text_width(s);

			if (t->align[c] == 'r')
				pad(f, fill);
			fputs(s, f);
			if (c + 1 == t->cols)
				break;
			if (t->align[c] != 'r')
				pad(f, fill);
			fputs("  ", f);
		}
		fputc('\n', f);
	}
	free(width);
}

static void markdown_cell(FILE *f, const char *s)
{
	fputc(' ', f);
	for (; *s; s++) {
		if (*s == '|')
			fputc('\\', f);
		fputc(*s == '\n' ? ' ' : *s, f);
	}
	fputs(" |", f);
}

void table_print_markdown(FILE *f, const struct table *t)
{
	for (size_t r = 0; r < t->nr / t->cols; r++) {
		fputc('|', f);
		for (size_t c = 0; c < t->cols; c++)
			markdown_cell(f, t->cell[r * t->cols + c]);
		fputc('\n', f);
		if (r)
			continue;
		fputc('|', f);
		for (size_t c = 0; c < t->cols; c++)
			fputs(t->align[c] == 'r' ? "---:|" : "---|", f);
		fputc('\n', f);
	}
	fputc('\n', f);
}

static void html_cell(FILE *f, const char *s)
{
	bool code = false;

	for (;; s++) {
		char *plain = bench_printf("%.*s", (int)strcspn(s, "`"), s);

		report_put_text(f, plain);
		s += strlen(plain);
		free(plain);
		if (!*s)
			break;
		code = !code;
		fputs(code ? "<code>" : "</code>", f);
	}
	if (code)
		fputs("</code>", f);
}

void table_print_html(FILE *f, const struct table *t)
{
	fputs("<table>\n", f);
	for (size_t r = 0; r < t->nr / t->cols; r++) {
		fputs("<tr>", f);
		for (size_t c = 0; c < t->cols; c++) {
			fprintf(f, "<%s%s>", r ? "td" : "th", t->align[c] == 'r' ? " class=\"r\"" : "");
			html_cell(f, t->cell[r * t->cols + c]);
			fprintf(f, "</%s>", r ? "td" : "th");
		}
		fputs("</tr>\n", f);
	}
	fputs("</table>\n", f);
}

/* A slot of static storage: enough for all arguments of one printf. */
static char *slot(void)
{
	static char slots[32][48];
	static unsigned int next;

	return slots[next++ % BENCH_SIZE(slots)];
}

#define SLOT_SIZE 48

struct scale {
	double factor;
	const char *name;
};

static const struct scale times[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } };
static const struct scale insns[] = { { 1e9, "Ginsn" }, { 1e6, "Minsn" }, { 1e3, "kinsn" }, { 1, "insn" } };
static const struct scale bytes[] = { { 0x1p30, "GiB" }, { 0x1p20, "MiB" }, { 0x1p10, "KiB" }, { 1, "B" } };
static const struct scale rates[] = { { 0x1p30, "GiB/s" }, { 0x1p20, "MiB/s" }, { 0x1p10, "KiB/s" }, { 1, "B/s" } };

static const char *scaled(double v, const struct scale *s)
{
	char *dst = slot();
	double a;

	while (s->factor > 1 && fabs(v) < s->factor)
		s++;
	v /= s->factor;
	a = fabs(v);
	snprintf(dst, SLOT_SIZE, "%.*f %s", a >= 100 || v == rint(v) ? 0 : a >= 10 ? 1 : 2, v, s->name);
	return dst;
}

const char *show_value(double v, const char *unit, const char *lane)
{
	char *dst;

	if (isnan(v))
		return "-";
	if (!strcmp(unit, "ns"))
		return scaled(v, lane && !strcmp(lane, "icount") ? insns : times);
	if (!strcmp(unit, "bytes"))
		return scaled(v, bytes);
	if (!strcmp(unit, "bytes/s"))
		return scaled(v, rates);
	dst = slot();
	if (fabs(v) < 1e15 && v == rint(v))
		snprintf(dst, SLOT_SIZE, "%.0f%s%.20s", v, *unit ? " " : "", unit);
	else
		snprintf(dst, SLOT_SIZE, "%.4g%s%.20s", v, *unit ? " " : "", unit);
	return dst;
}

const char *show_percent(double rel)
{
	char *dst = slot();

	if (isnan(rel))
		return "-";
	if (isinf(rel))
		return "from 0";
	if (fabs(rel) < 0.0005)
		snprintf(dst, SLOT_SIZE, "%s%.2f %%", rel ? (rel > 0 ? "+" : "-") : "", fabs(rel * 100));
	else
		snprintf(dst, SLOT_SIZE, "%+.1f %%", rel * 100);
	return dst;
}

const char *show_interval(const double ci[2])
{
	char *dst = slot();

	if (isnan(ci[0]) || isnan(ci[1]))
		return "-";
	snprintf(dst, SLOT_SIZE, "[%+.1f, %+.1f] %%", ci[0] * 100, ci[1] * 100);
	return dst;
}
