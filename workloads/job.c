// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the job, see job.h. Strict: a key or a value that is not known is an error, because a job that means something else than
 * what was measured is worse than no result.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

enum kind { TEXT, NUMBER, WORD, CHOICE };

struct key {
	const char *name;
	enum kind kind;
	size_t off;
	const char *words;	/* WORD: what may stand there. CHOICE: two words, stored as false and true */
};

#define AT(member) offsetof(struct job, member)

static const struct key keys[] = {
	{ "workload",	 TEXT,	 AT(workload),	  NULL },
	{ "lane",	 CHOICE, AT(icount),	  "wall icount" },
	{ "seed",	 NUMBER, AT(seed),	  NULL },
	{ "fs",		 WORD,	 AT(fs),	  "xfs btrfs" },
	{ "mode",	 WORD,	 AT(mode),	  "reflink snapshot overlay overlay-copyup copy" },
	{ "device",	 CHOICE, AT(virtio),	  "brd virtio" },
	{ "device_mb",	 NUMBER, AT(device_mb),	  NULL },
	{ "mkfs_opts",	 TEXT,	 AT(mkfs_opts),	  NULL },
	{ "mount_opts",	 TEXT,	 AT(mount_opts),  NULL },
	{ "image",	 CHOICE, AT(tar),	  "synthetic tar" },
	{ "image_files", NUMBER, AT(image_files), NULL },
	{ "image_bytes", NUMBER, AT(image_bytes), NULL },
};

bool job_size(const char *s, uint64_t *v)
{
	static const char units[] = "kMGT";
	unsigned int shift;
	const char *u;
	uint64_t n;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return false;
	if (!*end) {
		*v = n;
		return true;
	}
	u = strchr(units, *end == 'K' ? 'k' : *end);
	if (!u || end[1])
		return false;
	shift = 10 * (unsigned int)(u - units + 1);
	if (n > UINT64_MAX >> shift)
		return false;
	*v = n << shift;
	return true;
}

/* Index of word in a space-separated list, or -1. */
static int word_index(const char *words, const char *word)
{
	size_t len = strlen(word);
	int i = 0;

	for (; *words; i++) {
		size_t n = strcspn(words, " ");

		if (n == len && !memcmp(words, word, n))
			return i;
		words += n + (words[n] == ' ');
	}
	return -1;
}

static __attribute__((format(printf, 4, 5))) int bad(char *why, size_t cap, unsigned int line, const char *fmt, ...)
{
	int n = snprintf(why, cap, "job line %u: ", line);
	va_list ap;

	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < cap)
		vsnprintf(why + n, cap - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool set_key(struct job *job, const struct key *k, const char *value)
{
	void *at = (char *)job + k->off;
	int i = k->words ? word_index(k->words, value) : 0;

	if (i < 0)
		return false;
	switch (k->kind) {
	case TEXT:
	case WORD:
		*(const char **)at = value;
		return true;
	case CHOICE:
		*(bool *)at = i;
		return true;
	case NUMBER:
		return job_size(value, at);
	}
	return false;
}

/* Splits at the first blank; *rest is "" without one. */
static char *cut(char *s, char **rest)
{
	size_t n = strcspn(s, " \t");

	*rest = s + n + strspn(s + n, " \t");
	s[n] = '\0';
	return s;
}

static int parse_line(char *s, unsigned int line, struct job *job, bool *proto, char *why, size_t cap)
{
	char *rest, *name, *value;

	name = cut(s, &rest);
	if (!strcmp(name, "proto")) {
		uint64_t v;

		*proto = job_size(rest, &v) && v == JOB_PROTO;
		return *proto ? 0 : bad(why, cap, line, "proto %s, but the agent speaks %d: build both again", rest, JOB_PROTO);
	}
	if (!strcmp(name, "param")) {
		name = cut(rest, &value);
		if (!*name)
			return bad(why, cap, line, "param without a name");
		if (job->nr_params == JOB_MAX_PARAMS)
			return bad(why, cap, line, "more than %d parameters", JOB_MAX_PARAMS);
		job->params[job->nr_params++] = (struct job_param){ name, value };
		return 0;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].name, name))
			continue;
		if (!*rest)
			return bad(why, cap, line, "%s without a value", name);
		return set_key(job, &keys[i], rest) ? 0 : bad(why, cap, line, "%s cannot be \"%s\"", name, rest);
	}
	return bad(why, cap, line, "unknown key %s", name);
}

int job_parse(char *text, struct job *job, char *why, size_t cap)
{
	unsigned int line = 0;
	bool proto = false;
	char *s, *next;

	memset(job, 0, sizeof(*job));
	job->fs = "xfs";
	job->mode = "reflink";
	job->mkfs_opts = job->mount_opts = "";
	job->image_files = 64;
	job->image_bytes = 16u << 20;
	for (s = text; s; s = next) {
		size_t n;
		int err;

		line++;
		next = strchr(s, '\n');
		if (next)
			*next++ = '\0';
		s += strspn(s, " \t");
		for (n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
			s[n - 1] = '\0';
		if (!*s || *s == '#')
			continue;
		err = parse_line(s, line, job, &proto, why, cap);
		if (err)
			return err;
	}
	if (!proto)
		return bad(why, cap, line, "no proto line");
	if (!job->workload)
		return bad(why, cap, line, "no workload");
	return 0;
}
