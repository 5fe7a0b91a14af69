// SPDX-License-Identifier: GPL-2.0
/*
 * A series of patches: the files named in DIR/series, then the `extra` ones of the specification.
 *
 * They are applied to git's index of a commit, never to files, and strictly: a hunk may have moved, but every line of its
 * context must be there. A patch that "applies with fuzz" is a patch that nobody has looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel-internal.h"

int patchset_read(const char *dir, struct strv *names)
{
	char *path = xasprintf("%s/series", dir), *text, *save = NULL;
	int ret = read_file(path, &text, NULL);

	free(path);
	if (ret)
		return ret;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, "#")] = '\0';
		line += strspn(line, " \t");
		line[strcspn(line, " \t\r")] = '\0';
		if (*line)
			strv_add(names, xstrdup(line));
	}
	free(text);
	return 0;
}

int patchset_load(const struct kernel_spec *s, struct patchset *ser)
{
	struct strv names = {};
	struct buf all = {};
	int ret = 0;

	memset(ser, 0, sizeof(*ser));
	if (s->series) {
		ret = patchset_read(s->series, &names);
		if (ret)
			err("%s:%u: %s/series: %s", s->file, s->series_line, s->series, strerror(-ret));
	}
	for (size_t i = 0; i < names.n && (!s->step || i < strtoul(s->step, NULL, 10)); i++)
		strv_add(&ser->patch, xasprintf("%s/%s", s->series, names.v[i]));
	strv_free(&names);
	for (size_t i = 0; i < s->extra.n; i++)
		strv_add(&ser->patch, xstrdup(s->extra.v[i]));
	for (size_t i = 0; i < ser->patch.n && !ret; i++) {
		char *text;
		size_t len;

		ret = read_file(ser->patch.v[i], &text, &len);
		if (ret) {
			err("%s: %s: %s", s->file, ser->patch.v[i], strerror(-ret));
			break;
		}
		buf_printf(&all, "%zu\n", len);
		buf_add(&all, text, len);
		free(text);
	}
	if (!ret && ser->patch.n)
		sha256_hex(all.s, all.len, ser->hash);
	buf_free(&all);
	return ret;
}

void patchset_free(struct patchset *ser)
{
	strv_free(&ser->patch);
	memset(ser, 0, sizeof(*ser));
}

/* Lines of a text that is cut up; empty last line left out. */
static void split_lines(char *text, struct strv *lines)
{
	for (char *next; *text; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		else
			next = text + strlen(text);
		strv_add(lines, xstrdup(text));
	}
}

struct hunk {
	char *header;			/* "@@ -1,2 +3,4 @@" */
	unsigned long start, count;	/* old side */
	struct strv old;		/* the lines that must be there */
};

static void hunk_free(struct hunk *h)
{
	free(h->header);
	strv_free(&h->old);
}

/* Reads "-1,2" or "-1"; returns what follows. */
static const char *range(const char *p, unsigned long *start, unsigned long *count)
{
	char *end;

	*start = strtoul(p + 1, &end, 10);
	*count = 1;
	if (*end == ',')
		*count = strtoul(end + 1, &end, 10);
	return end;
}

/* Finds the hunk of file that begins at line start of the old side. */
static bool find_hunk(const char *patch, const char *file, unsigned long start, struct hunk *h)
{
	struct strv lines = {};
	bool here = false, found = false;
	char *text;

	memset(h, 0, sizeof(*h));
	if (read_file(patch, &text, NULL))
		return false;
	split_lines(text, &lines);
	free(text);
	for (size_t i = 0; i < lines.n && !found; i++) {
		const char *l = lines.v[i], *end;
		unsigned long old_start, old, new_start, new;

		if (!strncmp(l, "--- ", 4) && i + 1 < lines.n && !strncmp(lines.v[i + 1], "+++ ", 4)) {
			const char *a = strchr(l + 4, '/'), *b = strchr(lines.v[i + 1] + 4, '/');

			here = (a && !strcmp(a + 1, file)) || (b && !strcmp(b + 1, file));
			i++;
			continue;
		}
		if (strncmp(l, "@@ -", 4))
			continue;
		end = range(l + 3, &old_start, &old);
		if (*end != ' ' || end[1] != '+')
			continue;
		end = range(end + 1, &new_start, &new);
		found = here && old_start == start;
		if (found) {
			h->start = old_start;
			h->count = old;
			h->header = xstrndup(l, end - l);
		}
		/* The body is as long as the header says; what looks like a header in it is none. */
		while ((old || new) && i + 1 < lines.n) {
			const char *b = lines.v[++i];

			if (*b == '\\')
				continue;
			if (*b != '+' && old)
				old--;
			if (*b != '-' && new)
				new--;
			if (found && *b != '+')
				strv_add(&h->old, xstrdup(*b ? b + 1 : ""));
		}
	}
	strv_free(&lines);
	return found;
}

/* Where in the file most of the hunk's old lines stand; the place nearest to the wanted one wins. From 0. */
static size_t best_place(const struct hunk *h, const struct strv *file)
{
	size_t want = h->start ? h->start - 1 : 0, best = want, best_score = 0, best_away = 0;

	for (size_t at = 0; at < file->n; at++) {
		size_t score = 0, away = at > want ? at - want : want - at;

		for (size_t i = 0; i < h->old.n && at + i < file->n; i++)
			score += !strcmp(h->old.v[i], file->v[at + i]);
		if (score > best_score || (score == best_score && score && away < best_away)) {
			best = at;
			best_score = score;
			best_away = away;
		}
	}
	return best;
}

/* A source line as it fits into a message. */
static char *quote(const char *line)
{
	line += strspn(line, " \t");
	return xasprintf("\"%.70s%s\"", line, strlen(line) > 70 ? "..." : "");
}

/* One "error: patch failed: FILE:LINE" of git apply, with the state of the index it was applied to. */
static void explain_hunk(const char *patch, const char *file, unsigned long start, const struct git *g)
{
	char *spec = xasprintf(":%s", file);
	struct strv lines = {};
	struct buf blob = {};
	struct hunk h;

	if (!find_hunk(patch, file, start, &h)) {
		err("%s: does not apply: %s, line %lu", patch, file, start);
	} else if (GIT(g, &blob, NULL, "cat-file", "blob", spec)) {
		err("%s: hunk %s of %s does not apply: the tree has no such file", patch, h.header, file);
	} else {
		size_t at, i;

		split_lines(blob.s, &lines);
		at = best_place(&h, &lines);
		for (i = 0; i < h.old.n; i++)
			if (at + i >= lines.n || strcmp(h.old.v[i], lines.v[at + i]))
				break;
		if (i == h.old.n) {
			err("%s: hunk %s of %s (lines %lu-%lu) does not apply there", patch, h.header, file, h.start,
			    h.start + (h.count ? h.count - 1 : 0));
		} else {
			char *want = quote(h.old.v[i]), *has = at + i < lines.n ? quote(lines.v[at + i]) : xstrdup("at its end");

			err("%s: hunk %s of %s (lines %lu-%lu) does not apply: line %zu of the tree is %s, the patch expects %s",
			    patch, h.header, file, h.start, h.start + (h.count ? h.count - 1 : 0), at + i + 1, has, want);
			free(want);
			free(has);
		}
	}
	strv_free(&lines);
	buf_free(&blob);
	hunk_free(&h);
	free(spec);
}

/* Says why a patch does not apply, from git's own words and the tree. */
static void explain(const char *patch, const char *said, const struct git *g)
{
	static const char prefix[] = "error: patch failed: ";
	struct strv lines = {};
	char *copy = xstrdup(said);
	bool told = false;

	split_lines(copy, &lines);
	free(copy);
	for (size_t i = 0; i < lines.n; i++) {
		char *file, *colon;

		if (strncmp(lines.v[i], prefix, strlen(prefix)))
			continue;
		file = lines.v[i] + strlen(prefix);
		colon = strrchr(file, ':');
		if (!colon)
			continue;
		*colon = '\0';
		explain_hunk(patch, file, strtoul(colon + 1, NULL, 10), g);
		told = true;
	}
	for (size_t i = 0; i < lines.n && !told; i++) {
		if (strncmp(lines.v[i], "error: ", 7))
			continue;
		err("%s: does not apply: %s", patch, lines.v[i] + 7);
		told = true;
	}
	if (!told)
		err("%s: does not apply: %s", patch, lines.n ? lines.v[0] : "git apply failed");
	strv_free(&lines);
}

int patchset_apply(const struct patchset *ser, struct source *src)
{
	char *dir = cache_path("trees/apply-XXXXXX"), *index, *start = xasprintf("%s^{tree}", src->commit);
	struct git g = { .dir = source_repo(), .objects = src->objects };
	struct buf said = {};
	int ret = 0;

	free(src->tree);
	src->tree = NULL;
	if (!g.dir || !mkdtemp(dir)) {
		ret = g.dir ? -errno : -EIO;
		err("%s: %s", dir, strerror(-ret));
		free(dir);
		free(start);
		return ret;
	}
	index = xasprintf("%s/index", dir);
	g.index = index;
	if (GIT(&g, NULL, &said, "read-tree", start))
		goto failed;
	for (size_t i = 0; i < ser->patch.n; i++) {
		const char *patch = ser->patch.v[i];

		progress(i, ser->patch.n, "applying %s", strrchr(patch, '/') + 1);
		buf_free(&said);
		ret = GIT(&g, NULL, &said, "apply", "--cached", "--whitespace=nowarn", patch);
		if (ret > 0) {
			explain(patch, said.s, &g);
			ret = -EINVAL;
		}
		if (ret)
			goto out;
	}
	progress(-1, 0, " ");
	src->tree = GIT_LINE(&g, "write-tree");
	if (src->tree)
		goto out;
failed:
	ret = interrupted() ? -EINTR : -EIO;
	if (ret != -EINTR) {
		if (said.s)
			chomp(said.s);
		err("%s: cannot read the source: %s", g.dir, said.s ? said.s : "git failed");
	}
out:
	buf_free(&said);
	remove_tree(dir);
	free(index);
	free(start);
	free(dir);
	return ret;
}
