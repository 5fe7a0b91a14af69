/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Run documents for tests of bench/: small builders, and realistic_doc(), a whole run with every workload, whose numbers follow
 * what was measured once (faults, COW breaks, clones under TCG) plus noise from a fixed seed. Header only: each test that
 * includes it uses what it needs.
 */
#ifndef SHCACHE_RUNDOC_FIXTURE_H
#define SHCACHE_RUNDOC_FIXTURE_H

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hist.h"

#define FX_UNUSED __attribute__((unused))

/* splitmix64, then uniform in [0,1) and roughly normal. */
static uint64_t fx_state;
FX_UNUSED static double fx_uniform(void)
{
	uint64_t z = (fx_state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}
FX_UNUSED static double fx_normal(void)
{
	double s = 0;

	for (int i = 0; i < 12; i++)
		s += fx_uniform();
	return s - 6;
}

/* "a=1 b=2" */
static json_t *fx_coords(const char *text)
{
	char *copy = strdup(text), *save = NULL;
	json_t *x = json_object();

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(w, '=');

		*eq = '\0';
		json_object_set_new(x, w, json_string(eq + 1));
	}
	free(copy);
	return x;
}

FX_UNUSED static json_t *fx_doc(void)
{
	json_t *doc = json_pack("{s:s,s:s,s:s,s:[s,s,s],s:b,s:{s:s,s:s,s:i,s:s,s:s}}", "schema", "shcache-run/1", "id",
				"20260102-030405-quick-1a2b", "created", "2026-01-02T03:04:05Z", "command", "shbench", "run", "quick",
				"complete", 1, "plan", "name", "quick", "hash",
				"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "seed", 1, "text", "[plan]\n", "note", "");

	json_object_set_new(doc, "host", json_pack("{s:s,s:i,s:i,s:s,s:s,s:[f,f,f],s:[f,f,f]}", "cpu", "AMD EPYC 7B13", "cores", 2, "mem_kb",
						   25165824, "os", "Debian GNU/Linux 12", "harness", "v1.0", "loadavg_before", 0.1, 0.2,
						   0.3, "loadavg_after", 1.9, 1.5, 1.0));
	json_object_set_new(doc, "qemu", json_pack("{s:s,s:s,s:s}", "version", "QEMU emulator version 7.2.22", "accel", "tcg", "accel_why",
						   "/dev/kvm is there, but a guest does not boot under it: internal-error"));
	json_object_set_new(doc, "kernels", json_array());
	json_object_set_new(doc, "baseline", json_string("base"));
	json_object_set_new(doc, "workloads", json_array());
	json_object_set_new(doc, "cells", json_array());
	return doc;
}

FX_UNUSED static void fx_kernel(json_t *doc, const char *label, const char *name, const char *series, const char *config)
{
	json_array_append_new(json_object_get(doc, "kernels"),
			      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "label", label, "name", name, "id",
					*series ? "c0ffee00c0ffee00" : "0123456789abcdef", "release", *series ? "6.12.117-shcache" : "6.12.117",
					"source", "deb:linux-source-6.12 6.12.117-1", "series_hash", series, "config_hash", config, "compiler",
					"gcc (Debian 12.2.0-14) 12.2.0"));
}

/* Adds a metric; makes the workload if it is new. wall: wall_delta, 0 for none. */
FX_UNUSED static void fx_metric(json_t *doc, const char *workload, const char *name, const char *unit, const char *direction, double rel,
				double floor, double wall)
{
	json_t *w, *found = NULL, *m;
	size_t i;

	json_array_foreach(json_object_get(doc, "workloads"), i, w)
		if (!strcmp(json_string_value(json_object_get(w, "name")), workload))
			found = w;
	if (!found) {
		found = json_pack("{s:s,s:s,s:[],s:[]}", "name", workload, "summary", "", "metrics", "params");
		json_array_append_new(json_object_get(doc, "workloads"), found);
	}
	m = json_pack("{s:s,s:s,s:s,s:f,s:f,s:s}", "name", name, "unit", unit, "direction", direction, "rel_delta", rel, "abs_floor", floor,
		      "summary", "");
	if (wall > 0)
		json_object_set_new(m, "wall_delta", json_real(wall));
	json_array_append_new(json_object_get(found, "metrics"), m);
}

/* A passed cell; the returned object belongs to the document. */
FX_UNUSED static json_t *fx_cell(json_t *doc, const char *kernel, const char *workload, const char *lane, const char *fs, const char *mode,
				 unsigned int boot, unsigned int perturbation)
{
	json_t *cells = json_object_get(doc, "cells"), *c;
	char id[13], section[64], reproduce[64];

	snprintf(id, sizeof(id), "%012zx", 0xabc000000000 + json_array_size(cells));
	snprintf(section, sizeof(section), "%s-%s", workload, fs);
	snprintf(reproduce, sizeof(reproduce), "./shbench run quick --cell %s", id);
	c = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "id", id, "section", section, "kernel", kernel, "workload", workload, "lane",
		      lane, "fs", fs, "mode", mode, "image", "debian-slim", "image_hash", "5eed", "image_note",
		      "slimmed to the 212 files that the programs open");
	json_object_set_new(c, "params", json_pack("{s:s}", "n", "1,2,5,10"));
	json_object_set_new(c, "mem_mb", json_integer(2048));
	json_object_set_new(c, "cpus", json_integer(strcmp(lane, "wall") ? 1 : 2));
	json_object_set_new(c, "boot", json_integer(boot));
	json_object_set_new(c, "perturbation", json_integer(perturbation));
	json_object_set_new(c, "seed", json_integer(42));
	json_object_set_new(c, "reproduce", json_string(reproduce));
	json_object_set_new(c, "reproduce_row", json_sprintf("./shbench run quick --only %s/%s/%s/%s/debian-slim", section, lane, fs, mode));
	json_object_set_new(c, "verdict", json_string("passed"));
	json_object_set_new(c, "why", json_string(""));
	json_object_set_new(c, "splat_id", json_null());
	json_object_set_new(c, "argv", json_pack("[s]", "qemu-system-x86_64"));
	json_object_set_new(c, "cmdline", json_string("console=ttyS0"));
	json_object_set_new(c, "console", json_sprintf("consoles/%s.log", id));
	json_object_set_new(c, "boot_s", json_real(2.1));
	json_object_set_new(c, "wall_s", json_real(9.5));
	json_object_set_new(c, "samples", json_array());
	json_object_set_new(c, "hists", json_array());
	json_object_set_new(c, "checks", json_pack("[{s:s,s:b,s:s}]", "name", "content", "ok", 1, "detail", "4 clones"));
	json_object_set_new(c, "infos", json_pack("{s:s}", "image_files", "212"));
	json_object_set_new(c, "blobs", json_array());
	json_array_append_new(cells, c);
	return c;
}

FX_UNUSED static void fx_sample(json_t *cell, const char *metric, double v, const char *coords)
{
	json_array_append_new(json_object_get(cell, "samples"), json_pack("{s:s,s:f,s:o}", "m", metric, "v", v, "x", fx_coords(coords)));
}

FX_UNUSED static void fx_hist_add(json_t *cell, const char *metric, const struct hist *h, const char *coords)
{
	size_t cap = 1 << 20;
	char *text = malloc(cap);

	if (hist_json(h, text, cap) < 0)
		abort();
	json_array_append_new(json_object_get(cell, "hists"),
			      json_pack("{s:s,s:o,s:o}", "m", metric, "x", fx_coords(coords), "h", json_loads(text, 0, NULL)));
	free(text);
}

/* n values around middle with a tail: log-normal, every fiftieth some times slower. */
FX_UNUSED static void fx_hist(json_t *cell, const char *metric, double middle, double spread, unsigned int n, const char *coords)
{
	struct hist *h = malloc(sizeof(*h));

	hist_init(h);
	for (unsigned int i = 0; i < n; i++)
		hist_add(h, (uint64_t)(middle * exp(spread * fx_normal()) * (i % 50 ? 1 : 2.5 + 2 * fx_uniform())));
	fx_hist_add(cell, metric, h, coords);
	free(h);
}

FX_UNUSED static void fx_fail(json_t *cell, const char *verdict, const char *why)
{
	json_object_set_new(cell, "verdict", json_string(verdict));
	json_object_set_new(cell, "why", json_string(why));
}

/* --- a whole run -------------------------------------------------------------------------------------------------------------- */

FX_UNUSED static void fx_metrics(json_t *doc)
{
	fx_metric(doc, "footprint", "unique_frames", "pages", "lower", 0.01, 64, 0);
	fx_metric(doc, "footprint", "logical_pages", "pages", "info", 0, 0, 0);
	fx_metric(doc, "footprint", "one_copy_pages", "pages", "info", 0, 0, 0);
	fx_metric(doc, "footprint", "file_pages", "pages", "lower", 0.01, 128, 0);
	fx_metric(doc, "fault", "fault", "ns", "lower", 0.02, 20, 0);
	fx_metric(doc, "fault", "fault_batch", "ns", "lower", 0.02, 20, 0);
	fx_metric(doc, "fault", "storm", "ns", "lower", 0.05, 50, 0);
	fx_metric(doc, "cow", "cow", "ns", "lower", 0.02, 20, 0);
	fx_metric(doc, "cow", "cow_frames", "pages/page", "info", 0, 0, 0);
	fx_metric(doc, "cow", "cow_footprint", "pages", "lower", 0.01, 4, 0);
	fx_metric(doc, "copyup", "copyup_total", "ns", "lower", 0.02, 100, 0);
	fx_metric(doc, "start", "start_ns", "ns", "lower", 0.05, 100000, 0);
	fx_metric(doc, "start", "bytes_read", "bytes", "lower", 0.01, 65536, 0);
	fx_metric(doc, "pressure", "refaults", "count", "lower", 0.05, 100, 0);
	fx_metric(doc, "fio", "fio_bw", "bytes/s", "higher", 0.05, 0, 0);
	fx_metric(doc, "fio", "fio_clat_p99", "ns", "lower", 0.05, 0, 0);
	fx_metric(doc, "novel", "surprise", "furlongs", "lower", 0.05, 0, 0);
}

/* Noise of one boot under TCG, common to all that is timed in it, and a little of each value's own. */
static double fx_boot_noise, fx_own_noise;

static double fx_time(double v)
{
	return v * fx_boot_noise * exp(fx_own_noise * fx_normal());
}

FX_UNUSED static void fx_footprint(json_t *doc, const char *kernel, const char *fs, const char *mode, unsigned int boot, int shares)
{
	static const unsigned int n[] = { 1, 2, 5, 10, 20, 50, 100 };
	static const struct {
		const char *access;
		double pages;
	} access[] = { { "read", 9800 }, { "mmap", 9800 }, { "programs", 6150 } };
	json_t *c = fx_cell(doc, kernel, "footprint", "wall", fs, mode, boot, 0);
	int once = shares || !strcmp(mode, "overlay");

	for (size_t a = 0; a < 3; a++)
		for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
			double pages = access[a].pages, jitter = rint(3 * fx_normal());
			char x[64];

			snprintf(x, sizeof(x), "n=%u access=%s", n[i], access[a].access);
			fx_sample(c, "unique_frames", pages * (once ? 1 : n[i]) + (shares ? 12.0 * n[i] : 0), x);
			fx_sample(c, "logical_pages", pages * n[i], x);
			fx_sample(c, "one_copy_pages", pages, x);
			fx_sample(c, "file_pages", pages * (once ? 1 : n[i]) + 40 + jitter, x);
		}
}

FX_UNUSED static void fx_fault(json_t *doc, const char *kernel, const char *lane, const char *fs, unsigned int boot, unsigned int pert,
			       double slower, int shares)
{
	static const struct {
		const char *class;
		double insn, tcg;
	} classes[] = { { "cold-major", 9674, 51000 }, { "first-touch", 9674, 51000 }, { "resident-minor", 951, 3900 }, { "pte-only", 640, 2500 },
			{ "private-store", 1700, 6100 }, { "private-break", 1450, 5600 } };
	json_t *c = fx_cell(doc, kernel, "fault", lane, fs, "reflink", boot, pert);
	int icount = !strcmp(lane, "icount");
	uint64_t keep = fx_state;

	/* The icount lane is exact: the same perturbation gives the same numbers on every kernel. */
	if (icount)
		fx_state = 77 + pert;
	for (int around = 0; around < 2; around++)
		for (size_t k = 0; k < sizeof(classes) / sizeof(classes[0]); k++) {
			double base = icount ? classes[k].insn * (1 + 0.02 * pert) : fx_time(classes[k].tcg);
			char x[64];

			if (around && k >= 4)
				continue;
			if (shares && k == 1)
				base = icount ? 1180 : fx_time(4800);
			snprintf(x, sizeof(x), "class=%s around=%s", classes[k].class, around ? "on" : "off");
			fx_hist(c, "fault", base * slower, icount ? 0.03 : 0.12, 800, x);
			fx_sample(c, "fault_batch", base * slower * 1.06, x);
		}
	if (!icount)
		for (unsigned int procs = 1; procs <= 8; procs *= 2) {
			char x[64];

			snprintf(x, sizeof(x), "state=cold procs=%u", procs);
			fx_sample(c, "storm", fx_time(4200 * pow(procs, 0.8)) * slower, x);
			snprintf(x, sizeof(x), "state=shared procs=%u", procs);
			fx_sample(c, "storm", fx_time(1200 * pow(procs, 0.6)) * slower, x);
		}
	if (icount)
		fx_state = keep;
}

FX_UNUSED static void fx_cow(json_t *doc, const char *kernel, const char *fs, unsigned int pert, double slower)
{
	static const struct {
		const char *way;
		double insn;
	} ways[] = { { "write-1", 5400 }, { "write-4k", 5100 }, { "write-1m", 310000 }, { "mmap-1", 2978 }, { "direct-4k", 24000 } };
	json_t *c = fx_cell(doc, kernel, "cow", "icount", fs, "reflink", 0, pert);

	for (unsigned int warm = 0; warm < 2; warm++)
		for (size_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++)
			for (unsigned int sharers = 2; sharers <= 128; sharers *= 8) {
				double v = ways[k].insn * (warm ? 1 : 2.2) * (1 + 0.01 * log2(sharers)) * (1 + 0.002 * pert) * slower;
				struct hist *h = malloc(sizeof(*h));
				char x[64];

				snprintf(x, sizeof(x), "n=%u way=%s state=%s stride=1", sharers, ways[k].way, warm ? "warm" : "cold");
				hist_init(h);
				for (unsigned int i = 0; i < 64; i++)
					hist_add(h, (uint64_t)(v * (1 + 0.001 * i)));
				fx_hist_add(c, "cow", h, x);
				fx_sample(c, "cow_frames", k == 4 ? 0 : 1, x);
				fx_sample(c, "cow_footprint", 512 + (k == 2 ? 256 : 1), x);
				free(h);
			}
}

FX_UNUSED static void fx_copyup(json_t *doc, const char *kernel, const char *fs, unsigned int boot, double slower)
{
	static const char *const size[] = { "4096", "65536", "1048576", "16777216", "67108864" };
	json_t *c = fx_cell(doc, kernel, "copyup", "wall", fs, "overlay", boot, 0);

	for (size_t i = 0; i < 5; i++) {
		char x[64];

		snprintf(x, sizeof(x), "size=%s state=cold upper=same", size[i]);
		fx_sample(c, "copyup_total", fx_time(900000 + pow(16, (double)i) * 9000) * slower, x);
	}
}

FX_UNUSED static void fx_start(json_t *doc, const char *kernel, const char *fs, unsigned int boot, double slower, int shares)
{
	static const struct {
		const char *program;
		double ms;
	} programs[] = { { "python3", 310 }, { "redis-server", 120 }, { "nginx", 85 } };
	json_t *c = fx_cell(doc, kernel, "start", "wall", fs, "reflink", boot, 0);

	for (size_t i = 0; i < 3; i++)
		for (unsigned int later = 0; later < 2; later++) {
			char x[64];

			snprintf(x, sizeof(x), "program=%s k=%s", programs[i].program, later ? "later" : "first");
			fx_sample(c, "start_ns", fx_time(programs[i].ms * 1e6 * (later && shares ? 0.45 : 1)) * slower, x);
			fx_sample(c, "bytes_read", later && shares ? 0 : rint(programs[i].ms * 9e4), x);
		}
}

FX_UNUSED static void fx_rest(json_t *doc, const char *kernel, const char *fs, unsigned int boot, int shares)
{
	static const char *const jobs[] = { "randread-4k", "randwrite-4k", "seqread-1m" };
	json_t *c = fx_cell(doc, kernel, "pressure", "wall", fs, "reflink", boot, 0);

	fx_sample(c, "refaults", rint(fx_time(shares ? 90 : 41000)), "limit=50%");
	fx_sample(c, "refaults", rint(fx_time(shares ? 1400 : 88000)), "limit=25%");
	c = fx_cell(doc, kernel, "fio", "wall", fs, "reflink", boot, 0);
	for (size_t i = 0; i < 3; i++) {
		char x[64];

		snprintf(x, sizeof(x), "job=%s dir=read clones=4", jobs[i]);
		fx_sample(c, "fio_bw", fx_time(45e6 * (double)(1 + 5 * i)), x);
		fx_sample(c, "fio_clat_p99", fx_time(900e3), x);
	}
	c = fx_cell(doc, kernel, "novel", "wall", fs, "reflink", boot, 0);
	fx_sample(c, "surprise", fx_time(7), "colour=green");
}

/* boots in the wall lane; base, the same again, and a kernel that shares and breaks COW 3 % slower. One boot of it has panicked. */
FX_UNUSED static json_t *realistic_doc(unsigned int boots)
{
	static const char *const labels[] = { "base", "again", "shcache" };
	static const char *const fss[] = { "xfs", "btrfs" };
	json_t *doc = fx_doc();

	fx_state = 2026;
	fx_kernel(doc, "base", "base", "", "aaaa1111");
	fx_kernel(doc, "again", "base", "", "aaaa1111");
	fx_kernel(doc, "shcache", "shcache", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "bbbb2222");
	fx_metrics(doc);
	for (unsigned int boot = 0; boot < boots; boot++)
		for (unsigned int k = 0; k < 3; k++)
			for (unsigned int f = 0; f < 2; f++) {
				int shares = k == 2;

				fx_boot_noise = exp(0.04 * fx_normal());
				fx_own_noise = 0.04;
				fx_footprint(doc, labels[k], fss[f], "reflink", boot, shares);
				fx_footprint(doc, labels[k], fss[f], "overlay", boot, 0);
				if (f)
					fx_footprint(doc, labels[k], fss[f], "snapshot", boot, shares);
				fx_fault(doc, labels[k], "wall", fss[f], boot, 0, 1, shares);
				fx_copyup(doc, labels[k], fss[f], boot, 1);
				fx_start(doc, labels[k], fss[f], boot, 1, shares);
				fx_rest(doc, labels[k], fss[f], boot, shares);
			}
	for (unsigned int pert = 0; pert < 3; pert++)
		for (unsigned int k = 0; k < 3; k++)
			for (unsigned int f = 0; f < 2; f++) {
				fx_fault(doc, labels[k], "icount", fss[f], 0, pert, 1, k == 2);
				fx_cow(doc, labels[k], fss[f], pert, k == 2 ? 1.03 : 1);
			}
	fx_fail(fx_cell(doc, "shcache", "cow", "wall", "btrfs", "reflink", 0, 0), "panic", "kernel BUG at mm/filemap.c:142!");
	fx_fail(fx_cell(doc, "base", "cow", "wall", "btrfs", "reflink", 0, 0), "skipped", "no loop devices");
	return doc;
}

#endif
