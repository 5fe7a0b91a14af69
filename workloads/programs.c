// SPDX-License-Identifier: GPL-2.0
/* The programs, see programs.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"
#include "timing.h"

/* Generous: a kernel with all checks, under TCG, on a busy host. */
#define READY_S 600

/* A service of the ordinary kind: asynchronous, speaks HTTP with TLS, keeps data, writes a log. */
#define PYTHON_SCRIPT							\
	"import argparse,asyncio,collections,csv,ctypes,datetime,decimal,email.message,hashlib,http.server,json,logging.config,"	\
	"pathlib,random,re,shutil,socketserver,sqlite3,ssl,subprocess,tempfile,threading,unittest,urllib.request,uuid,"	\
	"xml.etree.ElementTree,zipfile\n"				\
	"print('ready',flush=True)\n"					\
	"import sys\n"							\
	"sys.stdin.read()\n"

static const char *const python_argv[] = { "/usr/bin/python3", "-c", PYTHON_SCRIPT, NULL };

static const char *const redis_argv[] = {
	"/usr/bin/redis-server", "--port", "0", "--unixsocket", "/tmp/redis.sock", "--save", "", "--appendonly", "no",
	"--daemonize", "no", "--dir", "/tmp", NULL
};

static const char *const nginx_argv[] = { "/usr/sbin/nginx", "-c", "/tmp/nginx.conf", "-e", "stderr", NULL };
static const struct container_file nginx_files[] = {
	{ "/tmp/nginx.conf",
	  "daemon off; user root; worker_processes 1; pid /tmp/nginx.pid; error_log stderr;\n"
	  "events { worker_connections 64; }\n"
	  "http {\n"
	  "	include /etc/nginx/mime.types;\n"
	  "	access_log off;\n"
	  "	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;\n"
	  "	uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;\n"
	  "	server { listen unix:/tmp/nginx.sock; root /usr/share/nginx/html; }\n"
	  "}\n" },
	{ NULL, NULL }
};

static const struct program table[PROGRAMS_MAX] = {
	{ .name = "python3", .argv = python_argv },
	{ .name = "redis", .argv = redis_argv, .socket = "/tmp/redis.sock", .request = "PING\r\n", .answer = "+PONG" },
	{ .name = "nginx", .argv = nginx_argv, .files = nginx_files, .socket = "/tmp/nginx.sock",
	  .request = "GET /index.html HTTP/1.0\r\n\r\n", .answer = "HTTP/1.1 200" },
};

/* Follows links inside the tree as far as lstat shows: a link of that name is enough. */
static bool in_image(struct tree *t, const struct program *p)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", tree_golden(t), p->argv[0]);
	return !lstat(path, &st);
}

int programs_select(struct tree *t, const char *which, const struct program **out)
{
	bool every = !strcmp(which, "all") || !strcmp(which, "rotate");
	const char *w;
	int n = 0, i;

	for (w = which; !every && *w; w += strcspn(w, ","), w += *w == ',') {
		for (i = 0; i < PROGRAMS_MAX; i++)
			if (strcspn(w, ",") == strlen(table[i].name) && !strncmp(w, table[i].name, strlen(table[i].name)))
				break;
		if (i == PROGRAMS_MAX)
			return wl_fail(t->ctx, -EINVAL, "parameter programs: \"%s\" is not all, rotate, or of python3, redis, nginx",
				       which);
	}
	for (i = 0; i < PROGRAMS_MAX; i++) {
		if (!every && !listed(which, table[i].name))
			continue;
		if (in_image(t, &table[i]))
			out[n++] = &table[i];
		else if (!every)
			return wl_skip(t->ctx, "the image has no %s", table[i].argv[0]);
	}
	return n ? n : wl_skip(t->ctx, "the image has none of the programs");
}

int program_start(struct tree *t, unsigned int k, const struct program *p, struct container *in, struct container *c)
{
	const struct container_spec spec = { .argv = p->argv, .files = p->files };

	return in ? container_exec(in, &spec, c) : container_start(t, k, &spec, c);
}

/* It has ended instead of becoming ready. */
static int ended(const struct program *p, struct container *c)
{
	char why[256];
	int status;

	snprintf(why, sizeof(why), "%s", container_complaint(c));
	if (container_wait(c, 1000, &status))
		return wl_fail(c->ctx, -EIO, "%s in container %u closed its output: %s", p->name, c->k, why);
	return wl_fail(c->ctx, -EIO, "%s in container %u ended (%s %d): %s", p->name, c->k,
		       WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		       why);
}

static int wait_line(const struct program *p, struct container *c)
{
	struct pollfd pfd = { .fd = c->out, .events = POLLIN };
	char text[64];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1) {
		if (poll(&pfd, 1, READY_S * 1000) <= 0)
			return wl_fail(c->ctx, -ETIMEDOUT, "%s in container %u is not ready after %d s", p->name, c->k, READY_S);
		n = read(c->out, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			return ended(p, c);
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, "ready\n"))
			return 0;
	}
	return wl_fail(c->ctx, -EPROTO, "%s in container %u says \"%s\"", p->name, c->k, text);
}

/* One request; true if the answer is right, else *why says what was wrong. */
static bool ask(const struct program *p, struct container *c, const char **why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = READY_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0, want = strlen(p->answer);
	char text[256] = "";
	ssize_t n;

	*why = "no connection";
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/%d/root%s", c->pid, p->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*why = "wrong answer";
	if (write(fd, p->request, strlen(p->request)) > 0)
		while (len < sizeof(text) - 1 && len < want && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
			len += (size_t)n;
	close(fd);
	return len >= want && !memcmp(text, p->answer, want);
}

int program_ready(const struct program *p, struct container *c)
{
	const char *why = "";
	unsigned int i;
	char drain[512];

	if (!p->socket)
		return wait_line(p, c);
	for (i = 0; i < READY_S * 500; i++) {
		struct pollfd pfd = { .fd = c->out, .events = POLLIN };

		if (ask(p, c, &why))
			return 0;
		/* What it prints is of no interest, but a full pipe would stop it, and a closed one is its end. */
		if (poll(&pfd, 1, 2) > 0 && read(c->out, drain, sizeof(drain)) <= 0)
			return ended(p, c);
	}
	return wl_fail(c->ctx, -ETIMEDOUT, "%s in container %u is not ready after %d s: %s", p->name, c->k, READY_S, why);
}
