// SPDX-License-Identifier: GPL-2.0
/* The store of runs; see store.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store.h"
#include "util.h"

const char *runs_dir(void)
{
	static char *dir;
	const char *s = getenv("SHCACHE_RESULTS");

	if (!dir)
		dir = s && *s ? xstrdup(s) : xasprintf("%s/results/runs", top_dir());
	return dir;
}

const char *history_path(void)
{
	static char *path;
	const char *s = getenv("SHCACHE_HISTORY");

	if (!path)
		path = s && *s ? xstrdup(s) : xasprintf("%s/history.jsonl", runs_dir());
	return path;
}

char *history_plots_dir(void)
{
	const char *path = history_path(), *slash = strrchr(path, '/');

	return slash ? xasprintf("%.*s/history", (int)(slash - path), path) : xstrdup("history");
}

int json_save(const char *path, const json_t *v)
{
	char *s = json_dumps(v, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	int ret = s ? write_file_atomic(path, s, strlen(s)) : -EINVAL;

	if (ret)
		err("%s: cannot write: %s%s", path, strerror(-ret),
		    ret == -ENOSPC ? "; free some space and run again with --resume" : "");
	free(s);
	return ret;
}

json_t *json_read(const char *path)
{
	json_error_t e;
	json_t *v = json_load_file(path, 0, &e);

	if (!v)
		err("%s:%d: %s", path, e.line, e.text);
	return v;
}

static int lock_dir(struct run_dir *rd)
{
	char *path = xasprintf("%s/lock", rd->path);
	int ret = 0;

	rd->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (rd->lock < 0) {
		ret = -errno;
		err("%s: %s", path, strerror(errno));
	} else if (flock(rd->lock, LOCK_EX | LOCK_NB)) {
		ret = -EBUSY;
		err("run %s is being worked on by another process; wait for it, or start a new run", rd->id);
		close(rd->lock);
	}
	free(path);
	return ret;
}

static void forget(struct run_dir *rd)
{
	free(rd->id);
	free(rd->path);
	*rd = (struct run_dir){ .lock = -1 };
}

int run_dir_create(const char *plan, struct run_dir *rd)
{
	static const char *const subdirs[] = { "cells", "consoles", "tmp" };
	char stamp[32];
	unsigned short rnd = 0;
	time_t t = time(NULL);
	int ret;

	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", gmtime(&t));
	if (getrandom(&rnd, sizeof(rnd), 0) < 0)
		rnd = getpid();
	rd->lock = -1;
	rd->id = xasprintf("%s-%s-%04x", stamp, plan, rnd);
	rd->path = xasprintf("%s/%s", runs_dir(), rd->id);
	ret = mkdir_p(runs_dir());
	if (!ret && mkdir(rd->path, 0777))
		ret = -errno;
	for (size_t i = 0; i < ARRAY_SIZE(subdirs) && !ret; i++) {
		char *d = xasprintf("%s/%s", rd->path, subdirs[i]);

		ret = mkdir_p(d);
		free(d);
	}
	if (ret)
		err("cannot make the run directory %s: %s", rd->path, strerror(-ret));
	else
		ret = lock_dir(rd);
	if (ret)
		forget(rd);
	return ret;
}

int run_dir_open(const char *id, struct run_dir *rd)
{
	int ret;

	rd->lock = -1;
	rd->path = run_dir_find(id);
	if (!rd->path)
		return -ENOENT;
	rd->id = xstrdup(strrchr(rd->path, '/') ? strrchr(rd->path, '/') + 1 : rd->path);
	ret = lock_dir(rd);
	if (ret)
		forget(rd);
	return ret;
}

void run_dir_close(struct run_dir *rd)
{
	if (rd->lock >= 0)
		close(rd->lock);
	forget(rd);
}

static int is_run(const struct dirent *d)
{
	return d->d_name[0] != '.' && strchr(d->d_name, '-');
}

/* "20260131-235959-PLAN-0a1b", as run_dir_create() names it. */
static bool is_of(const char *name, const char *plan)
{
	size_t stamp = strlen("20260131-235959-"), len = strlen(plan);

	return strlen(name) == stamp + len + strlen("-0a1b") && !strncmp(name + stamp, plan, len);
}

char *run_dir_find_of(const char *plan, const char *id)
{
	struct dirent **list;
	char *found = NULL;
	unsigned int back = 0, hits = 0, seen = 0;
	bool last = !strcmp(id, "last") || sscanf(id, "last-%u", &back) == 1;
	int n;

	if (strchr(id, '/')) {
		found = xstrdup(id);
		while (strlen(found) > 1 && found[strlen(found) - 1] == '/')
			found[strlen(found) - 1] = '\0';
		return found;
	}
	n = scandir(runs_dir(), &list, is_run, alphasort);
	for (int i = n - 1; i >= 0; i--) {
		const char *name = list[i]->d_name;

		if (last ? (!plan || is_of(name, plan)) && seen++ == back : !strncmp(name, id, strlen(id))) {
			hits++;
			free(found);
			found = xasprintf("%s/%s", runs_dir(), name);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	if (hits == 1)
		return found;
	free(found);
	if (hits)
		err("run '%s' is not unique in %s: give more of its name", id, runs_dir());
	else
		err("no run '%s'%s%s in %s; `shbench list` shows what is there", id, plan ? " of " : "", plan ? plan : "",
		    runs_dir());
	return NULL;
}

char *run_dir_find(const char *id)
{
	return run_dir_find_of(NULL, id);
}
