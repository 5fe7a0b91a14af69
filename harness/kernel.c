// SPDX-License-Identifier: GPL-2.0
/*
 * Kernels by name: what identifies one, its place in the cache, and the commands. kernel.h is the contract,
 * kernel-internal.h says how the parts divide the work.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel-internal.h"
#include "kernel.h"

/* Enters every id: to be raised when a change of the builder changes what it builds. */
#define RECIPE "1"

/* Everything that identifies a kernel. */
struct ident {
	struct kernel_spec spec;
	struct source source;
	struct patchset series;
	struct config_wants wants;
	char *compiler, *linker;
	char id[17];
	char *dir;		/* kernels/ID in the cache */
};

static int name_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **kernel_names(void)
{
	char *path = xasprintf("%s/kernels", top_dir());
	DIR *dir = opendir(path);
	struct strv names = {};
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		size_t n = strlen(e->d_name);

		if (n > 7 && e->d_name[0] != '.' && !strcmp(e->d_name + n - 7, ".kernel"))
			strv_add(&names, xstrndup(e->d_name, n - 7));
	}
	if (dir)
		closedir(dir);
	free(path);
	if (!names.v)
		return xcalloc(1, sizeof(*names.v));
	qsort(names.v, names.n, sizeof(*names.v), name_order);
	return names.v;
}

static void id_part(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s) + 1);
}

void kernel_id(const char *source_version, const char *series_hash, const struct config_wants *w, const char *compiler,
	       const char *linker, char id[17])
{
	struct buf b = {};
	char hash[65];

	id_part(&b, RECIPE);
	id_part(&b, source_version);
	id_part(&b, series_hash);
	id_part(&b, compiler);
	id_part(&b, linker);
	for (size_t i = 0; i < w->n; i++) {
		id_part(&b, w->v[i].symbol);
		id_part(&b, w->v[i].value);
	}
	sha256_hex(b.s, b.len, hash);
	buf_free(&b);
	memcpy(id, hash, 16);
	id[16] = '\0';
}

static void ident_free(struct ident *k)
{
	spec_free(&k->spec);
	source_free(&k->source);
	patchset_free(&k->series);
	config_wants_free(&k->wants);
	free(k->compiler);
	free(k->linker);
	free(k->dir);
	memset(k, 0, sizeof(*k));
}

/* k needs ident_free() in any case. */
static int ident_load(const char *name, struct ident *k)
{
	int ret;

	memset(k, 0, sizeof(*k));
	ret = spec_load(name, &k->spec);
	if (!ret)
		ret = patchset_load(&k->spec, &k->series);
	if (!ret)
		ret = config_read(&k->spec.config, &k->wants);
	if (!ret)
		ret = source_identify(&k->spec, &k->source);
	if (ret)
		return ret;
	if (k->spec.kind == SRC_BZIMAGE) {
		k->compiler = xstrdup("");
		k->linker = xstrdup("");
	} else {
		k->compiler = tool_version("gcc");
		k->linker = tool_version("ld");
		if (!k->compiler || !k->linker) {
			if (interrupted())
				return -EINTR;
			err("a kernel cannot be built without gcc and ld: apt install gcc binutils");
			return -ENOPKG;
		}
	}
	kernel_id(k->source.version, k->series.hash, &k->wants, k->compiler, k->linker, k->id);
	k->dir = cache_path("kernels/%s", k->id);
	return 0;
}

/* What the identity tells already; the rest comes from the cache entry. */
static void fill(const struct ident *k, struct kernel_build *out)
{
	memset(out, 0, sizeof(*out));
	out->name = xstrdup(k->spec.asked);
	out->summary = xstrdup(k->spec.summary);
	out->id = xstrdup(k->id);
	out->release = xstrdup("");
	out->source = xstrdup(k->source.label);
	out->source_version = xstrdup(k->source.version);
	out->series_hash = xstrdup(k->series.hash);
	out->config_hash = xstrdup("");
	out->compiler = xstrdup(k->compiler);
	out->cmdline = xstrdup(k->spec.cmdline);
}

static void set_string(char **field, const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	if (!s)
		return;
	free(*field);
	*field = xstrdup(s);
}

/* Completes out from the cache entry. Returns whether there is a sound one. */
static bool cached(const struct ident *k, struct kernel_build *out)
{
	char *path = xasprintf("%s/build.json", k->dir), *image = xasprintf("%s/bzImage", k->dir), hash[65];
	json_t *j = json_load_file(path, 0, NULL);
	const char *want = json_string_value(json_object_get(j, "bzimage_sha256"));
	bool ok = want && !sha256_file(image, hash) && !strcmp(hash, want);

	if (ok) {
		set_string(&out->release, j, "release");
		set_string(&out->config_hash, j, "config_hash");
		out->bzimage = image;
		out->cached = true;
	} else {
		free(image);
	}
	json_decref(j);
	free(path);
	return ok;
}

/* The release in the boot header: its offset less 0x200 is at 0x20e (Documentation/arch/x86/boot.rst). */
static char *bzimage_release(const char *path)
{
	char *data, *release = NULL;
	size_t len, at;

	if (read_file(path, &data, &len))
		return NULL;
	if (len > 0x210 && !memcmp(data + 0x202, "HdrS", 4)) {
		at = 0x200 + ((unsigned char)data[0x20e] | (unsigned char)data[0x20f] << 8);
		if (at < len)
			release = xstrndup(data + at, strcspn(data + at, " "));
	}
	free(data);
	return release;
}

/* One file of the build directory into the new entry. */
static int install(const char *obj, const char *from, const char *entry, const char *to)
{
	char *src = xasprintf("%s/%s", obj, from), *dst = xasprintf("%s/%s", entry, to);
	int ret = copy_file(src, dst);

	if (ret)
		err("%s: cannot be put into the cache: %s", src, strerror(-ret));
	free(src);
	free(dst);
	return ret;
}

/* What gcov needs to read the counters of a kernel, for each file that has them: MM#FILE.gcno, and the source. */
static int install_gcov(const struct build_dirs *d, const char *entry)
{
	struct buf found = {};
	char *save, *path;
	int ret = run_cmd((const char *const[]){ "find", d->obj, "-name", "*.gcno", "-printf", "%P\\n", NULL },
			  &(struct run_opts){ .out = &found });

	if (ret) {
		err("%s: cannot be searched for .gcno files", d->obj);
		ret = ret < 0 ? ret : -EIO;
	}
	for (path = ret ? NULL : strtok_r(found.s, "\n", &save); path && !ret; path = strtok_r(NULL, "\n", &save)) {
		char *to = xstrdup(path);

		for (char *c = to; *c; c++)
			if (*c == '/')
				*c = '#';
		ret = install(d->obj, path, entry, to);
		strcpy(strrchr(path, '.'), ".c");
		strcpy(strrchr(to, '.'), ".c");
		if (!ret)
			ret = install(d->src, path, entry, to);
		free(to);
	}
	buf_free(&found);
	return ret;
}

static int write_build_json(const struct ident *k, const char *entry, const char *release, const char *config_hash,
			    double seconds)
{
	char *path = xasprintf("%s/bzImage", entry), hash[65], date[32], *text;
	time_t now = time(NULL);
	json_t *j;
	int ret = sha256_file(path, hash);

	free(path);
	if (ret)
		return ret;
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:s}", "version", 1, "id", k->id, "release", release,
		      "source", k->source.label, "source_version", k->source.version, "series_hash", k->series.hash,
		      "config_hash", config_hash, "compiler", k->compiler, "linker", k->linker, "bzimage_sha256", hash,
		      "seconds", seconds, "built", date);
	text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	json_decref(j);
	if (!text)
		return -EINVAL;
	path = xasprintf("%s/build.json", entry);
	ret = write_file_atomic(path, text, strlen(text));
	free(text);
	free(path);
	return ret;
}

/* Has make built it, fills the entry's directory. */
static int build_into(struct ident *k, const char *entry, double start)
{
	char *log = cache_path("log/kernel-%s.log", k->id), *config = NULL, *release = NULL, *path, hash[65];
	struct build_dirs d;
	size_t len;
	int ret;

	build_dirs_init(&k->spec, &d);
	ret = build_configure(&k->spec, &k->source, &k->series, &k->wants, log, &d);
	if (!ret)
		ret = build_compile(&k->spec, log, &d);
	if (!ret)
		ret = install(d.obj, "arch/x86/boot/bzImage", entry, "bzImage");
	if (!ret)
		ret = install(d.obj, "System.map", entry, "System.map");
	if (!ret)
		ret = install(d.obj, ".config", entry, "config");
	path = xasprintf("%s/.config", d.obj);
	if (!ret)
		ret = read_file(path, &config, &len);
	free(path);
	/* Without debug information System.map has all that vmlinux could tell. */
	if (!ret && strstr(config, "\nCONFIG_DEBUG_INFO=y\n"))
		ret = install(d.obj, "vmlinux", entry, "vmlinux");
	if (!ret && strstr(config, "\nCONFIG_GCOV_KERNEL=y\n"))
		ret = install_gcov(&d, entry);
	path = xasprintf("%s/include/config/kernel.release", d.obj);
	if (!ret)
		ret = read_file(path, &release, NULL);
	free(path);
	if (!ret) {
		chomp(release);
		sha256_hex(config, len, hash);
		ret = write_build_json(k, entry, release, hash, now_s() - start);
	}
	free(config);
	free(release);
	free(log);
	build_dirs_free(&d);
	return ret;
}

static int take_bzimage(const struct ident *k, const char *entry)
{
	char *release = bzimage_release(k->spec.source), *dst;
	int ret;

	if (!release) {
		err("%s:%u: %s is no bzImage", k->spec.file, k->spec.source_line, k->spec.source);
		return -EINVAL;
	}
	dst = xasprintf("%s/bzImage", entry);
	ret = copy_file(k->spec.source, dst);
	free(dst);
	if (!ret)
		ret = write_build_json(k, entry, release, "", 0);
	if (ret)
		err("%s: cannot be put into the cache: %s", k->spec.source, strerror(-ret));
	free(release);
	return ret;
}

/* Makes the cache entry: beside its place, then renamed. The caller holds the id's lock. */
static int make_entry(struct ident *k)
{
	char *tmp = cache_path("kernels/.tmp-%s", k->id);
	double start = now_s();
	int ret;

	if (file_exists(k->dir))
		note("%s: damaged, will be built again", k->dir);
	ret = remove_tree(tmp);
	if (!ret)
		ret = mkdir_p(tmp);
	if (!ret)
		ret = remove_tree(k->dir);
	if (ret) {
		err("%s: %s", tmp, strerror(-ret));
	} else if (k->spec.kind == SRC_BZIMAGE) {
		ret = take_bzimage(k, tmp);
	} else {
		ret = source_import(&k->spec, &k->source);
		if (!ret)
			ret = build_into(k, tmp, start);
	}
	if (!ret && rename(tmp, k->dir)) {
		ret = -errno;
		err("%s: %s", k->dir, strerror(errno));
	}
	remove_tree(tmp);
	free(tmp);
	return ret;
}

static int get(const char *name, struct kernel_build *out, bool build)
{
	struct ident k;
	char *lock_name;
	double start;
	int ret, lock;

	memset(out, 0, sizeof(*out));
	ret = ident_load(name, &k);
	if (ret)
		goto out;
	fill(&k, out);
	if (cached(&k, out) || !build)
		goto out;
	lock_name = xasprintf("kernel-%s", k.id);
	lock = lock_take(lock_name, k.spec.asked);
	free(lock_name);
	ret = lock < 0 ? lock : 0;
	/* Whoever had the lock has built it. */
	if (!ret && !cached(&k, out)) {
		start = now_s();
		ret = make_entry(&k);
		if (!ret && !cached(&k, out))
			ret = -EIO;
		if (!ret) {
			out->cached = false;
			out->seconds = now_s() - start;
		}
	}
	if (lock >= 0)
		close(lock);
out:
	ident_free(&k);
	if (ret)
		kernel_build_free(out);
	return ret;
}

int kernel_get(const char *name, struct kernel_build *out)
{
	return get(name, out, true);
}

int kernel_lookup(const char *name, struct kernel_build *out)
{
	return get(name, out, false);
}

void kernel_build_free(struct kernel_build *b)
{
	char *const strings[] = {
		b->name, b->summary, b->id, b->bzimage, b->release, b->source, b->source_version, b->series_hash,
		b->config_hash, b->compiler, b->cmdline,
	};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		free(strings[i]);
	memset(b, 0, sizeof(*b));
}

json_t *kernel_provenance(const struct kernel_build *b)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", b->name, "id", b->id, "release", b->release,
			 "source", b->source, "series_hash", b->series_hash, "config_hash", b->config_hash,
			 "compiler", b->compiler, "cmdline", b->cmdline);
}

static int exit_code(int ret)
{
	if (!ret)
		return EXIT_OK;
	return ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
}

/* One row of the list; sets receives the kernel's config sets. */
static int list_one(const char *name, json_t *all)
{
	struct kernel_build b;
	int ret = kernel_lookup(name, &b);

	if (ret)
		return ret;
	if (all) {
		json_t *j = kernel_provenance(&b);

		json_object_set_new(j, "summary", json_string(b.summary));
		json_object_set_new(j, "built", json_boolean(b.bzimage != NULL));
		json_array_append_new(all, j);
	} else {
		printf("%-20s %-8s %s  %s  [%s]\n", b.name, b.bzimage ? "built" : "-", b.id, b.summary, b.source);
	}
	kernel_build_free(&b);
	return 0;
}

static int cmd_list(int argc, char **argv)
{
	char **names = kernel_names();
	json_t *all = opt.json ? json_array() : NULL;
	int ret = 0, one;

	(void)argc;
	(void)argv;
	for (size_t i = 0; names[i] && !interrupted(); i++) {
		struct kernel_spec s;

		one = spec_load(names[i], &s);
		for (size_t j = 0; !one && j < (s.sets.n ? s.sets.n : 1); j++) {
			char *full = !s.sets.n || !strcmp(s.sets.v[j], "default") ? xstrdup(names[i]) :
				     xasprintf("%s+%s", names[i], s.sets.v[j]);

			one = list_one(full, all);
			free(full);
		}
		spec_free(&s);
		if (one)
			ret = one;
		free(names[i]);
	}
	free(names);
	if (all)
		json_dumpf(all, stdout, JSON_INDENT(2));
	json_decref(all);
	return exit_code(interrupted() ? -EINTR : ret);
}

static int cmd_build(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct kernel_build b;
		int ret = kernel_get(argv[i], &b);

		if (ret)
			return exit_code(ret);
		note("kernel %s: %s, id %s, %s", b.name, b.release, b.id, b.cached ? "from the cache" : "built");
		if (!b.cached)
			note("kernel %s: took %.0f s", b.name, b.seconds);
		printf("%s\n", b.bzimage);
		kernel_build_free(&b);
	}
	return EXIT_OK;
}

/* The final configuration: of the finished kernel, or as far as configuring tells. */
static int cmd_config(int argc, char **argv)
{
	struct kernel_build b = {};
	struct build_dirs d = { .lock = -1 };
	struct ident k;
	char *path = NULL, *text;
	size_t misses = 0;
	int ret;

	(void)argc;
	ret = ident_load(argv[1], &k);
	if (ret)
		goto out;
	if (k.spec.kind == SRC_BZIMAGE) {
		err("kernel %s is a ready-made bzImage: its configuration is not known", k.spec.asked);
		ret = -EINVAL;
		goto out;
	}
	fill(&k, &b);
	ret = source_import(&k.spec, &k.source);
	if (ret)
		goto out;
	if (cached(&k, &b)) {
		path = xasprintf("%s/config", k.dir);
		ret = read_file(path, &text, NULL);
		if (ret) {
			err("%s: %s", path, strerror(-ret));
			goto out;
		}
		ret = patchset_apply(&k.series, &k.source);
		misses = ret ? 0 : build_report_misses(&k.spec, &k.source, &k.wants, text);
		free(text);
		if (misses)
			ret = -EINVAL;
	} else {
		char *log = cache_path("log/kernel-%s.log", k.id);

		build_dirs_init(&k.spec, &d);
		ret = build_configure(&k.spec, &k.source, &k.series, &k.wants, log, &d);
		free(log);
		path = xasprintf("%s/.config", d.obj);
	}
	if (file_exists(path))
		printf("%s\n", path);
	if (!ret)
		note("kernel %s: all %zu requested symbols took", k.spec.asked, k.wants.n);
out:
	build_dirs_free(&d);
	kernel_build_free(&b);
	ident_free(&k);
	free(path);
	return exit_code(ret);
}

static int with_spec(char **argv, int argc, int (*fn)(const struct kernel_spec *s, const char *dir))
{
	struct kernel_spec s;
	int ret = spec_load(argv[1], &s);
	char *dir;

	if (!ret) {
		dir = argc > 2 ? absolute_path(argv[2]) : cache_path("work/%s", s.name);
		ret = fn(&s, dir);
		free(dir);
	}
	spec_free(&s);
	return exit_code(ret);
}

static int cmd_tree(int argc, char **argv)
{
	return with_spec(argv, argc, kernel_tree);
}

static int cmd_export(int argc, char **argv)
{
	return with_spec(argv, argc, kernel_export);
}

static const struct {
	const char *name;
	int min, max;		/* arguments */
	int (*fn)(int argc, char **argv);
	const char *usage, *help;
} commands[] = {
	{ "list", 0, 0, cmd_list, "list", "name, whether it is built, id, summary, source" },
	{ "build", 1, 1000, cmd_build, "build NAME...", "build into the cache, print the bzImage's path" },
	{ "config", 1, 1, cmd_config, "config NAME", "print the final config's path and the symbols that did not take" },
	{ "tree", 1, 2, cmd_tree, "tree NAME [DIR]", "make a git tree: the source, then each patch as a commit" },
	{ "export", 1, 2, cmd_export, "export NAME [DIR]", "write the commits of that tree back as the series" },
};

static void usage(FILE *to)
{
	fputs("usage: shbench kernel COMMAND\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-20s %s\n", commands[i].usage, commands[i].help);
	fputs("NAME is that of a kernels/NAME.kernel, NAME+SET with another config set. DIR is by default work/NAME in the cache.\n",
	      to);
}

int cmd_kernel(int argc, char **argv)
{
	const char *names[ARRAY_SIZE(commands) + 1] = {};
	char *near;

	if (argc < 1 || !strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")) {
		usage(argc < 1 ? stderr : stdout);
		return argc < 1 ? EXIT_USAGE : EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(commands[i].name, argv[0]))
			continue;
		if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
			usage(stdout);
			return EXIT_OK;
		}
		if (argc - 1 < commands[i].min || argc - 1 > commands[i].max) {
			err("usage: shbench kernel %s", commands[i].usage);
			return EXIT_USAGE;
		}
		return commands[i].fn(argc, argv);
	}
	near = near_misses(argv[0], names);
	err("no command \"kernel %s\"%s", argv[0], near);
	free(near);
	return EXIT_USAGE;
}
