// SPDX-License-Identifier: GPL-2.0
/*
 * The report as one HTML page that can be mailed or kept: no script, no font, no picture comes from elsewhere. Plots are put in as SVG
 * (base64), rows show their interval against the smallest relevant change as a small drawing.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "report.h"

/* Rows that are shown at once; the rest can be unfolded. */
#define ROWS_OPEN	60

static const char style[] =
	":root{color-scheme:light}\n"
	"body{font:15px/1.45 system-ui,'DejaVu Sans',sans-serif;color:#1c1c1c;background:#fff;margin:0 auto;max-width:1560px;padding:1.2em 1.6em}\n"
	"h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.2em;margin:1.8em 0 .5em;border-bottom:1px solid #d9d9d9}h3{font-size:1.02em;margin:1.3em 0 .4em}\n"
	"p.sub{margin:.1em 0 1em;color:#555}\n"
	".chips{display:flex;flex-wrap:wrap;gap:.6em;margin:.8em 0}\n"
	".chip{border-radius:.5em;padding:.5em .9em;border:1px solid #ccc;background:#f6f6f6}.chip b{display:block;font-size:1.12em}\n"
	".regressed{color:#b3261e}.improved{color:#1a7f37}.invalid{color:#8b1a8b}.inconclusive{color:#8a5a00}.unchanged{color:#333}.info{color:#777}\n"
	".chip.regressed{background:#fdecea;border-color:#e5a39e}.chip.improved{background:#e8f5ec;border-color:#9fd3ae}\n"
	".chip.invalid{background:#f8e9f8;border-color:#d3a3d3}.chip.inconclusive{background:#fdf4e3;border-color:#e3c688}\n"
	".chip span{color:#444;font-size:.88em}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.86em}\n"
	"th,td{padding:.25em .6em;border-bottom:1px solid #e6e6e6;vertical-align:top;text-align:left}th{color:#555;font-weight:600;white-space:nowrap}\n"
	"td.r,th.r{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.n{white-space:nowrap}\n"
	"tr.open td{border-bottom:0;padding-bottom:0}tr.more td{padding-top:.1em;color:#777}\n"
	".known td:nth-child(-n+4),.known code{white-space:nowrap}\n"
	"code{font:.92em 'DejaVu Sans Mono',monospace;background:#f4f4f4;padding:.05em .3em;border-radius:.2em;user-select:all}\n"
	"details{margin:.6em 0}summary{cursor:pointer;color:#0b57d0}\n"
	".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(620px,1fr));gap:1em}\n"
	"figure{margin:0;border:1px solid #e0e0e0;border-radius:.4em;padding:.4em}figure img{width:100%;height:auto;display:block}\n"
	"figcaption{font-size:.8em;color:#666;text-align:center}\n"
	"@media(max-width:700px){.plots{grid-template-columns:1fr}}\n";

static void put_element(FILE *f, const char *open, const char *text, const char *close)
{
	fputs(open, f);
	report_put_text(f, text);
	fputs(close, f);
}

/* --- verdicts -------------------------------------------------------------------------------------------------------------- */

static void put_chips(FILE *f, const json_t *doc, const struct comparison *c, size_t nr_cmp)
{
	size_t count[6], failed, gates = gate_count(doc, &failed);

	fputs("<div class=\"chips\">\n", f);
	if (failed)
		fprintf(f, "<div class=\"chip invalid\"><b>invalid run</b><span>gate: %zu of %zu came out otherwise</span></div>\n", failed,
			gates);
	else if (gates)
		fprintf(f, "<div class=\"chip improved\"><b>gate passed</b><span>%zu known outcomes found</span></div>\n", gates);
	for (size_t i = 0; i < nr_cmp; i++) {
		if (c[i].refused) {
			fputs("<div class=\"chip invalid\"><b>not compared</b><span>", f);
			report_put_text(f, c[i].base);
			fputs(" with ", f);
			report_put_text(f, c[i].cand);
			put_element(f, ": ", c[i].refused, "</span></div>\n");
		}
		for (size_t l = 0; l < BENCH_SIZE(report_lanes) && !c[i].refused; l++) {
			enum verdict v = comparison_lane(&c[i], report_lanes[l]);

			report_lane_counts(&c[i], report_lanes[l], count);
			if (v == V_INFO)
				continue;
			fprintf(f, "<div class=\"chip %s\"><b>%s%s</b>", verdict_name(v), verdict_name(v), report_pooled_word(v, count));
			put_element(f, "<span>", c[i].base, "");
			put_element(f, " with ", c[i].cand, "");
			fprintf(f, ", %s lane<br>", report_lanes[l]);
			report_put_counts(f, count);
			fputs("</span></div>\n", f);
		}
	}
	fputs("</div>\n", f);
}

/*
 * The interval (or, without one, the point) against the band of changes that are too small to matter. Each row has a scale of its own, three
 * bands wide or as wide as its interval, so that the place in or out of the band is what is seen.
 */
static void put_interval(FILE *f, const struct cmp_row *r)
{
	enum { WIDTH = 130, HEIGHT = 14 };
	double half = fmax(1.5 * r->delta, 1e-4), lo = isnan(r->ci[0]) ? r->rel : r->ci[0], hi = isnan(r->ci[1]) ? r->rel : r->ci[1], k;

	if (!isfinite(r->rel) || !isfinite(lo) || !isfinite(hi) || isnan(r->delta)) {
		fputs("<td></td>", f);
		return;
	}
	half = 1.05 * fmax(half, fmax(fabs(r->rel), fmax(fabs(lo), fabs(hi))));
	k = (WIDTH / 2 - 2) / half;
	fprintf(f, "<td class=\"n %s\"><svg width=\"%d\" height=\"%d\" role=\"img\"><title>%s %s, relevant from %s on</title>"
		   "<rect x=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"#ececec\"/><path d=\"M%d 0V%d\" stroke=\"#9a9a9a\"/>"
		   "<path d=\"M%.1f %dH%.1f\" stroke=\"currentColor\" stroke-width=\"2\"/><circle cx=\"%.1f\" cy=\"%d\" r=\"3\" "
		   "fill=\"currentColor\"/></svg></td>",
		verdict_name(r->verdict), WIDTH, HEIGHT, show_percent(r->rel), show_interval(r->ci), show_percent(r->delta),
		WIDTH / 2 - r->delta * k, 2 * r->delta * k, HEIGHT, WIDTH / 2, HEIGHT, WIDTH / 2 + lo * k, HEIGHT / 2, WIDTH / 2 + hi * k,
		WIDTH / 2 + r->rel * k, HEIGHT / 2);
}

static void put_row(FILE *f, const struct cmp_row *r)
{
	char *place = report_place(r);

	/* Two lines: with the command beside the numbers the table would be wider than most screens. */
	fputs("<tr class=\"open\">", f);
	put_element(f, "<td class=\"n\">", r->workload, "/");
	put_element(f, "", r->lane, "</td>");
	put_element(f, "<td class=\"n\">", place, "</td>");
	put_element(f, "<td class=\"n\">", r->metric, "</td>");
	put_element(f, "<td class=\"n\">", r->coords, "</td>");
	put_element(f, "<td class=\"r\">", show_value(r->base, r->unit, r->lane), "</td>");
	put_element(f, "<td class=\"r\">", show_value(r->cand, r->unit, r->lane), "</td>");
	put_element(f, "<td class=\"r\">", show_percent(r->rel), "</td>");
	put_interval(f, r);
	fprintf(f, "<td class=\"n %s\">%s</td></tr>\n<tr class=\"more\"><td></td><td colspan=\"8\">", verdict_name(r->verdict),
		verdict_name(r->verdict));
	put_element(f, "<code>", r->reproduce, "</code>");
	if (r->why)
		put_element(f, " ", r->why, "");
	fputs("</td></tr>\n", f);
	free(place);
}

static void put_rows(FILE *f, const struct cmp_row *const *rows, size_t nr)
{
	fputs("<p class=\"sub\">Of the intervals, what lies in the grey is too small to matter.</p>\n"
	      "<div class=\"scroll\"><table><tr><th>workload</th><th>where</th><th>metric</th><th>at</th><th class=\"r\">base</th>"
	      "<th class=\"r\">new</th><th class=\"r\">change</th><th>interval</th><th>verdict</th></tr>\n", f);
	for (size_t i = 0; i < nr; i++)
		put_row(f, rows[i]);
	fputs("</table></div>\n", f);
}

static void put_comparison(FILE *f, const struct comparison *c)
{
	const struct cmp_row **rows;
	struct table *t;
	size_t nr;

	put_element(f, "<h2>", c->base, " with ");
	put_element(f, "", c->cand, "</h2>\n");
	if (c->refused) {
		put_element(f, "<p>Not compared: ", c->refused, ".</p>\n");
		return;
	}
	rows = report_rows(c, false, &nr);
	if (!nr)
		fputs("<p>No row changed.</p>\n", f);
	if (nr)
		put_rows(f, rows, nr < ROWS_OPEN ? nr : ROWS_OPEN);
	if (nr > ROWS_OPEN) {
		fprintf(f, "<details><summary>%zu more rows that changed</summary>\n", nr - ROWS_OPEN);
		put_rows(f, rows + ROWS_OPEN, nr - ROWS_OPEN);
		fputs("</details>\n", f);
	}
	free(rows);
	fputs("<h3>By workload</h3>\n<div class=\"scroll\">", f);
	t = report_workload_table(c, false);
	table_print_html(f, t);
	table_free(t);
	rows = report_rows(c, true, &nr);
	fprintf(f, "</div>\n<details><summary>All %zu rows</summary>\n", nr);
	put_rows(f, rows, nr);
	fputs("</details>\n", f);
	free(rows);
}

/* --- provenance ------------------------------------------------------------------------------------------------------------ */

static void put_fact(FILE *f, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put_fact(FILE *f, const char *name, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	put_element(f, "<tr><th>", name, "</th>");
	put_element(f, "<td>", text ? text : "?", "</td></tr>\n");
	free(text);
}

static void put_host(FILE *f, const char *name, const json_t *host)
{
	put_fact(f, name, "%s, %.0f cores, %.1f GiB, %s; load %.2f before, %.2f after", json_str(host, "cpu", "?"),
		 json_num(host, "cores", 0), json_num(host, "mem_kb", 0) / 0x1p20, json_str(host, "os", "?"),
		 json_number_value(json_array_get(json_object_get(host, "loadavg_before"), 0)),
		 json_number_value(json_array_get(json_object_get(host, "loadavg_after"), 0)));
}

static void put_cost(FILE *f, const char *name, const json_t *doc)
{
	char *cost = report_cost(doc);

	if (cost)
		put_fact(f, name, "%s", cost);
	free(cost);
}

static void put_provenance(FILE *f, const json_t *doc)
{
	const json_t *plan = json_object_get(doc, "plan"), *q = json_object_get(doc, "qemu"), *k;
	const json_t *host = json_object_get(doc, "host"), *parts = json_object_get(doc, "parts");
	size_t i;

	fputs("<h2>Provenance</h2>\n<div class=\"scroll\"><table>\n<tr><th>command</th><td><code>", f);
	json_array_foreach(json_object_get(doc, "command"), i, k) {
		fputs(i ? " " : "", f);
		report_put_text(f, json_is_string(k) ? json_string_value(k) : "?");
	}
	fputs("</code></td></tr>\n", f);
	put_fact(f, "made", "%s, harness %s", json_str(doc, "created", "?"), json_str(host, "harness", "?"));
	put_fact(f, "plan", "%s (%.12s), seed %.0f", json_str(plan, "name", "?"), json_str(plan, "hash", "?"), json_num(plan, "seed", 0));
	if (*json_str(plan, "note", ""))
		put_fact(f, "note", "%s", json_str(plan, "note", ""));
	json_array_foreach((json_t *)parts, i, k) {
		put_host(f, "host of a part", json_object_get(k, "host"));
		put_cost(f, "it took", k);
	}
	if (!json_array_size(parts))
		put_host(f, "host", host);
	put_cost(f, "took", doc);
	if (report_thrown_away(doc))
		put_fact(f, "thrown away", "%zu boots, and repeated: the host gave QEMU less than half a processor, and the guest's watchdog spoke",
			 report_thrown_away(doc));
	put_fact(f, "virtual machine", "%s, accelerator %s (%s)", json_str(q, "version", "?"), json_str(q, "accel", "?"),
		 json_str(q, "accel_why", "?"));
	put_fact(f, "icount lane", "%.0f pairs of equal boots gave equal numbers (largest difference %.1f ppm)", json_num(doc, "determinism_pairs", 0),
		 json_num(doc, "determinism_worst", 0) * 1e6);
	json_array_foreach(json_object_get(doc, "kernels"), i, k) {
		const char *label = json_str(k, "label", "?"), *series = json_str(k, "series_hash", "");
		char *name = bench_printf("kernel %s", label);

		put_fact(f, name, "%s%s, build %s, %s, series %s%.12s, config %.12s, %s",
			 strcmp(label, json_str(doc, "baseline", "")) ? "" : "(baseline) ", json_str(k, "release", "?"),
			 json_str(k, "id", "?"), json_str(k, "source", "?"), *series ? "" : "none", series,
			 json_str(k, "config_hash", "?"), json_str(k, "compiler", "?"));
		free(name);
	}
	fputs("</table></div>\n", f);
}

/* --- plots ----------------------------------------------------------------------------------------------------------------- */

static void put_base64(FILE *f, FILE *src)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char in[3];
	size_t n;

	while ((n = fread(in, 1, 3, src)) > 0) {
		unsigned int v = (unsigned int)in[0] << 16 | (n > 1 ? (unsigned int)in[1] << 8 : 0) | (n > 2 ? in[2] : 0);

		fputc(digit[v >> 18], f);
		fputc(digit[v >> 12 & 63], f);
		fputc(n > 1 ? digit[v >> 6 & 63] : '=', f);
		fputc(n > 2 ? digit[v & 63] : '=', f);
	}
}

static int is_svg(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && !strcmp(dot, ".svg");
}

static void put_plots(FILE *f, const char *title, const char *dir)
{
	struct dirent **list;
	int n = dir ? scandir(dir, &list, is_svg, alphasort) : -1;

	if (n < 0)
		return;
	if (n)
		fprintf(f, "<h2>%s</h2>\n<div class=\"plots\">\n", title);
	for (int i = 0; i < n; i++) {
		char *path = bench_printf("%s/%s", dir, list[i]->d_name);
		FILE *src = fopen(path, "r");

		if (src) {
			put_element(f, "<figure><img alt=\"", list[i]->d_name, "\" src=\"data:image/svg+xml;base64,");
			put_base64(f, src);
			fclose(src);
			put_element(f, "\"><figcaption>", list[i]->d_name, "</figcaption></figure>\n");
		}
		free(path);
		free(list[i]);
	}
	if (n)
		fputs("</div>\n", f);
	free(list);
}

int report_html(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp, const char *plots, const char *history)
{
	const json_t *plan = json_object_get(doc, "plan");
	struct table *bad, *gate;
	FILE *f = fopen(path, "w");
	int ret;

	if (!f)
		return -errno;
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", f);
	report_put_text(f, json_str(plan, "name", "?"));
	put_element(f, ": ", json_str(doc, "id", "?"), "</title>\n<style>\n");
	fputs(style, f);
	put_element(f, "</style>\n</head>\n<body>\n<h1>", json_str(plan, "name", "?"), ": ");
	put_element(f, "", json_str(doc, "id", "?"), "</h1>\n");
	fprintf(f, "<p class=\"sub\">%zu boots: %zu passed, %zu failed, %zu invalid, %zu skipped. ",
		json_array_size(json_object_get(doc, "cells")), report_count_cells(doc, CELL_PASSED), report_count_cells(doc, CELL_FAILED),
		report_count_cells(doc, CELL_INVALID), report_count_cells(doc, CELL_SKIPPED));
	put_element(f, "", json_str(plan, "summary", ""), "</p>\n");
	if (!json_is_true(json_object_get(doc, "complete")))
		fputs("<p class=\"invalid\"><b>Incomplete: the run was interrupted; what follows is from the boots that were finished.</b></p>\n", f);
	put_chips(f, doc, c, nr_cmp);
	gate = report_gate(doc);
	if (table_rows(gate)) {
		fputs("<h2>Gate: comparisons whose outcome is known</h2>\n<div class=\"scroll known\">", f);
		table_print_html(f, gate);
		fputs("</div>\n", f);
	}
	table_free(gate);
	for (size_t i = 0; i < nr_cmp; i++)
		put_comparison(f, &c[i]);
	bad = report_bad_cells(doc);
	if (table_rows(bad)) {
		fputs("<h2>Boots without a number</h2>\n<div class=\"scroll\">", f);
		table_print_html(f, bad);
		fputs("</div>\n", f);
	}
	table_free(bad);
	put_plots(f, "Plots", plots);
	put_plots(f, "History", history);
	put_provenance(f, doc);
	fputs("</body>\n</html>\n", f);
	ret = ferror(f) ? -EIO : 0;
	return fclose(f) && !ret ? -errno : ret;
}
