// SPDX-License-Identifier: GPL-2.0
/* The record stream, host side; see channel.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "record.h"

/* The fields that every record of a type has; a record may have more. */
static const struct shape {
	const char *type;
	const char *kinds;		/* one letter for each field, see has_kind() */
	const char *fields[3];
} shapes[] = {
	{ "hello",	"ii",	{ "proto", "cpus" } },
	{ "progress",	"FF",	{ "done", "total" } },
	{ "info",	"ss",	{ "k", "v" } },
	{ "sample",	"sFx",	{ "m", "v", "x" } },
	{ "hist",	"sxo",	{ "m", "x", "h" } },
	{ "check",	"sb",	{ "name", "ok" } },
	{ "blob",	"s*",	{ "k", "v" } },
	{ "result",	"s",	{ "status" } },
	{ "done",	"i",	{ "records" } },
};

static bool has_kind(const json_t *v, char kind)
{
	const char *key;
	json_t *item;

	switch (kind) {
	case 's':
		return json_is_string(v);
	case 'i':
		return json_is_integer(v);
	case 'F':
		return json_is_number(v);
	case 'b':
		return json_is_boolean(v);
	case 'o':
		return json_is_object(v);
	case 'x':	/* coordinates: an object of strings */
		if (!json_is_object(v))
			return false;
		json_object_foreach((json_t *)v, key, item)
			if (!json_is_string(item))
				return false;
		return true;
	default:	/* any value */
		return v;
	}
}

static int fail(struct channel *c, const char *what)
{
	c->error = xasprintf("record %lu: %s", c->seq, what);
	return -EPROTO;
}

static int check_shape(struct channel *c, const json_t *rec, const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];

		if (strcmp(s->type, type))
			continue;
		for (size_t k = 0; s->kinds[k]; k++)
			if (!has_kind(json_object_get(rec, s->fields[k]), s->kinds[k])) {
				c->error = xasprintf("record %lu: %s without a valid \"%s\"", c->seq, type, s->fields[k]);
				return -EPROTO;
			}
		return 0;
	}
	c->error = xasprintf("record %lu: unknown type \"%s\"; agent and harness differ", c->seq, type);
	return -EPROTO;
}

static const char *text(const json_t *rec, const char *key)
{
	const char *s = json_string_value(json_object_get(rec, key));

	return s ? s : "";
}

static int on_hello(struct channel *c, const json_t *rec)
{
	if (json_integer_value(json_object_get(rec, "proto")) != REC_PROTO)
		return fail(c, "the agent speaks another version of the protocol; rebuild it");
	c->hello = true;
	return 0;
}

static int on_check(struct channel *c, const json_t *rec)
{
	if (json_is_true(json_object_get(rec, "ok")))
		return 0;
	c->failed_checks++;
	if (!c->failed_check)
		c->failed_check = xasprintf("%s: %s", text(rec, "name"), text(rec, "detail"));
	return 0;
}

static int on_result(struct channel *c, const json_t *rec)
{
	const char *status = text(rec, "status");

	if (c->status)
		return fail(c, "a second result");
	if (strcmp(status, "pass") && strcmp(status, "fail") && strcmp(status, "skip"))
		return fail(c, "result is none of pass, fail, skip");
	c->status = xstrdup(status);
	c->status_why = xstrdup(text(rec, "why"));
	return 0;
}

static int on_done(struct channel *c, const json_t *rec)
{
	if (!c->status)
		return fail(c, "done without a result");
	if (json_integer_value(json_object_get(rec, "records")) != (json_int_t)c->seq)
		return fail(c, "done counts other records than have come");
	c->done = true;
	return 0;
}

static const struct {
	const char *type;
	int (*handle)(struct channel *c, const json_t *rec);
} handlers[] = {
	{ "hello",	on_hello },
	{ "check",	on_check },
	{ "result",	on_result },
	{ "done",	on_done },
};

static int on_line(struct channel *c, const char *line, size_t len)
{
	const char *payload, *why, *type;
	json_t *rec;
	size_t plen;
	int ret;

	if (c->done)
		return fail(c, "comes after done");
	if (rec_parse(line, len, c->seq, &payload, &plen, &why))
		return fail(c, why);
	rec = json_loadb(payload, plen, JSON_REJECT_DUPLICATES, NULL);
	type = json_string_value(json_object_get(rec, "t"));
	if (!type)
		ret = fail(c, "payload is not a JSON object with a type");
	else if (c->hello != (strcmp(type, "hello") != 0))
		ret = fail(c, c->hello ? "a second hello" : "the first one is not hello");
	else
		ret = check_shape(c, rec, type);
	for (size_t i = 0; !ret && i < ARRAY_SIZE(handlers); i++)
		if (!strcmp(handlers[i].type, type))
			ret = handlers[i].handle(c, rec);
	if (!ret) {
		c->seq++;
		json_array_append(c->records, rec);
		if (c->record)
			c->record(rec, c->arg);
	}
	json_decref(rec);
	return ret;
}

void channel_init(struct channel *c)
{
	memset(c, 0, sizeof(*c));
	c->records = json_array();
}

int channel_feed(struct channel *c, const char *data, size_t len)
{
	int n = 0;

	if (c->error)
		return -EPROTO;
	c->bytes += len;
	if (c->bytes > CHANNEL_MAX)
		return fail(c, "flood: more than 32 MiB of records");
	while (len) {
		const char *nl = memchr(data, '\n', len);
		size_t part = nl ? (size_t)(nl - data) : len;
		int ret;

		if (c->partial.len + part > REC_MAX + REC_OVERHEAD)
			return fail(c, "longer than a record can be");
		if (!nl) {
			buf_add(&c->partial, data, part);
			break;
		}
		/* The usual case is a whole line: no copy. */
		if (c->partial.len) {
			buf_add(&c->partial, data, part);
			ret = on_line(c, c->partial.s, c->partial.len);
			c->partial.len = 0;
		} else {
			ret = on_line(c, data, part);
		}
		if (ret)
			return ret;
		n++;
		data = nl + 1;
		len -= part + 1;
	}
	return n;
}

int channel_end(struct channel *c)
{
	if (c->error)
		return -EPROTO;
	return c->partial.len ? fail(c, "truncated: the stream ends inside it") : 0;
}

void channel_free(struct channel *c)
{
	buf_free(&c->partial);
	json_decref(c->records);
	free(c->status);
	free(c->status_why);
	free(c->failed_check);
	free(c->error);
	memset(c, 0, sizeof(*c));
}
