// SPDX-License-Identifier: GPL-2.0
/*
 * Configures and compiles a kernel.
 *
 * A build tree belongs to a source and a series directory and is kept: git brings its files from one revision of the series to
 * the next and writes only those that differ, so make compiles only what depends on them. The build directory lies in the
 * source tree ("O-SET"), which makes kbuild use relative paths only; with names and dates fixed, the objects are the same
 * wherever the cache is, and ccache finds those of another build tree.
 */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel-internal.h"

/* Lines that make prints for a full build of the lean configuration, until a build has told. */
#define FULL_BUILD_LINES	2130
#define REBUILD_LINES		60

static void want_set(struct config_wants *w, const char *symbol, const char *value, const char *where)
{
	size_t i;

	/* A later fragment overrides; the symbol moves to the end, where kconfig sees it last. */
	for (i = 0; i < w->n; i++)
		if (!strcmp(w->v[i].symbol, symbol)) {
			free(w->v[i].symbol);
			free(w->v[i].value);
			free(w->v[i].where);
			memmove(&w->v[i], &w->v[i + 1], (w->n - i - 1) * sizeof(*w->v));
			w->n--;
			break;
		}
	w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
	w->v[w->n++] = (struct config_want){ xstrdup(symbol), xstrdup(value), xstrdup(where) };
}

/* "CONFIG_A=y", "# CONFIG_A is not set": sets symbol and value (pointers into line, which is cut). */
static bool config_line(char *line, char **symbol, char **value)
{
	static char no[] = "n";
	char *p = line;

	if (!strncmp(line, "# CONFIG_", 9)) {
		p = strstr(line, " is not set");
		if (!p || p[11])
			return false;
		*p = '\0';
		*symbol = line + 2;
		*value = no;
		return true;
	}
	if (strncmp(line, "CONFIG_", 7))
		return false;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	if (*p != '=' || !p[1])
		return false;
	*p = '\0';
	*symbol = line;
	*value = p + 1;
	return true;
}

int config_read(const struct strv *files, struct config_wants *w)
{
	int ret = 0;

	for (size_t i = 0; i < files->n && !ret; i++) {
		char *text, *next, *symbol, *value;
		char *top = absolute_path(top_dir());
		const char *name = files->v[i];
		unsigned int nr = 0;

		if (!strncmp(name, top, strlen(top)) && name[strlen(top)] == '/')
			name += strlen(top) + 1;
		free(top);
		ret = read_file(files->v[i], &text, NULL);
		if (ret) {
			err("%s: %s", name, strerror(-ret));
			break;
		}
		for (char *line = text; line && *line && !ret; line = next) {
			char *where, *end;

			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			nr++;
			for (end = line + strlen(line); end > line && isspace((unsigned char)end[-1]); end--)
				end[-1] = '\0';
			if (!*line)
				continue;
			where = xasprintf("%s:%u", name, nr);
			if (config_line(line, &symbol, &value)) {
				want_set(w, symbol, value, where);
			} else if (*line != '#') {
				err("%s: \"%s\" is neither CONFIG_NAME=value nor a comment", where, line);
				ret = -EINVAL;
			}
			free(where);
		}
		free(text);
	}
	return ret;
}

void config_wants_free(struct config_wants *w)
{
	for (size_t i = 0; i < w->n; i++) {
		free(w->v[i].symbol);
		free(w->v[i].value);
		free(w->v[i].where);
	}
	free(w->v);
	memset(w, 0, sizeof(*w));
}

size_t config_check(const struct config_wants *w, const char *final,
		    void (*miss)(const struct config_want *w, const char *has, void *arg), void *arg)
{
	struct config_wants has = {};
	char *copy = xstrdup(final), *next, *symbol, *value;
	size_t misses = 0;

	for (char *line = copy; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!config_line(line, &symbol, &value))
			continue;
		has.v = xrealloc(has.v, (has.n + 1) * sizeof(*has.v));
		has.v[has.n++] = (struct config_want){ symbol, value, NULL };
	}
	for (size_t i = 0; i < w->n; i++) {
		const char *is = "n";

		for (size_t j = 0; j < has.n; j++)
			if (!strcmp(has.v[j].symbol, w->v[i].symbol))
				is = has.v[j].value;
		if (!strcmp(is, w->v[i].value))
			continue;
		misses++;
		if (miss)
			miss(&w->v[i], is, arg);
	}
	free(has.v);
	free(copy);
	return misses;
}

struct miss_ctx {
	const struct kernel_spec *s;
	const struct source *src;
	size_t tolerated;
};

static void report_miss(const struct config_want *w, const char *has, void *arg)
{
	struct miss_ctx *c = arg;
	struct git g = { .dir = source_repo(), .objects = c->src->objects };
	char *pattern = xasprintf("^(menu)?config %s$", w->symbol + strlen("CONFIG_"));
	const char *why = "";
	struct buf out = {};
	int ret = 0;

	if (strcmp(w->value, "n"))
		ret = GIT(&g, &out, NULL, "grep", "-q", "-E", "-e", pattern,
			  c->src->tree ? c->src->tree : c->src->commit, "--", "*Kconfig*");
	if (ret == 1 && !*out.s && c->s->step) {
		/* It comes with a later patch. */
		c->tolerated++;
		goto out;
	}
	if (ret == 1 && !*out.s)
		why = "; this source has no such symbol";
	else if (!strcmp(has, "n"))
		why = "; what it depends on is not set";
	err("%s: %s=%s did not take in %s: it is %s%s", w->where, w->symbol, w->value, c->s->asked,
	    strcmp(has, "n") ? has : "not set", why);
out:
	buf_free(&out);
	free(pattern);
}

size_t build_report_misses(const struct kernel_spec *s, const struct source *src, const struct config_wants *w,
			   const char *final)
{
	struct miss_ctx c = { .s = s, .src = src };
	size_t misses = config_check(w, final, report_miss, &c);

	return misses - c.tolerated;
}

char *tool_version(const char *tool)
{
	struct buf out = {};
	int ret = run_cmd((const char *const[]){ tool, "--version", NULL }, &(struct run_opts){ .out = &out, .log = "/dev/null" });

	if (ret || !out.s || !*out.s) {
		buf_free(&out);
		return NULL;
	}
	out.s[strcspn(out.s, "\n")] = '\0';
	return out.s;
}

/* A kernel build needs these; found here, the message is better than make's. */
static int check_tools(void)
{
	static const char *const tools[][2] = {
		{ "make", "make" }, { "gcc", "gcc" }, { "ld", "binutils" }, { "flex", "flex" }, { "bison", "bison" },
		{ "bc", "bc" }, { "git", "git" },
	};
	struct buf missing = {};
	int ret = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		char *v = tool_version(tools[i][0]);

		if (!v)
			buf_printf(&missing, " %s", tools[i][1]);
		free(v);
	}
	if (interrupted()) {
		ret = -EINTR;
	} else if (missing.len) {
		err("a kernel cannot be built without more programs: apt install%s", missing.s);
		ret = -ENOPKG;
	}
	buf_free(&missing);
	return ret;
}

void build_dirs_init(const struct kernel_spec *s, struct build_dirs *d)
{
	d->key = source_build_key(s);
	d->base = cache_path("build/%s", d->key);
	d->src = xasprintf("%s/src", d->base);
	d->obj = xasprintf("%s/O-%s", d->src, s->set);
	d->index = xasprintf("%s/index", d->base);
	d->lock = -1;
}

void build_dirs_free(struct build_dirs *d)
{
	free(d->key);
	free(d->base);
	free(d->src);
	free(d->obj);
	free(d->index);
	if (d->lock >= 0)
		close(d->lock);
	d->lock = -1;
}

/* Brings the files of the build tree to the source's git tree. Only what differs is written, so that times stay true. */
static int sync_tree(const struct build_dirs *d, const struct source *src)
{
	struct git g = { .dir = source_repo(), .work = d->src, .index = d->index, .objects = src->objects };
	char *stale = xasprintf("%s.lock", d->index);
	struct buf said = {};
	int ret;

	/* We hold the lock: this one is of a process that was killed. */
	unlink(stale);
	free(stale);
	if (!file_exists(d->index)) {
		note("%s: writing the source tree, once", d->src);
		ret = remove_tree(d->src);
		if (ret) {
			err("%s: %s", d->src, strerror(-ret));
			return ret;
		}
	}
	ret = mkdir_p(d->src);
	if (ret) {
		err("%s: %s", d->src, strerror(-ret));
		return ret;
	}
	ret = GIT(&g, NULL, &said, "read-tree", "--reset", "-u", src->tree);
	if (ret > 0) {
		chomp(said.s);
		err("%s: cannot write the source tree: %s", d->src, said.s);
		ret = -EIO;
	}
	buf_free(&said);
	return ret;
}

struct make_progress {
	const char *name;
	unsigned long lines, expected;
};

static void make_line(const char *line, void *arg)
{
	struct make_progress *p = arg;

	p->lines++;
	if (!p->expected)
		return;
	if (p->lines > p->expected)
		p->expected = p->lines;
	if (!strncmp(line, "  ", 2))
		progress(p->lines, p->expected, "building %s: %.60s", p->name, line + 2);
}

/*
 * Runs make in the build tree. The user's environment must not change what comes out: a make around us hands down its
 * variables in MAKEFLAGS, and kbuild takes many from the environment.
 */
static int run_make(const struct build_dirs *d, const char *log, struct make_progress *p, const char *const *targets)
{
	struct strv args = {}, env = {};
	const char *dir = getenv("CCACHE_DIR");
	char *ccache = tool_version("ccache"), *own = cache_path("ccache");
	struct run_opts ro = { .log = log, .line = p ? make_line : NULL, .arg = p };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int ret;

	strv_words(&args, "nice make --no-print-directory -C");
	strv_add(&args, xstrdup(d->src));
	strv_add(&args, xasprintf("O=%s", d->obj));
	strv_add(&args, xasprintf("-j%ld", cpus > 0 ? cpus : 1));
	strv_words(&args, "ARCH=x86 CROSS_COMPILE= LLVM= LOCALVERSION= KCFLAGS= KCPPFLAGS= KAFLAGS= KBUILD_EXTMOD= V=0 W= C=");
	strv_words(&args, "KCONFIG_CONFIG=.config");
	strv_add(&args, xstrdup(ccache ? "CC=ccache gcc" : "CC=gcc"));
	strv_add(&args, xstrdup(ccache ? "HOSTCC=ccache gcc" : "HOSTCC=gcc"));
	for (size_t i = 0; targets[i]; i++)
		strv_add(&args, xstrdup(targets[i]));

	strv_words(&env, "LC_ALL=C MAKEFLAGS= MFLAGS= MAKELEVEL=0 GNUMAKEFLAGS= MAKEOVERRIDES= KBUILD_OUTPUT= CFLAGS= HOSTCFLAGS=");
	strv_words(&env, "KBUILD_BUILD_USER=shbench KBUILD_BUILD_HOST=shbench KBUILD_BUILD_VERSION=1");
	strv_add(&env, xstrdup("KBUILD_BUILD_TIMESTAMP=Mon Jan  1 00:00:00 UTC 2024"));
	strv_add(&env, xasprintf("KCONFIG_ALLCONFIG=%s/wanted.config", d->obj));
	/* Without the directory's name in the hash, build trees share objects. */
	strv_words(&env, "CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=10G");
	if (!dir || !*dir)
		strv_add(&env, xasprintf("CCACHE_DIR=%s", own));
	ro.env = (const char *const *)env.v;
	ret = run_cmd((const char *const *)args.v, &ro);
	free(ccache);
	free(own);
	strv_free(&args);
	strv_free(&env);
	return ret;
}

/* The mark of a build that make had no chance to end in order: what it left cannot be trusted. */
static char *unfinished_mark(const struct build_dirs *d)
{
	return xasprintf("%s/.unfinished", d->obj);
}

static int make_failed(const struct kernel_spec *s, const char *what, const char *log, int ret)
{
	char *first;

	if (ret == -EINTR || interrupted())
		return -EINTR;
	if (ret < 0) {
		err("kernel %s: make could not be started: %s", s->asked, strerror(-ret));
		return -EIO;
	}
	first = build_first_error(log);
	err("kernel %s: %s failed: %s; whole log: %s", s->asked, what, first ? first : "no error line found", log);
	free(first);
	return -EIO;
}

/* Writes the fragments, runs allnoconfig, looks at the outcome. */
static int configure(const struct kernel_spec *s, const struct source *src, const struct config_wants *w, const char *log,
		     const struct build_dirs *d)
{
	struct buf wanted = {};
	char *path, *final;
	size_t misses;
	int ret;

	ret = mkdir_p(d->obj);
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i].value, "n"))
			buf_printf(&wanted, "# %s is not set\n", w->v[i].symbol);
		else
			buf_printf(&wanted, "%s=%s\n", w->v[i].symbol, w->v[i].value);
	path = xasprintf("%s/wanted.config", d->obj);
	if (!ret)
		ret = write_file_atomic(path, wanted.s ? wanted.s : "", wanted.len);
	buf_free(&wanted);
	if (ret) {
		err("%s: %s", path, strerror(-ret));
		free(path);
		return ret;
	}
	free(path);
	ret = run_make(d, log, NULL, (const char *const[]){ "allnoconfig", NULL });
	if (ret)
		return make_failed(s, "configuration", log, ret);
	path = xasprintf("%s/.config", d->obj);
	ret = read_file(path, &final, NULL);
	if (ret) {
		err("%s: %s", path, strerror(-ret));
		free(path);
		return ret;
	}
	free(path);
	misses = build_report_misses(s, src, w, final);
	free(final);
	return misses ? -EINVAL : 0;
}

int build_configure(const struct kernel_spec *s, struct source *src, const struct patchset *ser,
		    const struct config_wants *w, const char *log, struct build_dirs *d)
{
	char *mark, *lock_name;
	int ret = check_tools();

	if (ret)
		return ret;
	ret = patchset_apply(ser, src);
	if (ret)
		return ret;
	lock_name = xasprintf("build-%s", d->key);
	d->lock = lock_take(lock_name, s->asked);
	free(lock_name);
	ret = d->lock < 0 ? d->lock : sync_tree(d, src);
	if (ret)
		return ret;
	mark = unfinished_mark(d);
	if (file_exists(mark)) {
		note("%s: an earlier build was cut off, starting afresh", d->obj);
		ret = remove_tree(d->obj);
	}
	free(mark);
	if (ret) {
		err("%s: %s", d->obj, strerror(-ret));
		return ret;
	}
	unlink(log);
	return configure(s, src, w, log, d);
}

/* The number in a file of the cache, or otherwise. */
static unsigned long stored_count(const char *path, unsigned long otherwise)
{
	unsigned long n = 0;
	char *text;

	if (!read_file(path, &text, NULL)) {
		n = strtoul(text, NULL, 10);
		free(text);
	}
	return n ? n : otherwise;
}

int build_compile(const struct kernel_spec *s, const char *log, const struct build_dirs *d)
{
	char *vmlinux = xasprintf("%s/vmlinux", d->obj), *mark = unfinished_mark(d), *counts;
	bool again = file_exists(vmlinux);
	struct make_progress p = { .name = s->asked };
	int ret;

	counts = cache_path("build/lines-%s-%s", again ? "again" : "full", s->set);
	p.expected = stored_count(counts, again ? REBUILD_LINES : FULL_BUILD_LINES);
	free(vmlinux);
	ret = write_file_atomic(mark, "", 0);
	if (ret) {
		err("%s: %s", mark, strerror(-ret));
		goto out;
	}
	ret = run_make(d, log, &p, (const char *const[]){ "bzImage", NULL });
	progress(-1, 0, " ");
	/* Unless make was killed it has removed what it had not finished. */
	if (ret >= 0 && ret < 128)
		unlink(mark);
	if (ret) {
		ret = make_failed(s, "build", log, ret);
	} else {
		char *text = xasprintf("%lu\n", p.lines);

		write_file_atomic(counts, text, strlen(text));
		free(text);
	}
out:
	free(counts);
	free(mark);
	return ret;
}

/* From the most to the least telling; the first line that matches the first pattern is it. */
static const char *const error_patterns[] = {
	"^[^ :]+:[0-9]+(:[0-9]+)?: (fatal )?error: ",
	"^[^ :]+:[0-9]+: [A-Z]?.*(syntax error|unknown option|recursive dependency)",
	"undefined reference to|multiple definition of|^ld: |: ld: |cannot find -l",
	"^ERROR: |: error: |error: ",
	"(^|: )(not found|No such file or directory|command not found)$|: not found$",
	"No space left on device|Killed|internal compiler error",
	"\\*\\*\\* ",
};

char *build_first_error(const char *log)
{
	char *text, *found = NULL;

	if (read_file(log, &text, NULL))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(error_patterns) && !found; i++) {
		regmatch_t m;
		regex_t re;

		if (regcomp(&re, error_patterns[i], REG_EXTENDED | REG_NEWLINE))
			continue;
		if (!regexec(&re, text, 1, &m, 0)) {
			char *begin = text + m.rm_so, *end = text + m.rm_eo;

			while (begin > text && begin[-1] != '\n')
				begin--;
			end += strcspn(end, "\n");
			/* Paths are relative to the build directory in the source tree. */
			if (!strncmp(begin, "../", 3))
				begin += 3;
			found = xstrndup(begin, end - begin);
		}
		regfree(&re);
	}
	free(text);
	return found;
}
