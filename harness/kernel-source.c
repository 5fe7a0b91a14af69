// SPDX-License-Identifier: GPL-2.0
/*
 * Where a kernel's source comes from. Every source becomes a commit that can be read through one repository in the cache:
 * patches are then applied to git trees, not to files, and a build tree is brought from one state to another by git, which
 * writes only the files that differ. The user's own trees and repositories are only read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel-internal.h"

/* Build products that may lie in a tree that no git knows; they are not source. */
static const char *const not_source[] = {
	"*.o", "*.a", "*.ko", "*.mod", "*.cmd", "*.order", "*.so.dbg", "/vmlinux", "/vmlinux.*", "/System.map", "/Module.symvers",
	"/modules.*", "/.config", "/.config.old", "/include/config/", "/include/generated/", "/arch/*/include/generated/",
};

/* Set by a git hook for example, these would lead our calls to another repository. */
static const char *const git_variables[] = {
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_DEFAULT_HASH",
};

static void collect_line(const char *line, void *arg)
{
	buf_printf(arg, "%s\n", line);
}

int git_run(const struct git *g, struct buf *out, struct buf *said, const char *const *argv)
{
	struct strv args = {}, env = {};
	struct run_opts ro = { .cwd = g->work ? g->work : g->cwd, .out = out };
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(git_variables); i++)
		unsetenv(git_variables[i]);
	if (g->input) {
		/* run_cmd() gives no stdin of its own; nothing in here is interpreted by the shell. */
		strv_add(&args, xstrdup("sh"));
		strv_add(&args, xstrdup("-c"));
		strv_add(&args, xstrdup("exec git \"$@\" <\"$0\""));
		strv_add(&args, xstrdup(g->input));
	} else {
		strv_add(&args, xstrdup("git"));
	}
	strv_words(&args, "-c safe.directory=* -c gc.auto=0 -c core.compression=1");
	if (g->dir)
		strv_add(&args, xasprintf("--git-dir=%s", g->dir));
	if (g->work) {
		strv_words(&args, "-c core.bare=false");
		strv_add(&args, xasprintf("--work-tree=%s", g->work));
	}
	for (size_t i = 0; argv[i]; i++)
		strv_add(&args, xstrdup(argv[i]));
	strv_words(&env, "LC_ALL=C GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0");
	if (g->index)
		strv_add(&env, xasprintf("GIT_INDEX_FILE=%s", g->index));
	if (g->objects)
		strv_add(&env, xasprintf("GIT_ALTERNATE_OBJECT_DIRECTORIES=%s", g->objects));
	if (g->who) {
		strv_add(&env, xasprintf("GIT_AUTHOR_NAME=%s", g->who));
		strv_add(&env, xasprintf("GIT_COMMITTER_NAME=%s", g->who));
		strv_add(&env, xasprintf("GIT_AUTHOR_EMAIL=%s@localhost", g->who));
		strv_add(&env, xasprintf("GIT_COMMITTER_EMAIL=%s@localhost", g->who));
		strv_add(&env, xstrdup("GIT_AUTHOR_DATE=2024-01-01T00:00:00Z"));
		strv_add(&env, xstrdup("GIT_COMMITTER_DATE=2024-01-01T00:00:00Z"));
	}
	ro.env = (const char *const *)env.v;
	if (said) {
		ro.line = collect_line;
		ro.arg = said;
	} else if (out) {
		ro.log = "/dev/null";
	}
	ret = run_cmd((const char *const *)args.v, &ro);
	strv_free(&args);
	strv_free(&env);
	if (out && !out->s)
		buf_str(out, "");
	if (said && !said->s)
		buf_str(said, "");
	return ret;
}

void chomp(char *s)
{
	size_t n = strlen(s);

	while (n && (s[n - 1] == '\n' || s[n - 1] == '\r'))
		s[--n] = '\0';
}

char *absolute_path(const char *path)
{
	char *cwd, *abs;

	if (*path == '/')
		return xstrdup(path);
	cwd = getcwd(NULL, 0);
	abs = xasprintf("%s/%s", cwd ? cwd : ".", path);
	free(cwd);
	return abs;
}

char *cache_path(const char *fmt, ...)
{
	va_list ap;
	char *rel, *dir, *path, *slash;

	va_start(ap, fmt);
	if (vasprintf(&rel, fmt, ap) < 0)
		abort();
	va_end(ap);
	dir = absolute_path(cache_dir());
	path = xasprintf("%s/%s", dir, rel);
	free(dir);
	free(rel);
	slash = strrchr(path, '/');
	*slash = '\0';
	mkdir_p(path);		/* what fails here fails when the file is used */
	*slash = '/';
	return path;
}

int lock_take(const char *name, const char *what)
{
	char *path = cache_path("lock/%s.lock", name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666), ret = 0;
	bool told = false;

	if (fd < 0) {
		ret = -errno;
		err("%s: %s", path, strerror(errno));
		free(path);
		return ret;
	}
	free(path);
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			ret = -errno;
			err("lock %s: %s", name, strerror(errno));
			break;
		}
		if (!told) {
			char pid[16] = "";
			ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

			note("%s: waiting for another process%s%.*s", what, n > 0 ? ", pid " : "", n > 0 ? (int)n : 0, pid);
			told = true;
		}
		if (interrupted()) {
			ret = -EINTR;
			break;
		}
		usleep(100000);
	}
	if (!ret) {
		char pid[16];
		int n = snprintf(pid, sizeof(pid), "%d", getpid());

		/* Only for the message above. */
		if (ftruncate(fd, 0) || pwrite(fd, pid, n, 0) != n)
			note("lock %s: %s", name, strerror(errno));
		return fd;
	}
	close(fd);
	return ret;
}

const char *source_repo(void)
{
	static char *repo;
	struct buf said = {};
	char *tmp, *path, *attributes;
	int ret, lock;

	if (repo && file_exists(repo))
		return repo;
	path = cache_path("sources.git");
	if (file_exists(path))
		goto have;
	lock = lock_take("sources", "sources");
	if (lock < 0) {
		free(path);
		return NULL;
	}
	tmp = cache_path("sources.git.tmp");
	remove_tree(tmp);
	ret = GIT(&(struct git){}, NULL, &said, "init", "-q", "--bare", "--template=", "-b", "none", tmp);
	/* Bytes are bytes: no line ends or keywords are changed, whatever the tree's own attributes say. */
	attributes = xasprintf("%s/info/attributes", tmp);
	if (!ret) {
		char *info = xasprintf("%s/info", tmp);

		mkdir_p(info);
		free(info);
		ret = write_file_atomic(attributes, "* -text -ident -filter\n", strlen("* -text -ident -filter\n"));
	}
	free(attributes);
	if (!ret && !file_exists(path) && rename(tmp, path))
		ret = -errno;
	remove_tree(tmp);
	free(tmp);
	close(lock);
	if (ret) {
		chomp(said.s);
		err("%s: cannot make the repository of sources: %s", path, ret < 0 ? strerror(-ret) : said.s);
		free(path);
		buf_free(&said);
		return NULL;
	}
	buf_free(&said);
have:
	free(repo);
	repo = path;
	return repo;
}

char *git_line(const struct git *g, const char *const *argv)
{
	struct buf out = {};

	if (git_run(g, &out, NULL, argv)) {
		buf_free(&out);
		return NULL;
	}
	chomp(out.s);
	return out.s;
}

/* Says what git said. Returns -EINTR for an interruption, -EIO otherwise. */
static int git_failed(const struct kernel_spec *s, const char *what, int ret, struct buf *said)
{
	if (said->s)
		chomp(said->s);
	if (interrupted())
		ret = -EINTR;
	if (ret != -EINTR)
		err("%s:%u: %s: %s", s->file, s->source_line, what,
		    ret < 0 ? strerror(-ret) : (said->s && *said->s ? said->s : "git failed"));
	buf_free(said);
	return ret == -EINTR ? ret : -EIO;
}

static int deb_hash(const char *tarball, const char *package, char hash[65])
{
	struct stat st;
	char *memo, *text;
	int ret;

	if (stat(tarball, &st))
		return -errno;
	memo = cache_path("trees/%s-%lld-%lld-%lld.sha256", package, (long long)st.st_size, (long long)st.st_mtime,
			  (long long)st.st_ino);
	if (!read_file(memo, &text, NULL)) {
		bool good = strlen(text) == 64;

		if (good)
			memcpy(hash, text, 65);
		free(text);
		if (good) {
			free(memo);
			return 0;
		}
	}
	ret = sha256_file(tarball, hash);
	if (!ret)
		write_file_atomic(memo, hash, 64);
	free(memo);
	return ret;
}

static int deb_identify(const struct kernel_spec *s, struct source *src)
{
	struct buf version = {}, files = {};
	char hash[65], *line, *save = NULL;
	int ret;

	ret = run_cmd((const char *const[]){ "dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", s->source, NULL },
		      &(struct run_opts){ .out = &version, .log = "/dev/null" });
	if (ret == -EINTR)
		goto out;
	if (ret || !version.s || strncmp(version.s, "installed ", 10)) {
		err("%s:%u: package %s is not installed: apt install %s", s->file, s->source_line, s->source, s->source);
		ret = -ENOPKG;
		goto out;
	}
	ret = run_cmd((const char *const[]){ "dpkg-query", "-L", s->source, NULL }, &(struct run_opts){ .out = &files });
	for (line = ret || !files.s ? NULL : strtok_r(files.s, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, "/usr/src/", 9) && strstr(line, ".tar")) {
			src->tarball = xstrdup(line);
			break;
		}
	if (!src->tarball || !file_exists(src->tarball)) {
		err("%s:%u: package %s has no source tarball in /usr/src: apt install --reinstall %s", s->file, s->source_line,
		    s->source, s->source);
		ret = -ENOPKG;
		goto out;
	}
	ret = deb_hash(src->tarball, s->source, hash);
	if (ret) {
		err("%s: %s", src->tarball, strerror(-ret));
		goto out;
	}
	src->label = xasprintf("deb:%s %s", s->source, version.s + 10);
	src->version = xasprintf("%s %s", version.s + 10, hash);
out:
	buf_free(&version);
	buf_free(&files);
	return ret;
}

/* The files of a user's tree, NUL-separated, in a file of the cache. */
static int tree_list(const struct kernel_spec *s, const struct git *ours, bool is_git, const char *to)
{
	struct git theirs = { .cwd = s->source };
	struct buf list = {};
	struct strv args = {};
	int ret;

	strv_words(&args, "ls-files -z --cached --others");
	if (is_git)
		strv_add(&args, xstrdup("--exclude-standard"));
	else
		for (size_t i = 0; i < ARRAY_SIZE(not_source); i++)
			strv_add(&args, xasprintf("--exclude=%s", not_source[i]));
	ret = git_run(is_git ? &theirs : ours, &list, NULL, (const char *const *)args.v);
	strv_free(&args);
	if (!ret)
		ret = write_file_atomic(to, list.s, list.len);
	else if (ret > 0)
		ret = -EIO;
	buf_free(&list);
	return ret;
}

/*
 * The state of a tree is the git tree of its files. An index in the cache remembers what was read, so only files that changed
 * since are read again.
 */
static int tree_identify(const struct kernel_spec *s, struct source *src)
{
	const char *repo = source_repo();
	struct buf said = {};
	char hash[65], *index, *list, *cdup, *head = NULL, *tree = NULL, *lock_name;
	struct git g;
	int ret, lock;
	bool first, is_git;

	if (!repo)
		return -EIO;
	sha256_hex(s->source, strlen(s->source), hash);
	if (!file_exists(s->source)) {
		err("%s:%u: no directory %s", s->file, s->source_line, s->source);
		return -ENOENT;
	}
	lock_name = xasprintf("tree-%.16s", hash);
	lock = lock_take(lock_name, s->source);
	free(lock_name);
	if (lock < 0)
		return lock;
	index = cache_path("trees/%.16s.index", hash);
	list = cache_path("trees/%.16s.list", hash);
	g = (struct git){ .dir = repo, .work = s->source, .index = index, .who = "shbench" };
	first = !file_exists(index);
	if (first)
		note("%s: reading the whole tree for the first time", s->source);
	cdup = GIT_LINE(&((struct git){ .cwd = s->source }), "rev-parse", "--show-cdup");
	is_git = cdup && !*cdup;
	if (is_git)
		head = GIT_LINE(&((struct git){ .cwd = s->source }), "rev-parse", "-q", "--verify", "HEAD");
	ret = tree_list(s, &g, is_git, list);
	if (ret) {
		if (ret != -EINTR)
			err("%s:%u: cannot list the files of %s: %s", s->file, s->source_line, s->source, strerror(-ret));
		goto out;
	}
	g.input = list;
	/* The threshold makes the first, big import one pack instead of 80000 small files. */
	ret = GIT(&g, NULL, &said, "-c", first ? "core.bigFileThreshold=1" : "core.bigFileThreshold=512m", "update-index", "-z",
		  "--add", "--remove", "--replace", "--stdin");
	g.input = NULL;
	if (!ret) {
		tree = GIT_LINE(&g, "write-tree");
		src->commit = tree ? GIT_LINE(&g, "commit-tree", "-m", "The source tree as it is", tree) : NULL;
		ret = src->commit ? 0 : 1;
	}
	if (ret) {
		ret = git_failed(s, s->source, ret, &said);
		goto out;
	}
	src->version = xstrdup(tree);
	if (head)
		src->label = xasprintf("tree:%s %.12s, HEAD %.12s", s->source, tree, head);
	else
		src->label = xasprintf("tree:%s %.12s", s->source, tree);
out:
	unlink(list);
	buf_free(&said);
	free(cdup);
	free(head);
	free(tree);
	free(index);
	free(list);
	close(lock);
	return ret;
}

static int ref_identify(const struct kernel_spec *s, struct source *src)
{
	struct git g = { .cwd = s->source };
	char *what = xasprintf("%s^{commit}", s->ref), *top;

	top = file_exists(s->source) ? GIT_LINE(&g, "rev-parse", "--git-dir") : NULL;
	if (!top) {
		free(what);
		if (interrupted())
			return -EINTR;
		err("%s:%u: no git repository at %s", s->file, s->source_line, s->source);
		return -ENOENT;
	}
	free(top);
	src->commit = GIT_LINE(&g, "rev-parse", "-q", "--verify", "--end-of-options", what);
	free(what);
	if (!src->commit) {
		if (interrupted())
			return -EINTR;
		err("%s:%u: no commit \"%s\" in %s", s->file, s->source_line, s->ref, s->source);
		return -ENOENT;
	}
	src->objects = GIT_LINE(&g, "rev-parse", "--path-format=absolute", "--git-path", "objects");
	src->version = xstrdup(src->commit);
	src->label = xasprintf("git:%s#%s %s", s->source, s->ref, src->commit);
	return 0;
}

static int bzimage_identify(const struct kernel_spec *s, struct source *src)
{
	char hash[65];
	int ret = sha256_file(s->source, hash);

	if (ret) {
		err("%s:%u: %s: %s", s->file, s->source_line, s->source, strerror(-ret));
		return ret;
	}
	src->version = xstrdup(hash);
	src->label = xasprintf("bzimage:%s", s->source);
	return 0;
}

int source_identify(const struct kernel_spec *s, struct source *src)
{
	static int (*const identify[])(const struct kernel_spec *, struct source *) = {
		[SRC_DEB] = deb_identify, [SRC_TREE] = tree_identify, [SRC_GIT] = ref_identify, [SRC_BZIMAGE] = bzimage_identify,
	};

	memset(src, 0, sizeof(*src));
	return identify[s->kind](s, src);
}

/* Unpacks a Debian source tarball and commits it. What was unpacked becomes the build tree if there is none yet. */
static int deb_unpack(const struct kernel_spec *s, struct source *src, const char *ref)
{
	const char *repo = source_repo();
	char *tmp = cache_path("build/unpack.tmp"), *dir = xasprintf("%s/src", tmp), *index = xasprintf("%s/index", tmp);
	char *key = source_build_key(s), *build = cache_path("build/%s", key), *tree = NULL, *msg = NULL, *log;
	struct git g = { .dir = repo, .work = dir, .index = index, .who = "shbench" };
	struct buf said = {};
	int ret;

	note("%s: unpacking %s, once, takes a minute or two", s->asked, src->tarball);
	log = cache_path("log/unpack.log");
	unlink(log);
	ret = remove_tree(tmp);
	if (!ret)
		ret = mkdir_p(dir);
	if (!ret)
		ret = run_cmd((const char *const[]){ "tar", "-x", "--strip-components=1", "--no-same-owner", "-C", dir, "-f",
			      src->tarball, NULL }, &(struct run_opts){ .log = log });
	if (ret) {
		if (ret != -EINTR) {
			err("%s: cannot be unpacked: see %s; disk full?", src->tarball, log);
			ret = -EIO;
		}
		goto out;
	}
	ret = GIT(&g, NULL, &said, "-c", "core.bigFileThreshold=1", "add", "-A", "-f", ".");
	if (!ret) {
		msg = xasprintf("%s\n", src->label + strlen("deb:"));
		tree = GIT_LINE(&g, "write-tree");
		src->commit = tree ? GIT_LINE(&g, "commit-tree", "-m", msg, tree) : NULL;
		ret = src->commit ? GIT(&g, NULL, &said, "update-ref", ref, src->commit) : 1;
	}
	if (ret) {
		ret = git_failed(s, "cannot import the source", ret, &said);
		goto out;
	}
	if (!file_exists(build) && rename(tmp, build))
		note("%s: %s", build, strerror(errno));
out:
	remove_tree(tmp);
	buf_free(&said);
	free(msg);
	free(tree);
	free(log);
	free(build);
	free(key);
	free(index);
	free(dir);
	free(tmp);
	return ret;
}

int source_import(const struct kernel_spec *s, struct source *src)
{
	const char *repo;
	struct git g = {};
	char *ref;
	int ret = 0, lock;

	if (src->commit || s->kind != SRC_DEB)
		return 0;
	repo = source_repo();
	if (!repo)
		return -EIO;
	lock = lock_take("sources", s->source);
	if (lock < 0)
		return lock;
	ref = xasprintf("refs/heads/deb-%s-%.16s", s->source, strchr(src->version, ' ') + 1);
	g.dir = repo;
	src->commit = GIT_LINE(&g, "rev-parse", "-q", "--verify", ref);
	if (!src->commit)
		ret = deb_unpack(s, src, ref);
	free(ref);
	close(lock);
	return ret;
}

void source_free(struct source *src)
{
	free(src->label);
	free(src->version);
	free(src->tarball);
	free(src->commit);
	free(src->tree);
	free(src->objects);
	memset(src, 0, sizeof(*src));
}

char *source_build_key(const struct kernel_spec *s)
{
	char *text = xasprintf("%d:%s\n%s", s->kind, s->source, s->series ? s->series : ""), hash[65];
	const char *base = strrchr(s->source, '/');
	char *key;

	sha256_hex(text, strlen(text), hash);
	free(text);
	/* The name is for people only. */
	key = xasprintf("%s-%.12s", base ? base + 1 : s->source, hash);
	for (char *c = key; *c; c++)
		if (strchr(" \t:\"'$#", *c))
			*c = '_';
	return key;
}
