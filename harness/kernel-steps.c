// SPDX-License-Identifier: GPL-2.0
/* What lies between two kernels: the patches of a series, or the commits of a tree. See kernel.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel-internal.h"
#include "kernel.h"

static void add_step(struct kernel_steps *out, char *name, char *what)
{
	out->name = xrealloc(out->name, (out->n + 1) * sizeof(*out->name));
	out->what = xrealloc(out->what, (out->n + 1) * sizeof(*out->what));
	out->name[out->n] = name;
	out->what[out->n++] = what;
}

static char *step_name(const struct kernel_spec *s, const char *step)
{
	bool plain = !strcmp(s->set, "default");

	return xasprintf("%s@%s%s%s", s->name, step, plain ? "" : "+", plain ? "" : s->set);
}

/* A patch's subject without "[PATCH ...]", or "". */
static char *subject_of(const char *path)
{
	char *text, *line, *end, *subject;

	if (read_file(path, &text, NULL))
		return xstrdup("");
	line = !strncmp(text, "Subject: ", 9) ? text : strstr(text, "\nSubject: ");
	if (!line) {
		free(text);
		return xstrdup("");
	}
	line = strchr(line, ' ') + 1;
	if (!strncmp(line, "[PATCH", 6) && (end = strchr(line, ']')))
		line = end + 1 + strspn(end + 1, " ");
	subject = xstrndup(line, strcspn(line, "\n"));
	free(text);
	return subject;
}

static int series_steps(const struct kernel_spec *good, const struct kernel_spec *bad, struct kernel_steps *out)
{
	size_t from = 0, to;
	struct strv names = {};
	int ret = patchset_read(bad->series, &names);

	if (ret) {
		err("%s/series: %s", bad->series, strerror(-ret));
		return ret;
	}
	if (good->series)
		from = good->step ? strtoul(good->step, NULL, 10) : names.n;
	to = bad->step ? strtoul(bad->step, NULL, 10) : names.n;
	for (size_t i = from + 1; i <= to; i++) {
		char *path = xasprintf("%s/%s", bad->series, names.v[i - 1]), *subject = subject_of(path), *step = xasprintf("%zu", i);

		add_step(out, i == to ? xstrdup(bad->asked) : step_name(bad, step),
			 xasprintf("%s%s%s", names.v[i - 1], *subject ? ": " : "", subject));
		free(path);
		free(subject);
		free(step);
	}
	strv_free(&names);
	/* Extra patches of the last kernel are a step of their own, together. */
	if (bad->extra.n && !bad->step) {
		size_t last = out->n - 1;
		char *step = xasprintf("%zu", to);

		if (to > from) {
			free(out->name[last]);
			out->name[last] = step_name(bad, step);
		}
		add_step(out, xstrdup(bad->asked), xasprintf("the extra patches of %s", bad->file));
		free(step);
	}
	return 0;
}

static int commit_steps(const struct kernel_spec *good, const struct kernel_spec *bad, struct kernel_steps *out)
{
	struct git g = { .cwd = bad->source };
	char *range = xasprintf("%s..%s", good->ref, bad->ref), *save = NULL;
	struct buf log = {};
	int ret = GIT(&g, NULL, NULL, "merge-base", "--is-ancestor", good->ref, bad->ref);

	if (!ret)
		ret = GIT(&g, &log, NULL, "log", "--reverse", "--first-parent", "--abbrev=12", "--format=%h %s", range);
	if (ret) {
		err("%s: %s is not an ancestor of %s, or not a commit", bad->source, good->ref, bad->ref);
		ret = -EINVAL;
	}
	for (char *line = ret ? NULL : strtok_r(log.s, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *sha = xstrndup(line, strcspn(line, " "));

		add_step(out, step_name(bad, sha), xstrdup(line));
		free(sha);
	}
	if (out->n > 1) {
		free(out->name[out->n - 1]);
		out->name[out->n - 1] = xstrdup(bad->asked);
	}
	buf_free(&log);
	free(range);
	return ret;
}

static bool same(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

int kernel_steps(const char *good, const char *bad, struct kernel_steps *out)
{
	struct kernel_spec g, b;
	int ret;

	memset(out, 0, sizeof(*out));
	memset(&b, 0, sizeof(b));
	ret = spec_load(good, &g);
	if (!ret)
		ret = spec_load(bad, &b);
	if (ret)
		goto out;
	add_step(out, xstrdup(good), xstrdup(""));
	if (g.kind != b.kind || !same(g.source, b.source)) {
		err("%s and %s are not of one source: nothing lies between them", good, bad);
		ret = -EINVAL;
	} else if (g.kind == SRC_GIT && !g.series && !b.series) {
		ret = commit_steps(&g, &b, out);
	} else if (b.series && same(g.ref, b.ref) && (!g.series || same(g.series, b.series))) {
		ret = series_steps(&g, &b, out);
	} else {
		err("%s and %s are neither steps of one series nor commits of one tree", good, bad);
		ret = -EINVAL;
	}
	if (!ret && out->n < 2) {
		err("nothing lies between %s and %s", good, bad);
		ret = -EINVAL;
	}
out:
	spec_free(&g);
	spec_free(&b);
	if (ret)
		kernel_steps_free(out);
	return ret;
}

void kernel_steps_free(struct kernel_steps *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->name[i]);
		free(s->what[i]);
	}
	free(s->name);
	free(s->what);
	memset(s, 0, sizeof(*s));
}
