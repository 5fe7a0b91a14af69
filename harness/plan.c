// SPDX-License-Identifier: GPL-2.0
/* Plans and their expansion into cells; see plan.h. Nothing here boots or builds anything. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "util.h"

int parse_size(const char *s, uint64_t *v)
{
	static const char units[] = "kMGT";
	char *end;
	const char *u;
	uint64_t n;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		int c = *end == 'K' ? 'k' : *end;

		u = strchr(units, c);
		if (!u || end[1])
			return -EINVAL;
		for (; u >= units; u--) {
			if (n > UINT64_MAX >> 10)
				return -EINVAL;
			n <<= 10;
		}
	}
	*v = n;
	return 0;
}

enum kind { K_TEXT, K_UINT, K_SIZE, K_BOOL };

struct key {
	const char *name;
	enum kind kind;
	size_t off;
};

static const struct key section_keys[] = {
	{ "workload", K_TEXT, offsetof(struct section, workload) },
	{ "lane", K_TEXT, offsetof(struct section, lanes) },
	{ "fs", K_TEXT, offsetof(struct section, fss) },
	{ "mode", K_TEXT, offsetof(struct section, modes) },
	{ "image", K_TEXT, offsetof(struct section, images) },
	{ "device", K_TEXT, offsetof(struct section, device) },
	{ "device_size", K_SIZE, offsetof(struct section, device_size) },
	{ "mount", K_TEXT, offsetof(struct section, mount) },
	{ "expect", K_TEXT, offsetof(struct section, expect) },
	{ "boots", K_UINT, offsetof(struct section, boots) },
	{ "perturb", K_UINT, offsetof(struct section, perturb) },
	{ "cpus", K_UINT, offsetof(struct section, cpus) },
	{ "timeout", K_UINT, offsetof(struct section, timeout) },
	{ "mem", K_SIZE, offsetof(struct section, mem) },
	{ "shared", K_BOOL, offsetof(struct section, shared) },
	{ "peer", K_BOOL, offsetof(struct section, peer) },
	{ "kernels", K_TEXT, offsetof(struct section, kernels) },
	{ "gate", K_TEXT, offsetof(struct section, gate) },
};

static const struct key plan_keys[] = {
	{ "summary", K_TEXT, offsetof(struct plan, summary) },
	{ "kernels", K_TEXT, offsetof(struct plan, kernels) },
	{ "note", K_TEXT, offsetof(struct plan, note) },
	{ "seed", K_SIZE, offsetof(struct plan, seed) },
	{ "history", K_BOOL, offsetof(struct plan, history) },
};

/* What the INI handler works on; the first problem wins and inih tells its line. */
struct loading {
	struct plan *p;
	char *problem;
};

static int complain(struct loading *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(struct loading *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!l->problem && vasprintf(&l->problem, fmt, ap) < 0)
		l->problem = NULL;
	va_end(ap);
	return 0;
}

static int set_key(struct loading *l, const struct key *keys, size_t nr, void *base, const char *name, const char *value)
{
	const char *names[ARRAY_SIZE(section_keys) + 1] = {};
	uint64_t v;
	char *near;

	for (size_t i = 0; i < nr; i++) {
		void *p = (char *)base + keys[i].off;

		names[i] = keys[i].name;
		if (strcmp(name, keys[i].name))
			continue;
		if (!*value)
			return complain(l, "%s has no value", name);
		switch (keys[i].kind) {
		case K_TEXT: {
			/* inih's lines end at 200 characters: an indented line goes on, and comes as the same key again. */
			char *old = *(char **)p;

			*(char **)p = old ? xasprintf("%s %s", old, value) : xstrdup(value);
			free(old);
			return 1;
		}
		case K_BOOL:
			if (strcmp(value, "yes") && strcmp(value, "no"))
				return complain(l, "%s is '%s', must be yes or no", name, value);
			*(bool *)p = !strcmp(value, "yes");
			return 1;
		case K_SIZE:
		case K_UINT:
			if (parse_size(value, &v) || (keys[i].kind == K_UINT && (v > 1000000 || !v)))
				return complain(l, "%s is '%s', must be a number%s", name, value,
						keys[i].kind == K_SIZE ? ", with k, M or G if you like" : " from 1 to 1000000");
			if (keys[i].kind == K_SIZE)
				*(uint64_t *)p = v;
			else
				*(unsigned int *)p = v;
			return 1;
		}
	}
	near = near_misses(name, names);
	complain(l, "unknown key '%s'%s", name, near);
	free(near);
	return 0;
}

static void add_kv(struct kv **list, unsigned int *nr, const char *k, const char *v)
{
	*list = xrealloc(*list, (*nr + 1) * sizeof(**list));
	(*list)[*nr].k = xstrdup(k);
	(*list)[*nr].v = xstrdup(v);
	(*nr)++;
}

static int on_key(void *arg, const char *sec, const char *name, const char *value)
{
	struct loading *l = arg;
	struct plan *p = l->p;
	struct section *s;

	if (!*sec)
		return complain(l, "'%s' stands before the first [section]", name);
	if (!strcmp(sec, "plan"))
		return set_key(l, plan_keys, ARRAY_SIZE(plan_keys), p, name, value);
	s = p->nr_sections ? &p->sections[p->nr_sections - 1] : NULL;
	if (!s || strcmp(s->name, sec)) {
		for (unsigned int i = 0; i < p->nr_sections; i++)
			if (!strcmp(p->sections[i].name, sec))
				return complain(l, "section [%s] stands twice", sec);
		p->sections = xrealloc(p->sections, (p->nr_sections + 1) * sizeof(*s));
		s = &p->sections[p->nr_sections++];
		*s = (struct section){ .name = xstrdup(sec), .boots = 1, .perturb = 1, .cpus = 2, .timeout = 180,
				       .mem = 2ull << 30, .device_size = 1ull << 30 };
	}
	if (!strncmp(name, "param.", 6) && name[6])
		add_kv(&s->params, &s->nr_params, name + 6, value);
	else if (!strncmp(name, "mount.", 6) && name[6])
		add_kv(&s->mounts, &s->nr_mounts, name + 6, value);
	else
		return set_key(l, section_keys, ARRAY_SIZE(section_keys), s, name, value);
	return 1;
}

static void free_kvs(struct kv *kv, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		free(kv[i].k);
		free(kv[i].v);
	}
	free(kv);
}

void plan_override(struct plan *p, unsigned int cpus, const char *mount)
{
	for (unsigned int i = 0; i < p->nr_sections; i++) {
		struct section *s = &p->sections[i];

		if (cpus)
			s->cpus = cpus;
		if (!mount)
			continue;
		free_kvs(s->mounts, s->nr_mounts);
		s->mounts = NULL;
		s->nr_mounts = 0;
		free(s->mount);
		s->mount = *mount ? xstrdup(mount) : NULL;
	}
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (unsigned int i = 0; i < p->nr_sections; i++) {
		struct section *s = &p->sections[i];

		for (size_t k = 0; k < ARRAY_SIZE(section_keys); k++)
			if (section_keys[k].kind == K_TEXT)
				free(*(char **)((char *)s + section_keys[k].off));
		free(s->name);
		free_kvs(s->params, s->nr_params);
		free_kvs(s->mounts, s->nr_mounts);
	}
	free(p->sections);
	free(p->name);
	free(p->summary);
	free(p->kernels);
	free(p->note);
	free(p->text);
	free(p->path);
	free(p);
}

static int is_plan(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && !strcmp(d->d_name + n - 5, ".plan");
}

char **plan_names(void)
{
	char *dir = xasprintf("%s/bench", top_dir()), **names;
	struct dirent **list;
	int n = scandir(dir, &list, is_plan, alphasort);

	free(dir);
	names = xcalloc((n > 0 ? n : 0) + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		names[i] = xstrndup(list[i]->d_name, strlen(list[i]->d_name) - 5);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return names;
}

static char *plan_path(const char *name)
{
	char **names, *near, *path;
	size_t i;

	if (strchr(name, '/') || (strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".plan")))
		return xstrdup(name);
	path = xasprintf("%s/bench/%s.plan", top_dir(), name);
	if (file_exists(path))
		return path;
	free(path);
	names = plan_names();
	near = near_misses(name, (const char *const *)names);
	err("no plan '%s' in bench/%s; `shbench list` shows all", name, near);
	free(near);
	for (i = 0; names[i]; i++)
		free(names[i]);
	free(names);
	return NULL;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

/*
 * Every word of value must be one of allowed (blank separated), and stand there once: a section that follows itself is read as one
 * whose values go on.
 */
static int check_words(const struct plan *p, const struct section *s, const char *key, const char *value, const char *allowed)
{
	char *copy, *save = NULL, *all;
	int ret = 0;

	if (!value)
		return 0;
	copy = xstrdup(value);
	for (char *w = strtok_r(copy, " \t", &save); w && !ret; w = strtok_r(NULL, " \t", &save)) {
		const char *names[16] = {};
		size_t n = 0;
		char *near, *save2 = NULL;

		if (has_word(allowed, w)) {
			if (!has_word(save, w))
				continue;
			err("%s: [%s] %s: '%s' stands twice", p->path, s->name, key, w);
			ret = -EINVAL;
			break;
		}
		all = xstrdup(allowed);
		for (char *a = strtok_r(all, " ", &save2); a && n < 15; a = strtok_r(NULL, " ", &save2))
			names[n++] = a;
		near = near_misses(w, names);
		err("%s: [%s] %s: '%s' is none of: %s%s", p->path, s->name, key, w, allowed, near);
		free(near);
		free(all);
		ret = -EINVAL;
	}
	free(copy);
	return ret;
}

static int check_gates(const struct plan *p);

static int check_sections(const struct plan *p)
{
	for (unsigned int i = 0; i < p->nr_sections; i++) {
		const struct section *s = &p->sections[i];

		if (!s->workload) {
			err("%s: [%s] names no workload", p->path, s->name);
			return -EINVAL;
		}
		if (check_words(p, s, "lane", s->lanes, "wall icount") ||
		    check_words(p, s, "fs", s->fss, "xfs btrfs") ||
		    check_words(p, s, "mode", s->modes, "reflink snapshot overlay overlay-copyup copy") ||
		    check_words(p, s, "device", s->device, "brd virtio"))
			return -EINVAL;
		if (s->expect && strcmp(s->expect, "caught") && vm_verdict_by_name(s->expect) == VM_NR_VERDICTS) {
			err("%s: [%s] expect: '%s' is not a verdict", p->path, s->name, s->expect);
			return -EINVAL;
		}
		if (s->device && !strcmp(s->device, "virtio") && s->lanes && strstr(s->lanes, "icount")) {
			err("%s: [%s] the icount lane must keep all storage in guest memory: device = brd", p->path, s->name);
			return -EINVAL;
		}
	}
	return 0;
}

int plan_parse(const char *path, const char *text, struct plan **out)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	struct loading l = { .p = p };
	const char *base = strrchr(path, '/');
	int ret;

	p->path = xstrdup(path);
	p->text = xstrdup(text);
	p->seed = 1;
	base = base ? base + 1 : path;
	p->name = xstrndup(base, strcspn(base, "."));
	ret = ini_parse_string(text, on_key, &l);
	if (ret) {
		err("%s:%d: %s", p->path, ret, l.problem ? l.problem :
		    "neither [section] nor key = value; or the line before is longer than 199 characters");
		ret = -EINVAL;
	} else if (!p->nr_sections) {
		err("%s: has no section that measures anything", p->path);
		ret = -EINVAL;
	} else if (!p->kernels) {
		err("%s: [plan] names no kernels", p->path);
		ret = -EINVAL;
	} else {
		ret = check_sections(p);
		if (!ret)
			ret = check_gates(p);
	}
	free(l.problem);
	if (ret) {
		plan_free(p);
		return ret;
	}
	*out = p;
	return 0;
}

int plan_load(const char *name, struct plan **out)
{
	char *path = plan_path(name), *text;
	int ret;

	if (!path)
		return -ENOENT;
	ret = read_file(path, &text, NULL);
	if (ret) {
		err("plan %s: %s", path, strerror(-ret));
	} else {
		ret = plan_parse(path, text, out);
		free(text);
	}
	free(path);
	return ret;
}

int plan_check(const struct plan *p, const json_t *describe)
{
	json_t *list = json_object_get(describe, "workloads"), *w, *q;
	size_t nr = json_array_size(list), i, k;
	const char **names = xcalloc(nr + 1, sizeof(*names));
	int ret = 0;

	json_array_foreach(list, i, w)
		names[i] = json_string_value(json_object_get(w, "name"));
	for (unsigned int n = 0; n < p->nr_sections && !ret; n++) {
		const struct section *s = &p->sections[n];
		json_t *found = NULL;
		const char **pn;
		char *near;

		json_array_foreach(list, i, w)
			if (!strcmp(names[i], s->workload))
				found = w;
		if (!found) {
			near = near_misses(s->workload, names);
			err("%s: [%s] unknown workload '%s'%s", p->path, s->name, s->workload, near);
			free(near);
			ret = -EINVAL;
			break;
		}
		found = json_object_get(found, "params");
		pn = xcalloc(json_array_size(found) + 1, sizeof(*pn));
		json_array_foreach(found, i, q)
			pn[i] = json_string_value(json_object_get(q, "name"));
		for (unsigned int j = 0; j < s->nr_params && !ret; j++) {
			for (k = 0; pn[k] && strcmp(pn[k], s->params[j].k); k++)
				;
			if (pn[k])
				continue;
			near = near_misses(s->params[j].k, pn);
			err("%s: [%s] workload %s has no parameter '%s'%s", p->path, s->name, s->workload,
			    s->params[j].k, near);
			free(near);
			ret = -EINVAL;
		}
		free(pn);
	}
	free(names);
	return ret;
}

int plan_each_kernel(const char *kernels, int (*fn)(const char *name, const char *label, void *arg), void *arg)
{
	char *copy = xstrdup(kernels), *save = NULL;
	int ret = 0;

	for (char *w = strtok_r(copy, " \t,", &save); w && !ret; w = strtok_r(NULL, " \t,", &save)) {
		char *label = strchr(w, ':');

		if (label)
			*label++ = '\0';
		ret = fn(w, label && *label ? label : w, arg);
	}
	free(copy);
	return ret;
}

#define MAX_KERNELS	48
/* Gates have kernels, and labels, of their own. */
#define GATE		"gate-"

struct names {
	char *name[MAX_KERNELS], *label[MAX_KERNELS];
	size_t nr;
};

static int take_kernel(struct names *n, const char *name, char *label)
{
	if (n->nr == ARRAY_SIZE(n->name)) {
		err("more than %zu kernels in one run", ARRAY_SIZE(n->name));
		free(label);
		return -EINVAL;
	}
	n->name[n->nr] = xstrdup(name);
	n->label[n->nr++] = label;
	return 0;
}

static int add_kernel(const char *name, const char *label, void *arg)
{
	struct names *n = arg;

	for (size_t i = 0; i < n->nr; i++)
		if (!strcmp(n->label[i], label)) {
			err("kernel label '%s' stands twice; give it another: %s:%s-2", label, name, label);
			return -EINVAL;
		}
	return take_kernel(n, name, xstrdup(label));
}

static int add_gate_kernel(const char *name, const char *label, void *arg)
{
	return take_kernel(arg, name, xasprintf(GATE "%s", label));
}

/* The same label in two gates is the same kernel. */
static int add_gate_kernel_once(const char *name, const char *label, void *arg)
{
	struct names *n = arg;

	for (size_t i = 0; i < n->nr; i++)
		if (!strcmp(n->label[i] + strlen(GATE), label)) {
			if (!strcmp(n->name[i], name))
				return 0;
			err("gate: the label '%s' stands for %s here and for %s elsewhere", label, name, n->name[i]);
			return -EINVAL;
		}
	return add_gate_kernel(name, label, arg);
}

static void names_free(struct names *n)
{
	for (size_t i = 0; i < n->nr; i++) {
		free(n->name[i]);
		free(n->label[i]);
	}
	n->nr = 0;
}

int plan_each_gate_kernel(const struct plan *p, int (*fn)(const char *name, const char *label, void *arg), void *arg)
{
	struct names n = {};
	int ret = 0;

	for (unsigned int i = 0; i < p->nr_sections && !ret; i++)
		if (p->sections[i].gate)
			ret = plan_each_kernel(p->sections[i].kernels, add_gate_kernel_once, &n);
	for (size_t i = 0; i < n.nr && !ret; i++)
		ret = fn(n.name[i], n.label[i], arg);
	names_free(&n);
	return ret;
}

/* One section's gates. */
static int each_gate(const struct section *s, int (*fn)(const struct section *s, const char *base, const char *label, const char *want,
							  const char *metric, void *arg), void *arg)
{
	char *copy = xstrdup(s->gate), *save = NULL, *base, *label;
	struct names n = {};
	int ret = plan_each_kernel(s->kernels, add_gate_kernel, &n);

	base = ret || !n.nr ? NULL : n.label[0];
	for (char *w = base ? strtok_r(copy, " \t", &save) : NULL; w && !ret; w = strtok_r(NULL, " \t", &save)) {
		char *want = strchr(w, ':'), *metric = want ? strchr(want + 1, ':') : NULL;

		if (want)
			*want++ = '\0';
		if (metric)
			*metric++ = '\0';
		label = xasprintf(GATE "%s", w);
		ret = fn(s, base, label, want ? want : "", metric ? metric : "", arg);
		free(label);
	}
	names_free(&n);
	free(copy);
	return ret;
}

int plan_each_gate(const struct plan *p, int (*fn)(const struct section *s, const char *base, const char *label, const char *want,
						     const char *metric, void *arg), void *arg)
{
	int ret = 0;

	for (unsigned int i = 0; i < p->nr_sections && !ret; i++)
		if (p->sections[i].gate)
			ret = each_gate(&p->sections[i], fn, arg);
	return ret;
}

struct gate_check {
	const struct plan *p;
	unsigned int nr;
};

static int has_kernel(const char *name, const char *label, void *arg)
{
	(void)name;
	return !strcmp(label, arg);
}

static int check_gate(const struct section *s, const char *base, const char *label, const char *want, const char *metric, void *arg)
{
	struct gate_check *c = arg;

	(void)metric;
	c->nr++;
	if (strcmp(want, "unchanged") && strcmp(want, "regressed") && strcmp(want, "improved")) {
		err("%s: [%s] gate: '%s' is not LABEL:unchanged, LABEL:regressed or LABEL:improved", c->p->path, s->name,
		    *want ? want : label + strlen(GATE));
		return -EINVAL;
	}
	if (!strcmp(label, base) || !plan_each_kernel(s->kernels, has_kernel, (void *)(label + strlen(GATE)))) {
		err("%s: [%s] gate: '%s' is %s of this section's kernels", c->p->path, s->name, label + strlen(GATE),
		    strcmp(label, base) ? "none" : "the first");
		return -EINVAL;
	}
	return 0;
}

/* Whether the gates make sense. */
static int check_gates(const struct plan *p)
{
	struct gate_check c = { .p = p };
	int ret;

	for (unsigned int i = 0; i < p->nr_sections; i++)
		if (!p->sections[i].kernels != !p->sections[i].gate) {
			err("%s: [%s] a gate has both: kernels = and gate =", p->path, p->sections[i].name);
			return -EINVAL;
		}
	ret = plan_each_gate(p, check_gate, &c);
	return ret;
}

/* Splits a blank-separated list into at most 16 words of buf. */
static size_t words(char *buf, char *w[16])
{
	char *save = NULL;
	size_t n = 0;

	for (char *t = strtok_r(buf, " \t", &save); t && n < 16; t = strtok_r(NULL, " \t", &save))
		w[n++] = t;
	return n;
}

static void cell_id(struct cell *c)
{
	struct buf b = {};
	char hex[65];

	buf_printf(&b, "%s|%s|%d|%s|%s|%s|%u|%u|%d|%llu|%llu|%u|%llu|%s|%s", c->label, c->s->workload, c->lane, c->fs, c->mode,
		   c->image, c->boot, c->perturbation, c->selfcheck, (unsigned long long)c->seed,
		   (unsigned long long)c->s->mem, c->s->cpus, (unsigned long long)c->s->device_size, c->s->name,
		   c->s->mount ? c->s->mount : "");
	for (unsigned int i = 0; i < c->s->nr_params; i++)
		buf_printf(&b, "|%s=%s", c->s->params[i].k, c->s->params[i].v);
	sha256_hex(b.s, b.len, hex);
	memcpy(c->id, hex, 12);
	c->id[12] = '\0';
	buf_free(&b);
}

struct expansion {
	const struct plan *p;
	struct names kernels;
	struct cell *cells;
	size_t nr;
};

static void add_cell(struct expansion *e, struct cell c, const struct names *kernels, size_t kernel)
{
	c.label = xstrdup(kernels->label[kernel]);
	c.kernel = xstrdup(kernels->name[kernel]);
	c.fs = xstrdup(c.fs);
	c.mode = xstrdup(c.mode);
	c.image = xstrdup(c.image);
	/* Same seed for every kernel: a pair differs in the kernel and in nothing else. */
	c.seed = e->p->seed + c.boot;
	cell_id(&c);
	e->cells = xrealloc(e->cells, (e->nr + 1) * sizeof(c));
	e->cells[e->nr++] = c;
}

static int expand_section(struct expansion *e, const struct section *s)
{
	char *lane_buf = xstrdup(s->lanes ? s->lanes : "wall"), *fs_buf = xstrdup(s->fss ? s->fss : "xfs");
	char *mode_buf = xstrdup(s->modes ? s->modes : "reflink");
	char *image_buf = xstrdup(s->images ? s->images : "synthetic");
	char *lanes[16], *fss[16], *modes[16], *images[16];
	size_t nl = words(lane_buf, lanes), nf = words(fs_buf, fss), nm = words(mode_buf, modes), ni = words(image_buf, images);
	struct names own = {}, *kernels = s->gate ? &own : &e->kernels;
	bool same_kernel = false, checked = false;
	size_t nr_kernels;
	int ret = s->gate ? plan_each_kernel(s->kernels, add_gate_kernel, &own) : 0;

	nr_kernels = s->peer ? 1 : kernels->nr;
	for (size_t i = 0; i < nr_kernels; i++)
		for (size_t j = 0; j < i; j++)
			if (!strcmp(kernels->name[i], kernels->name[j]))
				same_kernel = true;
	for (unsigned int boot = 0; boot < s->boots && !ret; boot++)
		for (size_t x = 0; x < nl * nf * nm * ni && !ret; x++) {
			const char *lane = lanes[x % nl];
			struct cell c = { .s = s, .boot = boot, .fs = fss[x / nl % nf], .mode = modes[x / nl / nf % nm],
					  .image = images[x / nl / nf / nm],
					  .lane = strcmp(lane, "icount") ? LANE_WALL : LANE_ICOUNT };
			unsigned int layouts = c.lane == LANE_ICOUNT ? s->perturb : 1;

			/* Instruction counts repeat exactly; more boots of the same would say nothing. */
			if (c.lane == LANE_ICOUNT && boot)
				continue;
			if (!strcmp(c.mode, "snapshot") && strcmp(c.fs, "btrfs")) {
				if (nf == 1 && nm == 1) {
					err("%s: [%s] mode snapshot needs fs = btrfs", e->p->path, s->name);
					ret = -EINVAL;
				}
				continue;
			}
			for (unsigned int l = 0; l < layouts; l++)
				for (size_t k = 0; k < nr_kernels; k++) {
					c.perturbation = l;
					add_cell(e, c, kernels, (boot + l) & 1 ? nr_kernels - 1 - k : k);
				}
			if (c.lane == LANE_ICOUNT && !same_kernel && !checked) {
				c.perturbation = 0;
				c.selfcheck = checked = true;
				add_cell(e, c, kernels, 0);
			}
		}
	free(lane_buf);
	free(fs_buf);
	free(mode_buf);
	free(image_buf);
	names_free(&own);
	return ret;
}

int plan_expand(const struct plan *p, const char *kernels, struct cell **cells, size_t *nr)
{
	struct expansion e = { .p = p };
	int ret = plan_each_kernel(kernels ? kernels : p->kernels, add_kernel, &e.kernels);

	if (!ret && !e.kernels.nr) {
		err("%s: no kernels to measure; see `shbench list`", p->path);
		ret = -EINVAL;
	}
	for (unsigned int i = 0; i < p->nr_sections && !ret; i++)
		ret = expand_section(&e, &p->sections[i]);
	names_free(&e.kernels);
	if (ret) {
		cells_free(e.cells, e.nr);
		return ret;
	}
	*cells = e.cells;
	*nr = e.nr;
	return 0;
}

char *cell_place(const struct cell *c)
{
	return xasprintf("%s/%s/%s/%s/%s", c->s->name, c->lane == LANE_ICOUNT ? "icount" : "wall", c->fs, c->mode, c->image);
}

void cells_free(struct cell *cells, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		free(cells[i].label);
		free(cells[i].kernel);
		free(cells[i].fs);
		free(cells[i].mode);
		free(cells[i].image);
	}
	free(cells);
}
