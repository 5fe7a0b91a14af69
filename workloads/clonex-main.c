// SPDX-License-Identifier: GPL-2.0
/* clonex, the program: a model-based checker of files that share extents, for any file system. See clonex.h. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clonex.h"

/* These disturb all who use the file system: only if asked for. */
#define UNASKED	(1ull << CX_F_FREEZE | 1ull << CX_F_REMOUNT)

static const char doc[] =
	"Random operations on a few files in DIRECTORY that are cloned from each other; everything that is read, by whatever path, is compared "
	"with a model in memory. Ends with status 1 as soon as a byte is wrong, after it has said which, where it came from, and the "
	"shortest list of operations that it found to fail.\v"
	"The status is 2 if it could not begin. What the file system, the kernel or the user cannot do is left out, and said. SIZE may end in k "
	"or M. NAMES are separated by commas: direct falloc punch zero collapse insert unshare clone dedupe copy exchange swapext populate uring "
	"drop compact reclaim freeze remount syncfs.";

enum { KEY_MINIMIZE = 0x100, KEY_CORRUPT, KEY_WITH, KEY_WITHOUT, KEY_REPLAY, KEY_EPOCH_OPS, KEY_THREADS };

static const struct argp_option options[] = {
	{ "seed",     's', "N",     0, "of the random operations (else from the clock, and said)", 0 },
	{ "ops",      'n', "N",     0, "how many operations (k, M: thousands, millions)", 0 },
	{ "seconds",  't', "N",     0, "for how long (10, unless there is --ops)", 0 },
	{ "files",    'f', "N",     0, "how many files (6)", 0 },
	{ "size",     'l', "SIZE",  0, "how large they may become (256k)", 0 },
	{ "procs",    'p', "N",     0, "that many processes at once, whose files are read by all and cloned from each other", 0 },
	{ "threads",  KEY_THREADS, "N", 0, "and each of them with that many more threads, which only look (1)", 0 },
	{ "epoch",    'e', "N",     0, "begin with this epoch: what a failure's message names", 0 },
	{ "epoch-ops", KEY_EPOCH_OPS, "N", 0, "operations of an epoch (2000)", 0 },
	{ "replay",   KEY_REPLAY, "FILE", 0, "operations from a file, in the form in which they are printed; with --seconds again and again", 0 },
	{ "minimize", KEY_MINIMIZE, "N", 0, "seconds to look for a shorter list of operations (60)", 0 },
	{ "with",     KEY_WITH, "NAMES", 0, "use also freeze, remount (as root; unmounts the file system that DIRECTORY is in)", 0 },
	{ "without",  KEY_WITHOUT, "NAMES", 0, "do not use these", 0 },
	{ "corrupt",  KEY_CORRUPT, "N", 0, "change a byte behind the model's back as the Nth operation of each epoch: it must be found", 0 },
	{ "quiet",    'q', NULL,    0, "no progress", 0 },
	{ }
};

struct args {
	struct cx_config c;
	const char *replay;
	bool seeded, quiet;
	uint64_t with, without;
};

static bool number(const char *s, unsigned int thousand, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 0);
	if (errno || end == s || *s == '-')
		return false;
	if (*end == 'k')
		*v *= thousand, end++;
	else if (*end == 'M')
		*v *= (uint64_t)thousand * thousand, end++;
	return !*end;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	uint64_t v = 0;

	if (key == 's' || key == 't' || key == 'f' || key == 'p' || key == 'e' || key == KEY_EPOCH_OPS || key == KEY_THREADS ||
	    key == KEY_MINIMIZE || key == KEY_CORRUPT) {
		if (!number(arg, 1000, &v) || (key != 's' && key != 'e' && v > UINT32_MAX))
			argp_error(state, "\"%s\" is not a number", arg);
	}
	switch (key) {
	case 's':
		a->c.seed = v;
		a->seeded = true;
		break;
	case 'n':
		if (!number(arg, 1000, &a->c.ops) || !a->c.ops)
			argp_error(state, "--ops: \"%s\" is not a number of operations", arg);
		break;
	case 't':
		a->c.seconds = (unsigned int)v;
		break;
	case 'f':
		a->c.files = (unsigned int)v;
		break;
	case 'l':
		if (!number(arg, 1024, &v) || !v || v % CX_BLOCK || v > CX_MAX_BLOCKS * CX_BLOCK)
			argp_error(state, "--size: \"%s\" is no multiple of 4k up to 1M", arg);
		a->c.size = (uint32_t)v;
		break;
	case 'p':
		a->c.procs = (unsigned int)v;
		break;
	case 'e':
		a->c.first_epoch = v;
		break;
	case KEY_EPOCH_OPS:
		a->c.epoch = (unsigned int)v;
		break;
	case KEY_THREADS:
		a->c.threads = (unsigned int)v;
		break;
	case KEY_REPLAY:
		a->replay = arg;
		break;
	case KEY_MINIMIZE:
		a->c.minimize = (unsigned int)v;
		break;
	case KEY_WITH:
		if (!cx_features(arg, &a->with))
			argp_error(state, "--with: \"%s\": one of these is not known", arg);
		break;
	case KEY_WITHOUT:
		if (!cx_features(arg, &a->without))
			argp_error(state, "--without: \"%s\": one of these is not known", arg);
		break;
	case KEY_CORRUPT:
		a->c.corrupt = (unsigned int)v;
		break;
	case 'q':
		a->quiet = true;
		break;
	case ARGP_KEY_ARG:
		if (a->c.dir)
			argp_error(state, "one directory only");
		a->c.dir = arg;
		break;
	case ARGP_KEY_END:
		if (!a->c.dir)
			argp_error(state, "in which directory?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void say(void *arg, bool progress, const char *line)
{
	const struct args *a = arg;

	if (progress && a->quiet)
		return;
	printf("clonex: %s\n", line);
	fflush(stdout);
}

static void summary(const struct cx_config *c, const struct cx_stats *s)
{
	if (c->procs) {
		cx_say(c, "%" PRIu64 " changes, %" PRIu64 " looks in %.1f s", s->changes, s->looks, s->seconds);
		return;
	}
	cx_say(c, "%" PRIu64 " operations, %" PRIu64 " MiB compared in %.1f s: %.0f operations/s", s->ops, s->bytes >> 20, s->seconds,
	       (double)s->ops / (s->seconds > 0 ? s->seconds : 1));
	cx_say_kinds(c, s);
}

int main(int argc, char **argv)
{
	static struct args a = { .c = { .files = 6, .size = 256 * 1024, .epoch = 2000, .minimize = 60, .threads = 1, .say = say, .arg = &a } };
	static const struct argp argp = { options, parse, "DIRECTORY", doc, NULL, NULL, NULL };
	static struct cx_stats s;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (!a.seeded)
		a.c.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	if (!a.c.ops && !a.c.seconds && !a.replay)
		a.c.seconds = 10;
	a.c.without = (UNASKED & ~a.with) | a.without;
	if (a.replay)
		err = cx_replay(&a.c, a.replay, &s);
	else if (a.c.procs)
		err = cx_concurrent(&a.c, &s);
	else
		err = cx_sequential(&a.c, &s);
	if (!err)
		summary(&a.c, &s);
	return err == -EUCLEAN ? 1 : err ? 2 : 0;
}
