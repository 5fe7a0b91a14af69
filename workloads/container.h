/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Containers: a process, or several, with one clone of the tree as root, in a cgroup and in mount, PID, IPC and UTS
 * name spaces of its own. What runs in it is a program of the image or a function of the agent.
 *
 * Each has /proc, a tmpfs on /tmp and a small /dev. There is no network name space: programs talk through sockets in /tmp,
 * which the agent reaches by /proc/PID/root.
 */
#ifndef SHCACHE_CONTAINER_H
#define SHCACHE_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tree.h"
#include "workload.h"

/* All containers' cgroups are below this one: limits for all of them go here. */
#define CONTAINER_CGROUP "/sys/fs/cgroup/containers"

struct container_file {
	const char *path, *text;	/* written before the program starts; path NULL ends the list */
};

struct container_spec {
	const char *const *argv;		/* a program of the image ... */
	const struct container_file *files;	/* ... and what it needs below /tmp, may be NULL */
	int (*fn)(void *arg);			/* or a function; its return value becomes the exit status */
	void *arg;
};

struct container {
	struct wl_ctx *ctx;
	unsigned int k;			/* of tree_root() */
	pid_t pid;			/* first process; 0: not running */
	bool joined;			/* by container_exec(): has no cgroup of its own */
	int in, out, err;		/* the process' standard input and output (pipes) and errors (a memory file) */
	char cgroup[64];
};

/*
 * Starts a container on clone k and returns when its root is made and its program was executed or its function entered.
 * Returns 0 or -errno after wl_fail().
 */
int container_start(struct tree *t, unsigned int k, const struct container_spec *spec, struct container *c);
/* One process more in a running container, with its own standard input and output; to be stopped before the container. */
int container_exec(struct container *in, const struct container_spec *spec, struct container *c);
/* Waits for the end of the first process. Returns 0 with *status as of waitpid(), -ETIMEDOUT, or -errno. */
int container_wait(struct container *c, unsigned int timeout_ms, int *status);
/* Kills all of its processes, reaps them, removes the cgroup. Harmless on one that is not running. */
void container_stop(struct container *c);
/* The last line of what the program wrote to its standard error; "" if nothing. Static. */
const char *container_complaint(struct container *c);

/*
 * Orders to a function in a container: the agent sends one, the function takes it, works, answers. container_send() to many
 * and then container_receive() from each lets them work at the same time.
 */
struct order {
	uint32_t what, arg;
};
struct answer {
	int32_t err;		/* 0 or -errno */
	uint64_t v[4];
};
int container_send(struct container *c, uint32_t what, uint32_t arg);
int container_receive(struct container *c, struct answer *a);
/* Inside: waits for the next order; false: there will be none. */
bool container_next(struct order *o);
void container_answer(const struct answer *a);

/* One number of a file of a cgroup: a line "key N", or the whole file if key is NULL. 0 if it is not there. */
uint64_t cgroup_value(const char *cgroup, const char *file, const char *key);
/* Makes the common parent; container_start() does it as well. */
int cgroup_parent(struct wl_ctx *ctx);
int cgroup_write(struct wl_ctx *ctx, const char *cgroup, const char *file, const char *text);

#endif
