// SPDX-License-Identifier: GPL-2.0
/* QEMU's machine protocol, client side; see qmp.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp.h"

/* Longest line that is believed; QEMU's answers to what is asked here have a few hundred bytes. */
#define QMP_LINE_MAX	(1u << 20)

/* The id with which query-status is sent, so that its answer is known from the others. */
#define ID_STATUS	"status"
#define ID_HELLO	"hello"

static int write_line(struct qmp *q, const char *command, const char *args)
{
	const char *id = !strcmp(command, "query-status") ? ID_STATUS :
			 !strcmp(command, "qmp_capabilities") ? ID_HELLO : command;
	char *line = xasprintf("{\"execute\":\"%s\",\"id\":\"%s\"%s%s}\r\n", command, id,
			       args ? ",\"arguments\":" : "", args ? args : "");
	/* A command is far shorter than a socket's buffer: it goes whole or QEMU is not listening. */
	ssize_t n = send(q->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	int ret = n < 0 ? -errno : (size_t)n < strlen(line) ? -EAGAIN : 0;

	free(line);
	return ret;
}

static int handle(struct qmp *q, const char *line, size_t len)
{
	json_t *msg = json_loadb(line, len, 0, NULL), *ret;
	const char *event, *id;
	int err = 0;

	if (!json_is_object(msg)) {
		json_decref(msg);
		return -EPROTO;
	}
	event = json_string_value(json_object_get(msg, "event"));
	id = json_string_value(json_object_get(msg, "id"));
	ret = json_object_get(msg, "return");
	if (json_object_get(msg, "QMP")) {
		err = write_line(q, "qmp_capabilities", NULL);
	} else if (event) {
		if (q->event)
			q->event(event, json_object_get(msg, "data"), q->arg);
	} else if (ret && id && !strcmp(id, ID_HELLO)) {
		q->ready = true;
	} else if (ret && id && !strcmp(id, ID_STATUS)) {
		const char *status = json_string_value(json_object_get(ret, "status"));

		if (status && q->status)
			q->status(status, q->arg);
	}
	/* What else comes is the empty answer to, or the refusal of, a command that was worth a try. */
	json_decref(msg);
	return err;
}

int qmp_read(struct qmp *q)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = recv(q->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		char *nl;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
		if (n == 0)
			return -EPIPE;
		buf_add(&q->in, chunk, n);
		while ((nl = memchr(q->in.s, '\n', q->in.len))) {
			size_t used = nl + 1 - q->in.s;
			int ret = used > 2 ? handle(q, q->in.s, used) : 0;

			q->in.len -= used;
			memmove(q->in.s, q->in.s + used, q->in.len + 1);
			if (ret)
				return ret;
		}
		if (q->in.len > QMP_LINE_MAX)
			return -EPROTO;
	}
}

int qmp_send(struct qmp *q, const char *command, const char *args)
{
	return q->fd < 0 || !q->ready ? -ENOTCONN : write_line(q, command, args);
}

void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	q->ready = false;
	buf_free(&q->in);
}
