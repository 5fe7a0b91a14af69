// SPDX-License-Identifier: GPL-2.0
/* Reads kernels/NAME.kernel; the format is described in kernel.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel-internal.h"
#include "kernel.h"

void strv_add(struct strv *l, char *s)
{
	l->v = xrealloc(l->v, (l->n + 2) * sizeof(*l->v));
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
}

void strv_free(struct strv *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

void strv_words(struct strv *l, const char *s)
{
	for (;;) {
		size_t n;

		s += strspn(s, " \t");
		n = strcspn(s, " \t");
		if (!n)
			return;
		strv_add(l, xstrndup(s, n));
		s += n;
	}
}

/* What a key accepts; the line numbers remember duplicates. */
enum key { KEY_SUMMARY, KEY_SOURCE, KEY_SERIES, KEY_EXTRA, KEY_CONFIG, KEY_CMDLINE, NR_KEYS };

static const char *const key_names[NR_KEYS + 1] = {
	[KEY_SUMMARY] = "summary", [KEY_SOURCE] = "source", [KEY_SERIES] = "series",
	[KEY_EXTRA] = "extra", [KEY_CONFIG] = "config", [KEY_CMDLINE] = "cmdline",
};

static const char *const source_kinds[] = {
	[SRC_DEB] = "deb", [SRC_TREE] = "tree", [SRC_GIT] = "git", [SRC_BZIMAGE] = "bzimage", NULL,
};

struct parser {
	struct kernel_spec *s;
	unsigned int line;
	unsigned int seen[NR_KEYS];
	unsigned int config_line;	/* of the first config set */
};

/* Relative paths of a specification are relative to dir. */
static char *absolute(const char *dir, const char *path)
{
	char *below, *abs;

	if (*path == '/')
		return xstrdup(path);
	below = xasprintf("%s/%s", dir, path);
	abs = absolute_path(below);
	free(below);
	return abs;
}

static int bad(const struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(const struct parser *p, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	err("%s:%u: %s", p->s->file, p->line, text);
	free(text);
	return -EINVAL;
}

static int parse_source(struct parser *p, const char *value)
{
	struct kernel_spec *s = p->s;
	const char *colon = strchr(value, ':'), *rest;
	char *kind = colon ? xstrndup(value, colon - value) : xstrdup(value), *hash;
	size_t i;
	int ret;

	for (i = 0; source_kinds[i] && strcmp(source_kinds[i], kind); i++)
		;
	rest = colon ? colon + 1 : "";
	if (!source_kinds[i] || !*rest) {
		char *near = near_misses(kind, source_kinds);

		if (source_kinds[i])
			ret = bad(p, "source = %s: nothing after \"%s:\"", value, kind);
		else
			ret = bad(p, "source = %s: neither deb:PACKAGE, tree:PATH, git:PATH#REF nor bzimage:PATH%s", value, near);
		free(near);
		free(kind);
		return ret;
	}
	free(kind);
	s->kind = i;
	s->source_line = p->line;
	if (s->kind == SRC_DEB) {
		s->source = xstrdup(rest);
		return 0;
	}
	s->source = absolute(top_dir(), rest);
	if (s->kind != SRC_GIT)
		return 0;
	hash = strrchr(s->source, '#');
	if (!hash || !hash[1])
		return bad(p, "source = %s: no commit: say git:PATH#REF", value);
	s->ref = xstrdup(hash + 1);
	*hash = '\0';
	return 0;
}

/* "config" or "config.SET": notes the set, and takes the fragments if it is the one asked for. */
static int parse_config(struct parser *p, const char *set, const char *value)
{
	struct kernel_spec *s = p->s;
	struct strv words = {};
	char *dir;
	int ret = 0;

	for (const char *c = set; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return bad(p, "config.%s: a set's name has letters, digits, - and _ only", set);
	if (!*set)
		return bad(p, "config. without the name of a set");
	for (size_t i = 0; i < s->sets.n; i++)
		if (!strcmp(s->sets.v[i], set))
			return bad(p, "config set \"%s\" for the second time", set);
	strv_add(&s->sets, xstrdup(set));
	if (!p->config_line)
		p->config_line = p->line;
	dir = xasprintf("%s/kernels", top_dir());
	strv_words(&words, value);
	for (size_t i = 0; i < words.n; i++) {
		char *path = absolute(dir, words.v[i]);

		if (!file_exists(path))
			ret = bad(p, "no fragment kernels/%s", words.v[i]);
		if (!strcmp(set, s->set))
			strv_add(&s->config, path);
		else
			free(path);
		if (ret)
			break;
	}
	strv_free(&words);
	free(dir);
	return ret;
}

static int parse_key(struct parser *p, const char *key, const char *value)
{
	struct kernel_spec *s = p->s;
	enum key k;

	if (!strncmp(key, "config.", 7))
		return parse_config(p, key + 7, value);
	for (k = 0; k < NR_KEYS && strcmp(key_names[k], key); k++)
		;
	if (k == NR_KEYS) {
		char *near = near_misses(key, key_names);
		int ret = bad(p, "unknown key \"%s\"%s", key, near);

		free(near);
		return ret;
	}
	if (p->seen[k] && k != KEY_EXTRA)
		return bad(p, "\"%s\" for the second time, first in line %u", key, p->seen[k]);
	p->seen[k] = p->line;
	switch (k) {
	case KEY_SUMMARY:
		s->summary = xstrdup(value);
		return 0;
	case KEY_SOURCE:
		return parse_source(p, value);
	case KEY_SERIES:
		if (!strcmp(value, "none"))
			return 0;
		s->series = absolute(top_dir(), value);
		s->series_line = p->line;
		return file_exists(s->series) ? 0 : bad(p, "no directory %s", value);
	case KEY_EXTRA:
		strv_add(&s->extra, absolute(top_dir(), value));
		return file_exists(s->extra.v[s->extra.n - 1]) ? 0 : bad(p, "no patch %s", value);
	case KEY_CONFIG:
		return parse_config(p, "default", value);
	default:
		s->cmdline = xstrdup(value);
		return 0;
	}
}

/* Cuts a comment (a '#' at the beginning or after a blank) and the blanks around; returns the beginning. */
static char *strip(char *line)
{
	char *end;

	for (char *c = line; *c; c++)
		if (*c == '#' && (c == line || isblank((unsigned char)c[-1]))) {
			*c = '\0';
			break;
		}
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return line;
}

static int parse_line(struct parser *p, char *line)
{
	char *eq, *end;

	line = strip(line);
	if (!*line)
		return 0;
	eq = strchr(line, '=');
	if (!eq || eq == line)
		return bad(p, "\"%s\" is not \"key = value\"", line);
	for (end = eq; end > line && isblank((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	eq++;
	eq += strspn(eq, " \t");
	if (!*eq)
		return bad(p, "\"%s\" has no value", line);
	return parse_key(p, line, eq);
}

/* What only the whole file can tell. */
static int check_whole(struct parser *p)
{
	struct kernel_spec *s = p->s;

	if (!p->seen[KEY_SOURCE])
		return bad(p, "no \"source\"");
	if (s->kind == SRC_BZIMAGE) {
		const struct {
			const char *key;
			unsigned int line;
		} none_of[] = {
			{ "series", s->series_line }, { "extra", p->seen[KEY_EXTRA] }, { "config", p->config_line },
		};

		for (size_t i = 0; i < ARRAY_SIZE(none_of); i++)
			if (none_of[i].line) {
				p->line = none_of[i].line;
				return bad(p, "\"%s\" makes no sense with a ready-made bzimage", none_of[i].key);
			}
	} else if (!s->sets.n) {
		return bad(p, "no \"config\"");
	}
	if (strcmp(s->set, "default") && !s->config.n) {
		char *near = near_misses(s->set, (const char *const *)s->sets.v ?: (const char *const[]){ NULL });

		err("kernel %s has no config set \"%s\"%s", s->name, s->set, near);
		free(near);
		return -ENOENT;
	}
	if (s->kind != SRC_BZIMAGE && !s->config.n)
		return bad(p, "no \"config\"");
	if (!s->summary)
		s->summary = xstrdup("");
	if (!s->cmdline)
		s->cmdline = xstrdup("");
	return 0;
}

/* NAME@STEP: a number of patches, or a commit. */
static int check_step(struct kernel_spec *s)
{
	struct strv names = {};
	unsigned long k;
	char *end;
	int ret;

	if (s->kind == SRC_GIT && !s->series) {
		free(s->ref);
		s->ref = xstrdup(s->step);
		return 0;
	}
	if (!s->series) {
		err("kernel %s: %s has neither a series nor commits to take a step of", s->asked, s->file);
		return -EINVAL;
	}
	ret = patchset_read(s->series, &names);
	k = strtoul(s->step, &end, 10);
	if (!ret && (!*s->step || *end || k > names.n)) {
		err("kernel %s: the series has %zu patches: a number from 0 to that is wanted", s->asked, names.n);
		ret = -EINVAL;
	}
	strv_free(&names);
	strv_free(&s->extra);
	return ret;
}

int spec_load(const char *asked, struct kernel_spec *s)
{
	const char *plus = strchr(asked, '+');
	char *step;
	struct parser p = { .s = s };
	char *path, *text, *next;
	int ret;

	memset(s, 0, sizeof(*s));
	s->asked = xstrdup(asked);
	s->name = plus ? xstrndup(asked, plus - asked) : xstrdup(asked);
	s->set = xstrdup(plus && plus[1] ? plus + 1 : "default");
	step = strchr(s->name, '@');
	if (step) {
		*step = '\0';
		s->step = xstrdup(step + 1);
	}
	s->file = xasprintf("kernels/%s.kernel", s->name);
	path = xasprintf("%s/%s", top_dir(), s->file);
	ret = strchr(s->name, '/') ? -ENOENT : read_file(path, &text, NULL);
	if (ret == -ENOENT) {
		char **names = kernel_names(), *near = near_misses(s->name, (const char *const *)names);

		err("no kernel \"%s\" (no %s/%s)%s", s->name, top_dir(), s->file, near);
		free(near);
		for (size_t i = 0; names[i]; i++)
			free(names[i]);
		free(names);
	} else if (ret) {
		err("%s: %s", path, strerror(-ret));
	}
	free(path);
	if (ret)
		return ret;
	for (char *line = text; line && !ret; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		else if (!*line)
			break;
		p.line++;
		ret = parse_line(&p, line);
	}
	free(text);
	if (!ret)
		ret = check_whole(&p);
	return !ret && s->step ? check_step(s) : ret;
}

void spec_free(struct kernel_spec *s)
{
	char *const strings[] = { s->file, s->asked, s->name, s->set, s->summary, s->source, s->ref, s->series, s->cmdline, s->step };

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		free(strings[i]);
	strv_free(&s->extra);
	strv_free(&s->config);
	strv_free(&s->sets);
	memset(s, 0, sizeof(*s));
}
