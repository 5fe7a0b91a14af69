// SPDX-License-Identifier: GPL-2.0
/*
 * The pure parts of `shbench xfstests`; see xfstests.h.
 *
 * check writes, for each test, its name, blanks and what became of it, on one line if all is well:
 *
 *	generic/001 4s ...  5s
 *	generic/002        [not run] this test requires a valid $LOGWRITES_DEV
 *	generic/003        [failed, exit status 1]- output mismatch (see /var/results/generic/003.out.bad)
 *	    --- tests/generic/003.out ...
 *
 * and, after the last one, lines "Ran:", "Not run:" and "Failures:".
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"
#include "xfstests.h"

static const char *const state_names[XT_NR_STATES] = {
	[XT_NONE] = "none", [XT_PASSED] = "passed", [XT_NOTRUN] = "notrun", [XT_REFUSED] = "refused",
	[XT_FAILED] = "failed", [XT_TIMEOUT] = "timeout", [XT_SPLAT] = "splat", [XT_HANG] = "hang", [XT_PANIC] = "panic", [XT_DIED] = "died",
};

const char *xt_state_name(enum xt_state s)
{
	return s < XT_NR_STATES ? state_names[s] : "?";
}

bool xt_bad(enum xt_state s)
{
	return s > XT_REFUSED;
}

void xt_results_free(struct xt_results *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].why);
		free(r->v[i].text);
		free(r->v[i].groups);
	}
	free(r->v);
	*r = (struct xt_results){};
}

static struct xt_result *find(const struct xt_results *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->n; i++)
		if (strlen(r->v[i].name) == len && !memcmp(r->v[i].name, name, len))
			return &r->v[i];
	return NULL;
}

struct xt_result *xt_find(const struct xt_results *r, const char *name)
{
	return find(r, name, strlen(name));
}

struct xt_result *xt_add(struct xt_results *r, const char *name, size_t len)
{
	struct xt_result *t = find(r, name, len);

	if (t)
		return t;
	r->v = xrealloc(r->v, (r->n + 1) * sizeof(*r->v));
	t = &r->v[r->n++];
	*t = (struct xt_result){ .name = xstrndup(name, len), .seconds = -1, .why = xstrdup(""), .text = xstrdup(""),
				  .groups = xstrdup("") };
	return t;
}

void xt_set(struct xt_result *t, enum xt_state state, const char *why)
{
	char *s = xstrdup(why);

	t->state = state;
	free(t->why);
	t->why = s;
}

struct xt_result *xt_add_copy(struct xt_results *r, const struct xt_result *t)
{
	struct xt_result *new = xt_add(r, t->name, strlen(t->name));

	xt_set(new, t->state, t->why);
	new->seconds = t->seconds;
	free(new->text);
	new->text = xstrdup(t->text);
	free(new->groups);
	new->groups = xstrdup(t->groups);
	return new;
}

/* --- which tests --------------------------------------------------------------------------------------------------------- */

bool xt_listed(const char *list, const char *word, size_t len)
{
	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n == len && !memcmp(list, word, n))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

size_t xt_select(struct xt_results *r, const char *dir, const char *group_list, const char *groups, const char *exclude)
{
	bool all = xt_listed(groups, "all", strlen("all"));
	size_t added = 0, n;

	for (const char *line = group_list; *line; line += n + (line[n] == '\n')) {
		size_t digits = strspn(line, "0123456789");
		struct buf in = {};
		bool out = false;

		n = strcspn(line, "\n");
		if (!digits || (line[digits] != ' ' && line[digits] != '\t'))
			continue;
		for (const char *p = line + digits; p < line + n;) {
			size_t len = strcspn(p, " \t\n");

			if (len && xt_listed(groups, p, len))
				buf_printf(&in, "%s%.*s", in.len ? "," : "", (int)len, p);
			out |= len && xt_listed(exclude, p, len);
			p += len ? len : 1;
		}
		if (all)
			buf_printf(&in, "%sall", in.len ? "," : "");
		if (in.len && !out) {
			char *name = xasprintf("%s/%.*s", dir, (int)digits, line);
			size_t before = r->n;
			struct xt_result *t = xt_add(r, name, strlen(name));

			free(t->groups);
			t->groups = xstrdup(in.s);
			added += r->n - before;
			free(name);
		}
		buf_free(&in);
	}
	return added;
}

void xt_shard(struct xt_results *r, unsigned int index, unsigned int count)
{
	struct xt_results part = {};

	for (size_t i = index - 1; i < r->n; i += count)
		xt_add_copy(&part, &r->v[i]);
	xt_results_free(r);
	*r = part;
}

/* --- what check says ------------------------------------------------------------------------------------------------------ */

/* Length of the test's name that the line begins with; 0: it is no test's line. */
static size_t name_at(const char *line)
{
	size_t n = 0, digits;

	while (islower((unsigned char)line[n]))
		n++;
	if (!n || line[n] != '/')
		return 0;
	digits = strspn(line + n + 1, "0123456789");
	return digits >= 3 && line[n + 1 + digits] == ' ' ? n + 1 + digits : 0;
}

/* The next line that begins a test, from the line s; the text's end if there is none. */
static const char *next_test(const char *s)
{
	while (*s && !name_at(s)) {
		s = strchr(s, '\n');
		if (!s)
			return NULL;
		s++;
	}
	return *s ? s : NULL;
}

/* "   4s ...  5s\n" and nothing else: passed, in 5 s. A time may stand alone (there was no earlier run), and so at least one must. */
static int pass_seconds(const char *s, const char *end)
{
	int seconds = -1;

	while (s < end) {
		size_t n;

		s += strspn(s, " \n");
		if (s >= end)
			break;
		n = strcspn(s, " \n");
		if (n == 3 && !memcmp(s, "...", 3)) {
			seconds = -1;
		} else if (n >= 2 && strspn(s, "0123456789") == n - 1 && s[n - 1] == 's') {
			seconds = atoi(s);
		} else {
			return -1;
		}
		s += n;
	}
	return seconds;
}

/* One line of what is between: blanks folded, at most so many characters. */
static char *one_line(const char *s, const char *end, size_t max)
{
	struct buf b = {};

	buf_str(&b, "");
	for (; s < end && b.len < max; s++) {
		if (!isspace((unsigned char)*s))
			buf_add(&b, s, 1);
		else if (b.len && b.s[b.len - 1] != ' ')
			buf_add(&b, " ", 1);
	}
	while (b.len && b.s[b.len - 1] == ' ')
		b.s[--b.len] = '\0';
	return b.s;
}

/* What a test that failed is said to have done: without the time of an earlier run, without the diff. */
static char *failure(const char *s, const char *end)
{
	const char *nl = memchr(s, '\n', end - s), *tag;
	char *why;

	while (nl && nl + 1 < end && (nl == s || strspn(s, " \n") >= (size_t)(nl - s)))
		s = nl + 1, nl = memchr(s, '\n', end - s);
	tag = memchr(s, '[', end - s);
	if (tag && (!nl || tag < nl))
		s = tag;
	why = one_line(s, nl ? nl : end, 200);
	if (!*why) {
		free(why);
		why = xstrdup("check says nothing of it");
	}
	return why;
}

/* The text from s to end is what check wrote after the test's name. last: nothing follows, and check has not ended. */
static bool judge(struct xt_result *t, const char *s, const char *end, bool last)
{
	static const char notrun[] = "[not run]", expunged[] = "[expunged]", missing[] = " - no such test?";
	const char *tag = memmem(s, end - s, notrun, strlen(notrun)), *nl = memchr(s, '\n', end - s);
	int seconds;
	char *why;

	if (tag && tag > nl && nl)
		tag = NULL;
	if (last && !nl)
		return false;
	seconds = pass_seconds(s, end);
	if (tag) {
		why = one_line(tag + strlen(notrun), nl ? nl : end, 200);
		xt_set(t, XT_NOTRUN, why);
		free(why);
	} else if (memmem(s, end - s, expunged, strlen(expunged)) || memmem(s, end - s, missing, strlen(missing))) {
		xt_set(t, XT_NOTRUN, "expunged, or no such test");
	} else if (seconds >= 0) {
		xt_set(t, XT_PASSED, "");
		t->seconds = seconds;
	} else if (last) {
		/* Its checks may still go on. */
		return false;
	} else {
		why = failure(s, end);
		xt_set(t, XT_FAILED, why);
		free(why);
	}
	free(t->text);
	t->text = xstrndup(s, end - s);
	return true;
}

/* Where check's own summary begins; the text's end if it has not come to that. */
static const char *summary(const char *out, bool *complete)
{
	const char *s = !strncmp(out, "Ran: ", 5) ? out : strstr(out, "\nRan: ");

	*complete = s;
	return s ? s : out + strlen(out);
}

void xt_parse(struct xt_results *r, const char *out, char *running, size_t cap)
{
	bool complete;
	const char *end = summary(out, &complete), *s = next_test(out), *next;

	if (cap)
		*running = '\0';
	for (; s && s < end; s = next) {
		size_t n = name_at(s);
		struct xt_result *t = find(r, s, n);

		next = next_test(s + n);
		if (next && next > end)
			next = NULL;
		if (t && !judge(t, s + n, next ? next : end, !next && !complete))
			snprintf(running, cap, "%s", t->name);
	}
}

/* --- the console ----------------------------------------------------------------------------------------------------------------- */

/* What xfs_shcache_mount() says. */
static void add_refusal(struct xt_result *t, const char *text)
{
	static const char *const says[] = { ": shcache: blocks of ", ": shcache: the filesystem has no ", ": shcache: there is no page cache" };
	char *why;

	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		const char *s = strstr(text, says[i]);

		if (!s)
			continue;
		why = xstrndup(s + 2, strcspn(s + 2, "\r\n"));
		xt_set(t, XT_REFUSED, why);
		free(why);
		return;
	}
}

/* The console's text from one test to the next. */
static void look(struct xt_result *t, const char *from, const char *end)
{
	char *text = xstrndup(from, end - from), *id, *why;
	const char *kind, *p = text, *at;

	while ((kind = console_splat(p, &at)) && !strcmp(kind, "file system"))
		p = at + strcspn(at, "\n");
	if (kind) {
		id = console_splat_id(at);
		why = xt_bad(t->state) ? xasprintf("%s; %s", t->why, id) : xstrdup(id);
		xt_set(t, xt_bad(t->state) ? t->state : XT_SPLAT, why);
		free(why);
		free(id);
	} else if (t->state == XT_FAILED) {
		add_refusal(t, text);
	}
	free(text);
}

void xt_console(struct xt_results *r, const char *console)
{
	static const char mark[] = "run fstests ";
	const char *s = strstr(console, mark), *next;

	for (; s; s = next) {
		struct xt_result *t;

		s += strlen(mark);
		next = strstr(s, mark);
		t = find(r, s, strcspn(s, " \r\n"));
		s += strcspn(s, "\n");
		if (t && (!next || s < next))
			look(t, s, next ? next : s + strlen(s));
	}
}

/* --- comparison and reports ---------------------------------------------------------------------------------------------------- */

bool xt_new(const struct xt_result *t, const struct xt_result *base)
{
	return xt_bad(t->state) && !(base && xt_bad(base->state));
}

static const struct xt_result *base_of(const struct xt_results *base, const struct xt_result *t)
{
	return base ? xt_find(base, t->name) : NULL;
}

void xt_ktap(struct buf *b, const struct xt_results *r, const struct xt_results *base)
{
	buf_printf(b, "KTAP version 1\n1..%zu\n", r->n);
	for (size_t i = 0; i < r->n; i++) {
		const struct xt_result *t = &r->v[i], *o = base_of(base, t);

		buf_printf(b, "%s %zu %s", xt_bad(t->state) || t->state == XT_NONE ? "not ok" : "ok", i + 1, t->name);
		if (t->state == XT_NOTRUN || t->state == XT_REFUSED)
			buf_printf(b, " # SKIP %s", t->why);
		else if (xt_bad(t->state) && !xt_new(t, o))
			buf_printf(b, " # TODO the baseline fails as well (%s)", xt_state_name(o->state));
		buf_str(b, "\n");
		if (t->state == XT_NONE)
			buf_str(b, "# was not carried out\n");
		else if (xt_bad(t->state))
			buf_printf(b, "# %s: %s\n", xt_state_name(t->state), t->why);
	}
}

static void xml(struct buf *b, const char *s)
{
	static const struct {
		char c;
		const char *name;
	} entities[] = { { '<', "&lt;" }, { '>', "&gt;" }, { '&', "&amp;" }, { '"', "&quot;" } };

	for (; *s; s++) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(entities); i++)
			if (entities[i].c == *s)
				break;
		if (i < ARRAY_SIZE(entities))
			buf_str(b, entities[i].name);
		else
			/* XML has no control characters, and what is not ASCII need not be UTF-8. */
			buf_add(b, (unsigned char)*s < 0x7f && (*s >= ' ' || *s == '\n' || *s == '\t') ? s : "?", 1);
	}
}

void xt_junit(struct buf *b, const char *suite, const struct xt_results *r, const struct xt_results *base)
{
	size_t failures = 0, skipped = 0;

	for (size_t i = 0; i < r->n; i++) {
		bool fails = r->v[i].state == XT_NONE || xt_new(&r->v[i], base_of(base, &r->v[i]));

		failures += fails;
		skipped += !fails && r->v[i].state != XT_PASSED;
	}
	buf_str(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
	xml(b, suite);
	buf_printf(b, "\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n", r->n, failures, skipped);
	for (size_t i = 0; i < r->n; i++) {
		const struct xt_result *t = &r->v[i];
		bool known = xt_bad(t->state) && !xt_new(t, base_of(base, t));
		bool skip = known || t->state == XT_NOTRUN || t->state == XT_REFUSED;

		buf_printf(b, " <testcase classname=\"%.*s\" name=\"%s\" time=\"%d\"", (int)strcspn(t->name, "/"), t->name, t->name,
			   t->seconds > 0 ? t->seconds : 0);
		if (t->state == XT_PASSED) {
			buf_str(b, "/>\n");
			continue;
		}
		buf_printf(b, ">\n  <%s message=\"", skip ? "skipped" : "failure");
		if (known)
			buf_str(b, "the baseline fails as well: ");
		else if (!skip)
			buf_printf(b, "%s: ", xt_state_name(t->state));
		xml(b, t->why);
		if (skip) {
			buf_str(b, "\"/>\n </testcase>\n");
			continue;
		}
		buf_str(b, "\">");
		xml(b, t->text);
		buf_str(b, "</failure>\n </testcase>\n");
	}
	buf_str(b, "</testsuite>\n");
}
