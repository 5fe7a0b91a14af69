// SPDX-License-Identifier: GPL-2.0
/*
 * The driver; see run.h. Each boot is carried out by a child process of its own, which leaves one file, cells/ID.json; so
 * boots can run side by side, a crash costs one boot, and what is there need not be done again when a run is resumed.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "gate.h"
#include "history.h"
#include "image.h"
#include "kernel.h"
#include "plan.h"
#include "profile-run.h"
#include "run.h"
#include "shard.h"
#include "store.h"
#include "util.h"

/* What a run may take of the host's memory, in MiB. */
#define HOST_MEM_MB	(12u << 10)
/* A debug kernel under TCG is about this much slower than the lean one. */
#define DEBUG_SLOWDOWN	4
/* A guest whose watchdog spoke while QEMU had less than this share of a processor is booted again, so often. */
#define STARVED_SHARE	0.5
#define STARVED_BOOTS	3

struct kernel {
	char *label;
	struct kernel_build b;
};

struct session {
	const struct run_options *ro;
	struct plan *plan;
	json_t *describe;
	char *agent;
	struct kernel *kernels;
	size_t nr_kernels, nr_main;	/* the gate's kernels come last */
	struct image *images;
	size_t nr_images;
	struct accel_answer accel;
	char *qemu_version;
	struct cell *cells;
	size_t nr_cells;		/* to be carried out ... */
	size_t nr_all;			/* ... of these (--cell) */
	struct run_dir rd;
	json_t *inputs;
	double load_before[3];
	double prepare_s;		/* from the run's beginning to the first boot */
	char created[32];
	char durations_hash[65];	/* --shard */
};

char *agent_path(void)
{
	return xasprintf("%s/build/agent", top_dir());
}

json_t *agent_describe(void)
{
	char *agent = agent_path();
	const char *argv[] = { agent, "--describe", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	json_error_t e;
	json_t *v = NULL;
	int ret = run_cmd(argv, &ro);

	if (ret)
		err("%s --describe failed (%d): build it with `make`", agent, ret);
	else if (!(v = json_loads(out.s ? out.s : "", 0, &e)))
		err("%s --describe: %s at line %d", agent, e.text, e.line);
	buf_free(&out);
	free(agent);
	return v;
}

/* --- what a run needs: kernels, images, accelerator ------------------------------------------------------------------- */

static const struct kernel *kernel_by_label(const struct session *s, const char *label)
{
	for (size_t i = 0; i < s->nr_kernels; i++)
		if (!strcmp(s->kernels[i].label, label))
			return &s->kernels[i];
	return NULL;
}

static int need_kernel(const char *name, const char *label, void *arg)
{
	struct session *s = arg;
	struct kernel *k;
	int ret;

	s->kernels = xrealloc(s->kernels, (s->nr_kernels + 1) * sizeof(*k));
	k = &s->kernels[s->nr_kernels];
	memset(k, 0, sizeof(*k));
	ret = kernel_get(name, &k->b);
	if (ret)
		return ret;
	k->label = xstrdup(label);
	s->nr_kernels++;
	return 0;
}

static const struct image *image_by_name(const struct session *s, const char *name)
{
	for (size_t i = 0; i < s->nr_images; i++)
		if (!strcmp(s->images[i].name, name))
			return &s->images[i];
	return NULL;
}

static int need_images(struct session *s)
{
	for (size_t i = 0; i < s->nr_cells; i++) {
		int ret;

		if (image_by_name(s, s->cells[i].image))
			continue;
		s->images = xrealloc(s->images, (s->nr_images + 1) * sizeof(*s->images));
		memset(&s->images[s->nr_images], 0, sizeof(*s->images));
		ret = image_get(s->cells[i].image, s->kernels[0].b.bzimage, &s->images[s->nr_images]);
		if (ret)
			return ret;
		s->nr_images++;
	}
	return 0;
}

static int probe(struct session *s)
{
	char *initrd = xasprintf("%s/probe-%d.cpio", cache_dir(), getpid());
	int ret = initrd_build(initrd, s->agent, "proto 1\nworkload canary\nlane wall\nseed 1\n", NULL, NULL);

	if (!ret)
		ret = accel_probe(NULL, s->kernels[0].b.bzimage, initrd, s->ro->accel, &s->accel);
	unlink(initrd);
	free(initrd);
	if (!ret && s->accel.accel == ACCEL_TCG)
		note("accelerator: tcg: %s", s->accel.why);
	return ret;
}

/* --- one boot, in a child ---------------------------------------------------------------------------------------------- */

/* Sent by the children over one pipe; shorter than PIPE_BUF, so never torn. */
struct tick {
	size_t cell;
	double done, total;
	char what[48];
};

struct feed {
	int fd;
	size_t cell;
};

static void on_record(const json_t *rec, void *arg)
{
	const struct feed *f = arg;
	const char *t = json_string_value(json_object_get(rec, "t"));
	const char *what = json_string_value(json_object_get(rec, "what"));
	struct tick k = { .cell = f->cell };

	if (!t || strcmp(t, "progress"))
		return;
	k.done = json_number_value(json_object_get(rec, "done"));
	k.total = json_number_value(json_object_get(rec, "total"));
	snprintf(k.what, sizeof(k.what), "%s", what ? what : "");
	if (write(f->fd, &k, sizeof(k)) < 0)
		return;		/* nobody looks */
}

/* A step on the way to a kernel (NAME@5) is mounted like that kernel. */
static const char *section_mount(const struct cell *c)
{
	size_t name = strcspn(c->label, "@");

	for (unsigned int i = 0; i < c->s->nr_mounts; i++)
		if (!strcmp(c->s->mounts[i].k, c->label) ||
		    (c->label[name] && strlen(c->s->mounts[i].k) == name && !strncmp(c->s->mounts[i].k, c->label, name)))
			return c->s->mounts[i].v;
	return c->s->mount;
}

static bool on_brd(const struct cell *c)
{
	return c->s->device ? !strcmp(c->s->device, "brd") : c->lane == LANE_ICOUNT;
}

static char *job_text(const struct cell *c, const struct image *img)
{
	struct buf b = {};
	const char *mount = section_mount(c);

	buf_printf(&b, "proto 1\nworkload %s\nlane %s\nseed %llu\nfs %s\nmode %s\ndevice %s\ndevice_mb %llu\n", c->s->workload,
		   c->lane == LANE_ICOUNT ? "icount" : "wall", (unsigned long long)c->seed, c->fs, c->mode,
		   on_brd(c) ? "brd" : "virtio", (unsigned long long)(c->s->device_size >> 20));
	if (mount)
		buf_printf(&b, "mount_opts %s\n", mount);
	if (img->synthetic)
		buf_printf(&b, "image synthetic\nimage_files %u\nimage_bytes %llu\n", img->files,
			   (unsigned long long)img->bytes);
	else
		buf_str(&b, "image tar\n");
	for (unsigned int i = 0; i < c->s->nr_params; i++)
		buf_printf(&b, "param %s %s\n", c->s->params[i].k, c->s->params[i].v);
	return b.s;
}

/* The workload's tools as the agent declares them, plus mkfs for the cell's file system. */
static char *tools_of(const struct session *s, const struct cell *c)
{
	json_t *w;
	size_t i;
	const char *t = NULL;

	json_array_foreach(json_object_get(s->describe, "workloads"), i, w)
		if (!strcmp(json_string_value(json_object_get(w, "name")), c->s->workload))
			t = json_string_value(json_object_get(w, "tools"));
	return xasprintf("mkfs.%s%s%s", c->fs, t && *t ? " " : "", t ? t : "");
}

static unsigned int cell_mem_mb(const struct cell *c)
{
	/* Layout perturbations: odd ones take RAM away, even ones lengthen the command line. */
	return (c->s->mem >> 20) - (c->perturbation & 1 ? 16 * ((c->perturbation + 1) / 2) : 0);
}

static char *cell_cmdline(const struct cell *c, const struct kernel *k)
{
	char *common = run_cmdline(&k->b);
	struct buf b = {};

	buf_str(&b, common);
	free(common);
	if (on_brd(c))
		buf_printf(&b, "%sbrd.rd_nr=1 brd.rd_size=%llu", b.len ? " " : "", (unsigned long long)(c->s->device_size >> 10));
	/* Where mappings lie decides how many page tables there are; among boots that are timed it shall vary. */
	if (c->s->shared)
		buf_printf(&b, "%snorandmaps", b.len ? " " : "");
	if (c->perturbation && !(c->perturbation & 1))
		buf_printf(&b, " perturb=%.*s", (int)(8 * c->perturbation), "................................................................");
	return b.s;
}

/* What the command line changes in all sections, as it says it; "" for nothing. */
static char *override_text(const struct run_options *ro)
{
	char *cpus = ro->cpus ? xasprintf(" --cpus %u", ro->cpus) : xstrdup("");
	char *s = xasprintf("%s%s%s", cpus, ro->mount ? " --mount " : "", ro->mount ? ro->mount : "");

	free(cpus);
	return s;
}

static json_t *cell_head(const struct session *s, const struct cell *c)
{
	const struct image *img = image_by_name(s, c->image);
	const struct kernel *k = kernel_by_label(s, c->label);
	json_t *params = json_object(), *o;
	char *command, *place, *seed, *others;
	const char *quote;

	for (unsigned int i = 0; i < c->s->nr_params; i++)
		json_object_set_new(params, c->s->params[i].k, json_string(c->s->params[i].v));
	o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:i,s:i,s:i,s:i,s:b,s:b,s:I}", "id", c->id, "section",
		      c->s->name, "kernel", c->label, "kernel_id", k->b.id, "workload", c->s->workload, "lane",
		      c->lane == LANE_ICOUNT ? "icount" : "wall", "fs", c->fs, "mode", c->mode, "image", c->image,
		      "image_hash", img->hash ? img->hash : "", "image_note", img->note ? img->note : "", "mount",
		      section_mount(c) ? section_mount(c) : "", "params", params, "mem_mb", cell_mem_mb(c), "cpus",
		      c->lane == LANE_ICOUNT ? 1 : c->s->cpus, "boot", c->boot, "perturbation", c->perturbation, "selfcheck",
		      c->selfcheck, "peer", c->s->peer, "seed", (json_int_t)c->seed);
	quote = s->ro->kernels && strchr(s->ro->kernels, ' ') ? "'" : "";
	seed = s->ro->seed ? xasprintf(" --seed %llu", s->ro->seed) : xstrdup("");
	others = override_text(s->ro);
	command = xasprintf("./shbench run %s%s%s%s%s%s%s", s->ro->plan, seed, others, s->ro->kernels ? " -k " : "", quote,
			    s->ro->kernels ? s->ro->kernels : "", quote);
	free(others);
	free(seed);
	json_object_set_new(o, "reproduce", json_sprintf("%s --cell %s", command, c->id));
	if (c->s->gate)
		json_object_set_new(o, "gate", json_true());
	/* All boots of this place with all kernels: what gives a row of a comparison again. */
	place = cell_place(c);
	json_object_set_new(o, "reproduce_row", json_sprintf("%s --only %s", command, place));
	free(place);
	free(command);
	return o;
}

/* Sorts the records of a boot into the lists that a run document has. */
static void add_records(json_t *o, const json_t *records)
{
	static const struct {
		const char *type, *list;
	} lists[] = { { "sample", "samples" }, { "hist", "hists" }, { "check", "checks" }, { "blob", "blobs" } };
	json_t *infos = json_object(), *rec;
	size_t i;

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		json_object_set_new(o, lists[l].list, json_array());
	json_array_foreach((json_t *)records, i, rec) {
		const char *t = json_string_value(json_object_get(rec, "t"));

		if (!t)
			continue;
		if (!strcmp(t, "info"))
			json_object_set(infos, json_string_value(json_object_get(rec, "k")), json_object_get(rec, "v"));
		if (!strcmp(t, "hello"))
			json_object_set(o, "guest", rec);
		for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
			if (!strcmp(t, lists[l].type)) {
				json_t *copy = json_copy(rec);

				json_object_del(copy, "t");
				json_array_append_new(json_object_get(o, lists[l].list), copy);
			}
	}
	json_object_set_new(o, "infos", infos);
}

char *run_cmdline(const struct kernel_build *k)
{
	struct buf b = {};

	buf_printf(&b, "%s", k->cmdline ? k->cmdline : "");
	/*
	 * Under TCG on a busy host two CPUs that wait for each other in a loop (stop_machine(), when the clock source is chosen) get
	 * nowhere for a minute. That is no lockup of the kernel's.
	 */
	if (strstr(k->name, "+debug"))
		buf_printf(&b, "%swatchdog_thresh=60 workqueue.watchdog_thresh=180 rcupdate.rcu_cpu_stall_timeout=180 "
			   "sysctl.kernel.hung_task_timeout_secs=180", b.len ? " " : "");
	return b.s;
}

/* How much longer things take on a host that others use: what is ready to run for each processor, at least 1, at most 8. */
static double crowd(void)
{
	double load[1];

	if (getloadavg(load, 1) < 1)
		return 1;
	return fmin(fmax(load[0] / get_nprocs(), 1), 8);
}

double run_slowdown(enum vm_accel accel, const char *kernel)
{
	return (accel == ACCEL_TCG ? 1.0 : 0.5) * (strstr(kernel, "+debug") ? DEBUG_SLOWDOWN : 1) * crowd();
}

/*
 * Did the guest's watchdog speak because the host had no time for QEMU? A virtual CPU that others wait for spins, so that a kernel that is at
 * fault keeps QEMU busy.
 */
static bool starved(const struct vm_result *r)
{
	const char *at, *kind = r->splat ? console_splat(r->splat, &at) : NULL;

	return kind && (!strcmp(kind, "lockup") || !strcmp(kind, "RCU stall")) && r->cpu_s < STARVED_SHARE * r->wall_s;
}

/* CLOCK_REALTIME in seconds. */
static double date_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * Boots a cell once more, with the plugin that counts. "profile" of the cell: how it ended, and what was counted, a file in the run's
 * directory. NULL if it could not be booted (printed).
 */
static json_t *boot_profiled(struct session *s, const struct cell *c, const struct vm_config *ordinary)
{
	char *console = xasprintf("%s/consoles/%s-profile.log", s->rd.path, c->id);
	char *counts = xasprintf("cells/%s.profile", c->id), *path = xasprintf("%s/%s", s->rd.path, counts), *plugin;
	struct vm_config cfg = *ordinary;
	struct vm_result res = {};
	json_t *o = NULL;

	plugin = profile_plugin(s->agent, kernel_by_label(s, c->label)->b.id, path);
	cfg.console = console;
	cfg.plugin = plugin;
	cfg.boot_s *= PROFILE_SLOWDOWN;
	cfg.idle_s *= PROFILE_SLOWDOWN;
	cfg.total_s *= PROFILE_SLOWDOWN;
	if (plugin && !vm_run(&cfg, &res))
		o = json_pack("{s:s,s:s,s:s,s:O}", "verdict", vm_verdict_name(res.verdict), "why", res.why, "counts", counts, "argv",
			      res.argv);
	vm_result_free(&res);
	free(console);
	free(counts);
	free(path);
	free(plugin);
	return o;
}

/* A child's whole life. Returns its exit status. */
static int boot_cell(struct session *s, size_t idx, int feed_fd)
{
	const struct cell *c = &s->cells[idx];
	const struct kernel *k = kernel_by_label(s, c->label);
	const struct image *img = image_by_name(s, c->image);
	char *initrd = xasprintf("%s/tmp/%s.cpio", s->rd.path, c->id), *scratch = xasprintf("%s/tmp/%s.disk", s->rd.path, c->id);
	char *tmp = xasprintf("%s/tmp", s->rd.path), *console = xasprintf("%s/consoles/%s.log", s->rd.path, c->id);
	char *out = xasprintf("%s/cells/%s.json", s->rd.path, c->id), *job = job_text(c, img), *tools = tools_of(s, c);
	char *cmdline = cell_cmdline(c, k);
	double slow = run_slowdown(c->lane == LANE_ICOUNT ? ACCEL_TCG : s->accel.accel, k->b.name);
	struct vm_disk disks[2] = {};
	struct feed feed = { feed_fd, idx };
	struct vm_config cfg = { .accel = c->lane == LANE_ICOUNT ? ACCEL_TCG : s->accel.accel, .lane = c->lane,
				 .bzimage = k->b.bzimage, .initrd = initrd, .cmdline = cmdline, .mem_mb = cell_mem_mb(c),
				 .cpus = c->lane == LANE_ICOUNT ? 1 : c->s->cpus, .disks = disks, .boot_s = 40 * slow,
				 .idle_s = 90 * slow, .total_s = c->s->timeout * slow, .dir = tmp, .console = console,
				 .record = on_record, .arg = &feed };
	struct vm_result res = {};
	unsigned int thrown_away = 0;
	double date;
	json_t *o, *profile = NULL;
	int ret;

	ret = initrd_build(initrd, s->agent, job, tools, !img->synthetic && c->lane == LANE_ICOUNT ? img->tar : NULL);
	if (ret)
		return EXIT_INFRA;
	if (!on_brd(c))
		disks[cfg.nr_disks++] = (struct vm_disk){ .path = scratch, .serial = "scratch", .raw_sparse = true,
							  .size = c->s->device_size };
	if (!img->synthetic && c->lane != LANE_ICOUNT)
		disks[cfg.nr_disks++] = (struct vm_disk){ .path = img->tar, .serial = "image", .readonly = true };
	for (;;) {
		date = date_s();
		ret = vm_run(&cfg, &res);
		if (ret || interrupted() || !starved(&res) || thrown_away == STARVED_BOOTS - 1)
			break;
		thrown_away++;
		warn("cell %s (%s): the host gave QEMU %.0f %% of a processor, and the guest's watchdog spoke (%s); booting it again", c->id,
		     c->s->name, 100 * res.cpu_s / res.wall_s, res.why);
		vm_result_free(&res);
	}
	if (s->ro->profile && !ret && res.verdict == VM_PASSED)
		profile = boot_profiled(s, c, &cfg);
	unlink(initrd);
	if (ret == -EINTR || interrupted())
		return EXIT_INFRA;
	o = cell_head(s, c);
	if (profile)
		json_object_set_new(o, "profile", profile);
	json_object_set_new(o, "verdict", json_string(vm_verdict_name(res.verdict)));
	json_object_set_new(o, "why", json_string(res.why));
	if (res.splat) {
		char *sid = console_splat_id(res.splat);

		json_object_set_new(o, "splat", json_string(res.splat));
		json_object_set_new(o, "splat_id", sid ? json_string(sid) : json_null());
		free(sid);
	}
	json_object_set(o, "argv", res.argv);
	json_object_set_new(o, "cmdline", json_string(res.cmdline ? res.cmdline : ""));
	json_object_set_new(o, "console", json_sprintf("consoles/%s.log", c->id));
	json_object_set_new(o, "boot_s", json_real(res.boot_s));
	json_object_set_new(o, "wall_s", json_real(res.wall_s));
	json_object_set_new(o, "cpu_s", json_real(res.cpu_s));
	json_object_set_new(o, "date_s", json_real(date));
	if (thrown_away)
		json_object_set_new(o, "thrown_away", json_integer(thrown_away));
	add_records(o, res.records);
	ret = json_save(out, o);
	return ret ? EXIT_INFRA : EXIT_OK;
}

/* --- the queue ------------------------------------------------------------------------------------------------------------ */

struct slot {
	pid_t pid;
	size_t cell;
	unsigned int cores, mem_mb;
	double start;
	struct tick last;
};

struct queue {
	struct session *s;
	struct slot slots[16];
	bool *done;
	size_t nr_done;
	unsigned int cores, mem_mb;	/* what there is */
	json_t *durations;		/* seconds by cell id, of earlier runs */
	double start;
	int feed[2];
};

static bool exclusive(const struct cell *c)
{
	return c->lane == LANE_WALL && !c->s->shared;
}

static double expected_s(const struct queue *q, const struct cell *c)
{
	json_t *v = json_object_get(q->durations, c->id);

	return v ? json_number_value(v) : 10;
}

static void show(const struct queue *q)
{
	double left = 0, past = 0, eta;
	struct buf what = {};

	for (size_t i = 0; i < q->s->nr_cells; i++)
		*(q->done[i] ? &past : &left) += expected_s(q, &q->s->cells[i]);
	for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++) {
		const struct slot *sl = &q->slots[i];

		if (!sl->pid)
			continue;
		buf_printf(&what, "%s%s %s/%s %s", what.len ? "; " : "", q->s->cells[sl->cell].s->name, q->s->cells[sl->cell].fs,
			   q->s->cells[sl->cell].mode, q->s->cells[sl->cell].label);
		if (sl->last.total > 0)
			buf_printf(&what, " (%s %.0f/%.0f)", sl->last.what, sl->last.done, sl->last.total);
	}
	/* Cells run side by side: scale by what the finished ones really took. */
	eta = past > 0 ? left * (now_s() - q->start) / past : left / (q->cores > 1 ? 1.5 : 1);
	progress(q->nr_done, q->s->nr_cells, "cell %zu/%zu, ETA %d:%02d, %s", q->nr_done, q->s->nr_cells, (int)eta / 60,
		 (int)eta % 60, what.s ? what.s : "");
	buf_free(&what);
}

static int start_cell(struct queue *q, struct slot *sl, size_t idx)
{
	const struct cell *c = &q->s->cells[idx];
	pid_t parent = getpid();

	fflush(NULL);
	sl->pid = fork();
	if (sl->pid < 0) {
		err("cannot start another process: %s", strerror(errno));
		sl->pid = 0;
		return -EAGAIN;
	}
	if (!sl->pid) {
		/* Progress is the parent's to show; its errors are one line each and come through. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_INFRA);
		opt.quiet = true;
		close(q->feed[0]);
		_exit(boot_cell(q->s, idx, q->feed[1]));
	}
	sl->cell = idx;
	sl->cores = exclusive(c) ? q->cores : 1;
	sl->mem_mb = cell_mem_mb(c);
	sl->start = now_s();
	memset(&sl->last, 0, sizeof(sl->last));
	return 0;
}

static bool cell_file(const struct queue *q, size_t idx)
{
	char *p = xasprintf("%s/cells/%s.json", q->s->rd.path, q->s->cells[idx].id);
	bool there = file_exists(p);

	free(p);
	return there;
}

/* Takes in finished children. A child that left no file is an infrastructure failure of its cell. */
static int reap(struct queue *q)
{
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++) {
		struct slot *sl = &q->slots[i];
		int status;

		if (!sl->pid || waitpid(sl->pid, &status, WNOHANG) != sl->pid)
			continue;
		sl->pid = 0;
		q->done[sl->cell] = true;
		q->nr_done++;
		json_object_set_new(q->durations, q->s->cells[sl->cell].id, json_real(now_s() - sl->start));
		if (!cell_file(q, sl->cell) && !interrupted()) {
			err("cell %s (%s): the runner ended with status %d and left no result", q->s->cells[sl->cell].id,
			    q->s->cells[sl->cell].s->name, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
			bad = -EIO;
		}
	}
	return bad;
}

/* Starts what fits. Cells that want the host for themselves wait until it is empty; memory and cores are never overbooked. */
static int fill(struct queue *q, unsigned int limit)
{
	for (;;) {
		unsigned int cores = 0, mem = 0, running = 0;
		struct slot *free_slot = NULL;
		size_t next = q->s->nr_cells;

		for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++) {
			if (!q->slots[i].pid) {
				free_slot = &q->slots[i];
				continue;
			}
			cores += q->slots[i].cores;
			mem += q->slots[i].mem_mb;
			running++;
		}
		for (int want = 0; want < 2 && next == q->s->nr_cells; want++)
			for (size_t i = 0; i < q->s->nr_cells && next == q->s->nr_cells; i++) {
				bool busy = false;

				for (size_t j = 0; j < ARRAY_SIZE(q->slots); j++)
					busy |= q->slots[j].pid && q->slots[j].cell == i;
				if (!q->done[i] && !busy && exclusive(&q->s->cells[i]) == want)
					next = i;
			}
		if (next == q->s->nr_cells || !free_slot || running >= limit)
			return 0;
		if (running && (cores + (exclusive(&q->s->cells[next]) ? q->cores : 1) > q->cores ||
				mem + cell_mem_mb(&q->s->cells[next]) > q->mem_mb))
			return 0;
		if (start_cell(q, free_slot, next))
			return -EAGAIN;
	}
}

static unsigned int running(const struct queue *q)
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++)
		n += q->slots[i].pid != 0;
	return n;
}

static void stop_all(struct queue *q)
{
	for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++)
		if (q->slots[i].pid)
			kill(q->slots[i].pid, SIGTERM);
	for (size_t i = 0; i < ARRAY_SIZE(q->slots); i++)
		if (q->slots[i].pid)
			waitpid(q->slots[i].pid, NULL, 0);
}

static unsigned int mem_available_mb(void)
{
	char *s, *p;
	unsigned long kb = 0;

	if (read_file("/proc/meminfo", &s, NULL))
		return HOST_MEM_MB;
	p = strstr(s, "MemAvailable:");
	if (p)
		sscanf(p, "MemAvailable: %lu", &kb);
	free(s);
	return kb >> 10;
}

static char *durations_path(void)
{
	return xasprintf("%s/cell-durations.json", cache_dir());
}

static int run_queue(struct session *s)
{
	struct queue q = { .s = s, .cores = get_nprocs(), .start = now_s() };
	unsigned int avail = mem_available_mb(), limit = s->ro->jobs ? s->ro->jobs : q.cores;
	char *path = durations_path();
	int ret = 0, bad = 0;

	q.mem_mb = avail > HOST_MEM_MB + 1024 ? HOST_MEM_MB : avail > 2048 ? avail - 1024 : avail;
	q.done = xcalloc(s->nr_cells, sizeof(*q.done));
	q.durations = file_exists(path) ? json_load_file(path, 0, NULL) : NULL;
	if (!json_is_object(q.durations))
		q.durations = json_object();
	if (limit > ARRAY_SIZE(q.slots))
		limit = ARRAY_SIZE(q.slots);
	if (pipe2(q.feed, O_CLOEXEC | O_NONBLOCK)) {
		ret = -errno;
		goto out;
	}
	for (size_t i = 0; i < s->nr_cells; i++)
		if (cell_file(&q, i)) {
			q.done[i] = true;
			q.nr_done++;
		}
	while (q.nr_done < s->nr_cells && !interrupted()) {
		struct pollfd pfd[2] = { { q.feed[0], POLLIN, 0 }, { interrupt_fd(), POLLIN, 0 } };
		struct tick t;

		ret = fill(&q, limit);
		if (ret)
			break;
		poll(pfd, 2, 100);
		while (read(q.feed[0], &t, sizeof(t)) == sizeof(t))
			for (size_t i = 0; i < ARRAY_SIZE(q.slots); i++)
				if (q.slots[i].pid && q.slots[i].cell == t.cell)
					q.slots[i].last = t;
		if (reap(&q))
			bad = -EIO;
		show(&q);
	}
	progress(-1, 0, "%s", "");
	if (running(&q))
		stop_all(&q);
	if (interrupted())
		ret = -EINTR;
	json_save(path, q.durations);
	close(q.feed[0]);
	close(q.feed[1]);
out:
	json_decref(q.durations);
	free(q.done);
	free(path);
	return ret ? ret : bad;
}

/* --- the run document -------------------------------------------------------------------------------------------------- */

static json_t *host_facts(void)
{
	struct utsname u;
	struct sysinfo si;
	char *cpu = NULL, *s, *p, *git = NULL;
	const char *argv[] = { "git", "-C", top_dir(), "describe", "--always", "--dirty", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out, .log = "/dev/null" };
	json_t *o;

	uname(&u);
	sysinfo(&si);
	if (!read_file("/proc/cpuinfo", &s, NULL)) {
		p = strstr(s, "model name");
		p = p ? strchr(p, ':') : NULL;
		if (p)
			cpu = xstrndup(p + 2, strcspn(p + 2, "\n"));
		free(s);
	}
	if (!run_cmd(argv, &ro) && out.len)
		git = xstrndup(out.s, strcspn(out.s, "\n"));
	o = json_pack("{s:s,s:i,s:I,s:s,s:s}", "cpu", cpu ? cpu : "unknown", "cores", get_nprocs(), "mem_kb",
		      (json_int_t)(si.totalram / 1024 * si.mem_unit), "os", u.release, "harness", git ? git : "unknown");
	buf_free(&out);
	free(cpu);
	free(git);
	return o;
}

static json_t *loads(const double l[3])
{
	return json_pack("[f,f,f]", l[0], l[1], l[2]);
}

/* What must be the same for a run to be resumed, and what its results are worth nothing without. */
static json_t *session_inputs(struct session *s)
{
	char plan_hash[65], agent_hash[65] = "";
	json_t *kernels = json_array(), *images = json_array(), *inputs;
	char *others;

	sha256_hex(s->plan->text, strlen(s->plan->text), plan_hash);
	sha256_file(s->agent, agent_hash);
	for (size_t i = 0; i < s->nr_kernels; i++) {
		json_t *k = kernel_provenance(&s->kernels[i].b);

		json_object_set_new(k, "label", json_string(s->kernels[i].label));
		if (i >= s->nr_main)
			json_object_set_new(k, "gate", json_true());
		json_array_append_new(kernels, k);
	}
	for (size_t i = 0; i < s->nr_images; i++)
		json_array_append_new(images, json_pack("{s:s,s:s,s:s,s:i,s:I}", "name", s->images[i].name, "hash",
							s->images[i].hash ? s->images[i].hash : "", "note",
							s->images[i].note ? s->images[i].note : "", "files",
							s->images[i].files, "bytes", (json_int_t)s->images[i].bytes));
	inputs = json_pack("{s:s,s:s,s:s,s:o,s:o,s:{s:s,s:s,s:s}}", "plan", s->plan->name, "plan_hash", plan_hash, "agent", agent_hash,
			 "kernels", kernels, "images", images, "qemu", "version", s->qemu_version ? s->qemu_version : "",
			 "accel", accel_name(s->accel.accel), "accel_why", s->accel.why ? s->accel.why : "");
	others = override_text(s->ro);
	json_object_set_new(inputs, "part", json_sprintf("%u/%u %s %llu%s", s->ro->shard, s->ro->shards, s->durations_hash, s->ro->seed, others));
	free(others);
	return inputs;
}

static int resume_check(struct session *s)
{
	static const char *const keys[] = { "plan", "plan_hash", "agent", "kernels", "images", "qemu", "part" };
	char *path = xasprintf("%s/inputs.json", s->rd.path);
	json_t *old = json_read(path);

	free(path);
	if (!old)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!json_equal(json_object_get(old, keys[i]), json_object_get(s->inputs, keys[i]))) {
			err("run %s cannot be resumed: its %s differ from what there is now; start a new run", s->rd.id, keys[i]);
			json_decref(old);
			return -EINVAL;
		}
	json_decref(old);
	return 0;
}

/*
 * What must repeat in the icount lane: every sample and every histogram. Returns the largest difference of a sample, as a fraction; INFINITY if there
 * is anything else that differs.
 */
static double difference(const json_t *a, const json_t *b)
{
	const json_t *as = json_object_get(a, "samples"), *bs = json_object_get(b, "samples"), *x, *y;
	double worst = 0;
	size_t i;

	if (json_array_size(as) != json_array_size(bs) || !json_equal(json_object_get(a, "hists"), json_object_get(b, "hists")))
		return INFINITY;
	json_array_foreach(as, i, x) {
		const json_t *at = json_object_get(x, "x");	/* NULL: the metric has one value */
		double v, w;

		y = json_array_get(bs, i);
		if (!json_equal(json_object_get(x, "m"), json_object_get(y, "m")) ||
		    (at != json_object_get(y, "x") && !json_equal(at, json_object_get(y, "x"))))
			return INFINITY;
		v = json_number_value(json_object_get(x, "v"));
		w = json_number_value(json_object_get(y, "v"));
		if (v != w)
			worst = fmax(worst, v ? fabs(w - v) / fabs(v) : INFINITY);
	}
	return worst;
}

static bool same_boot(const json_t *a, const json_t *b)
{
	/* Kernels of one build can still differ in their command lines. */
	static const char *const keys[] = { "section", "kernel_id", "workload", "lane", "fs", "mode", "image", "params", "mount",
					    "perturbation", "seed", "cmdline" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])))
			return false;
	return true;
}

unsigned int run_check_determinism(json_t *cells, double *worst)
{
	unsigned int pairs = 0;
	double diff;
	json_t *a, *b, *c;
	size_t i, j, k;

	json_array_foreach(cells, i, a) {
		if (strcmp(json_string_value(json_object_get(a, "lane")), "icount") ||
		    strcmp(json_string_value(json_object_get(a, "verdict")), "passed"))
			continue;
		json_array_foreach(cells, j, b) {
			if (j <= i || !same_boot(a, b) || strcmp(json_string_value(json_object_get(b, "verdict")), "passed"))
				continue;
			pairs++;
			diff = difference(a, b);
			if (diff <= ICOUNT_TOLERANCE) {
				*worst = fmax(*worst, diff);
				continue;
			}
			json_array_foreach(cells, k, c)
				if (json_equal(json_object_get(a, "section"), json_object_get(c, "section")) &&
				    !strcmp(json_string_value(json_object_get(c, "lane")), "icount") &&
				    !strcmp(json_string_value(json_object_get(c, "verdict")), "passed")) {
					json_object_set_new(c, "verdict", json_string("invalid"));
					json_object_set_new(c, "why", json_sprintf("the icount lane is not deterministic here: "
						"cells %s and %s had the same inputs and gave different numbers",
						json_string_value(json_object_get(a, "id")),
						json_string_value(json_object_get(b, "id"))));
				}
		}
	}
	return pairs;
}

static int add_gate(const struct section *sec, const char *base, const char *label, const char *want, const char *metric, void *arg)
{
	return json_array_append_new(arg, json_pack("{s:s,s:s,s:s,s:s,s:s}", "section", sec->name, "base", base, "label", label, "want",
						    want, "metric", metric));
}

/* The gates whose sections are in this run. */
static json_t *gates_of(const struct session *s)
{
	json_t *all = json_array(), *out = json_array(), *g;
	size_t i;

	plan_each_gate(s->plan, add_gate, all);
	json_array_foreach(all, i, g) {
		bool here = s->ro->shards;

		for (size_t k = 0; k < s->nr_cells && !here; k++)
			here = !strcmp(s->cells[k].s->name, json_string_value(json_object_get(g, "section")));
		/* A single boot is no comparison. */
		if (here && !s->ro->cell)
			json_array_append(out, g);
	}
	json_decref(all);
	return out;
}

/* --- what a run costs --------------------------------------------------------------------------------------------------- */

static double cpu_used_s(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return rusage_s(&self) + rusage_s(&children);
}

static int cmp_date(const void *a, const void *b)
{
	double x = json_number_value(json_object_get(*(json_t *const *)a, "date_s"));
	double y = json_number_value(json_object_get(*(json_t *const *)b, "date_s"));

	return (x > y) - (x < y);
}

/*
 * "cost" of a run document: seconds in which at least one guest was running, and QEMU's processor time. Boots from before the session, which a
 * resumed run has, do not count; nor do those that were thrown away. refresh_cost() adds the rest.
 */
static json_t *guests_cost(const struct session *s, const json_t *cells)
{
	double since = date_s() - (now_s() - s->ro->began), guests = 0, qemu = 0, until = 0;
	const json_t **c = xcalloc(json_array_size(cells) + 1, sizeof(*c));
	size_t n = json_array_size(cells);

	for (size_t i = 0; i < n; i++)
		c[i] = json_array_get(cells, i);
	qsort(c, n, sizeof(*c), cmp_date);
	for (size_t i = 0; i < n; i++) {
		double from = json_number_value(json_object_get(c[i], "date_s")), to;

		if (from < since)
			continue;
		to = from + json_number_value(json_object_get(c[i], "wall_s"));
		guests += fmax(to - fmax(from, until), 0);
		until = fmax(until, to);
		qemu += json_number_value(json_object_get(c[i], "cpu_s"));
	}
	free(c);
	return json_pack("{s:f,s:f,s:f}", "prepare_s", s->prepare_s, "guests_s", guests, "qemu_cpu_s", qemu);
}

/* Brings the totals of "cost" up to now. */
static void refresh_cost(const json_t *doc, const struct run_options *ro)
{
	json_t *cost = json_object_get(doc, "cost");

	if (!cost || !ro->began)
		return;
	json_object_set_new(cost, "total_s", json_real(now_s() - ro->began));
	json_object_set_new(cost, "harness_cpu_s",
			    json_real(cpu_used_s() - ro->cpu_began - json_number_value(json_object_get(cost, "qemu_cpu_s"))));
}

/* What the reports cost is known after they are made only; nothing else in the stored document changes. 0 or -errno, printed. */
static int store_cost(const char *dir, const json_t *doc)
{
	char *path = xasprintf("%s/run.json", dir);
	json_t *stored = json_read(path);
	int ret = stored ? 0 : -EIO;

	if (stored) {
		json_object_set(stored, "cost", json_object_get(doc, "cost"));
		ret = json_save(path, stored);
	}
	json_decref(stored);
	free(path);
	return ret;
}

static json_t *assemble(struct session *s, bool complete)
{
	json_t *cells = json_array(), *doc, *host = host_facts(), *cmd = json_array(), *missing = json_array();
	double after[3] = {};
	unsigned int pairs;
	double worst = 0;

	for (size_t i = 0; i < s->nr_cells; i++) {
		char *p = xasprintf("%s/cells/%s.json", s->rd.path, s->cells[i].id);
		json_t *c = file_exists(p) ? json_read(p) : NULL;

		if (c)
			json_array_append_new(cells, c);
		else
			json_array_append_new(missing, json_string(s->cells[i].id));
		free(p);
	}
	/* Of a part the merge judges: what one part finds holds for the others too. */
	pairs = s->ro->shards ? 0 : run_check_determinism(cells, &worst);
	if (getloadavg(after, 3) < 0)
		after[0] = after[1] = after[2] = NAN;
	json_object_set_new(host, "loadavg_before", loads(s->load_before));
	json_object_set_new(host, "loadavg_after", loads(after));
	for (const char *const *a = s->ro->argv; a && *a; a++)
		json_array_append_new(cmd, json_string(*a));
	doc = json_pack("{s:s,s:s,s:s,s:o,s:b,s:{s:s,s:O,s:I,s:s,s:s,s:s},s:o,s:O,s:O,s:O,s:s,s:O,s:i,s:f,s:o,s:o}", "schema",
			"shcache-run/1", "id", s->rd.id, "created", s->created, "command", cmd, "complete", complete, "plan",
			"name", s->plan->name, "hash", json_object_get(s->inputs, "plan_hash"), "seed",
			(json_int_t)s->plan->seed, "text", s->plan->text, "summary", s->plan->summary ? s->plan->summary : "",
			"note", s->plan->note ? s->plan->note : "", "host", host, "qemu", json_object_get(s->inputs, "qemu"),
			"kernels", json_object_get(s->inputs, "kernels"), "images", json_object_get(s->inputs, "images"),
			"baseline", s->kernels[0].label, "workloads", json_object_get(s->describe, "workloads"),
			"determinism_pairs", pairs, "determinism_worst", worst, "missing", missing, "cells", cells);
	json_object_set_new(doc, "gates", gates_of(s));
	json_object_set(doc, "agent", json_object_get(s->inputs, "agent"));
	if (s->ro->began) {
		json_object_set_new(doc, "cost", guests_cost(s, cells));
		refresh_cost(doc, s->ro);
	}
	if (s->ro->shards)
		json_object_set_new(doc, "shard", json_pack("{s:i,s:i,s:s}", "index", s->ro->shard, "count", s->ro->shards, "durations",
							    s->durations_hash));
	return doc;
}

/* --- sessions ------------------------------------------------------------------------------------------------------------ */

bool run_place_matches(const char *only, const char *place)
{
	size_t n = strlen(only);

	return !strncmp(only, place, n) && (!place[n] || place[n] == '/');
}

/* Moves the cells that are to be carried out to the front. */
static int select_cells(struct session *s)
{
	const struct run_options *ro = s->ro;
	unsigned int *part = xcalloc(s->nr_all, sizeof(*part));
	json_t *durations = NULL;
	size_t n = 0;
	int ret = 0;

	if (ro->shards) {
		ret = durations_load(ro->durations, s->plan, &durations, s->durations_hash);
		if (!ret)
			shard_split(s->cells, s->nr_all, durations, ro->shards, part);
		json_decref(durations);
	}
	for (size_t i = 0; i < s->nr_all && !ret; i++) {
		struct cell c = s->cells[i];
		char *place = cell_place(&c);

		if ((!ro->profile || (c.lane == LANE_ICOUNT && !c.selfcheck && !c.boot && !c.perturbation)) &&
		    (!ro->cell || !strncmp(c.id, ro->cell, strlen(ro->cell))) && (!ro->only || run_place_matches(ro->only, place)) &&
		    (!ro->shards || part[i] == ro->shard)) {
			s->cells[i] = s->cells[n];
			s->cells[n++] = c;
		}
		free(place);
	}
	free(part);
	if (ret)
		return ret;
	if (!n && ro->profile) {
		err("plan %s has no cell of the icount lane at '%s'; `shbench list %s` shows its cells", s->plan->name,
		    ro->only ? ro->only : "", ro->plan);
		return -EINVAL;
	}
	if (!n && (ro->cell || ro->only)) {
		err("plan %s has no cell '%s'; `shbench list %s` shows them", s->plan->name, ro->cell ? ro->cell : ro->only, ro->plan);
		return -EINVAL;
	}
	if (!n) {
		err("plan %s has nothing for part %u of %u: it has fewer independent parts; use fewer", s->plan->name, ro->shard, ro->shards);
		return -EINVAL;
	}
	s->nr_cells = n;
	return 0;
}

/* A part of a plan, or a single cell of it, may need none of the gate's kernels. */
static bool has_gate_cells(const struct session *s)
{
	/* A part has them all: its document must say the same as the others'. */
	if (s->ro->shards)
		return true;
	for (size_t i = 0; i < s->nr_cells; i++)
		if (s->cells[i].s->gate)
			return true;
	return false;
}

static int session_open(struct session *s, const struct run_options *ro)
{
	time_t t = time(NULL);
	int ret;

	memset(s, 0, sizeof(*s));
	s->ro = ro;
	s->rd.lock = -1;
	s->agent = agent_path();
	strftime(s->created, sizeof(s->created), "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	s->describe = agent_describe();
	if (!s->describe)
		return -EIO;
	ret = plan_load(ro->plan, &s->plan);
	if (!ret)
		ret = plan_check(s->plan, s->describe);
	if (!ret && ro->seed)
		s->plan->seed = ro->seed;
	if (!ret)
		plan_override(s->plan, ro->cpus, ro->mount);
	if (!ret)
		ret = plan_expand(s->plan, ro->kernels, &s->cells, &s->nr_cells);
	if (ret)
		return ret;
	s->nr_all = s->nr_cells;
	ret = select_cells(s);
	if (ret)
		return ret;
	s->qemu_version = vm_qemu_version(NULL);
	if (!s->qemu_version) {
		err("no QEMU: %s; `make deps` installs what is needed", strerror(errno));
		return -ENOENT;
	}
	ret = plan_each_kernel(ro->kernels ? ro->kernels : s->plan->kernels, need_kernel, s);
	s->nr_main = s->nr_kernels;
	if (!ret && has_gate_cells(s))
		ret = plan_each_gate_kernel(s->plan, need_kernel, s);
	if (!ret)
		ret = need_images(s);
	if (!ret)
		ret = probe(s);
	if (!ret)
		s->inputs = session_inputs(s);
	return ret;
}

static void session_close(struct session *s)
{
	for (size_t i = 0; i < s->nr_kernels; i++) {
		kernel_build_free(&s->kernels[i].b);
		free(s->kernels[i].label);
	}
	for (size_t i = 0; i < s->nr_images; i++)
		image_free(&s->images[i]);
	cells_free(s->cells, s->nr_all);
	plan_free(s->plan);
	json_decref(s->describe);
	json_decref(s->inputs);
	run_dir_close(&s->rd);
	free(s->kernels);
	free(s->images);
	free(s->accel.why);
	free(s->qemu_version);
	free(s->agent);
}

static void note_duration(const char *plan, double seconds)
{
	char *path = xasprintf("%s/durations.json", cache_dir());
	json_t *v = file_exists(path) ? json_load_file(path, 0, NULL) : NULL;

	if (!json_is_object(v))
		v = json_object();
	json_object_set_new(v, plan, json_real(seconds));
	json_save(path, v);
	json_decref(v);
	free(path);
}

/* Carries out the session's cells in its run directory and returns the document, which is also written. */
static json_t *carry_out(struct session *s, int *status)
{
	char *inputs, *path, *tmp;
	json_t *doc = NULL;
	double start = now_s();
	int ret;

	*status = EXIT_INFRA;
	ret = s->ro->resume ? run_dir_open(s->ro->resume, &s->rd) : run_dir_create(s->plan->name, &s->rd);
	if (ret)
		return NULL;
	if (s->ro->resume && resume_check(s))
		return NULL;
	inputs = xasprintf("%s/inputs.json", s->rd.path);
	ret = json_save(inputs, s->inputs);
	free(inputs);
	if (ret)
		return NULL;
	if (getloadavg(s->load_before, 3) < 0)
		s->load_before[0] = s->load_before[1] = s->load_before[2] = NAN;
	ret = run_queue(s);
	tmp = xasprintf("%s/tmp", s->rd.path);
	remove_tree(tmp);
	mkdir_p(tmp);
	free(tmp);
	doc = assemble(s, !ret);
	path = xasprintf("%s/run.json", s->rd.path);
	if (doc && json_save(path, doc)) {
		json_decref(doc);
		doc = NULL;
	}
	free(path);
	if (!doc)
		return NULL;
	if (ret == -EINTR) {
		err("interrupted; what was measured is kept: `./shbench run %s --resume %s` goes on", s->ro->plan, s->rd.id);
		return doc;
	}
	*status = ret ? EXIT_INFRA : EXIT_OK;
	if (!ret && !s->ro->resume && !s->ro->cell && !s->ro->only && !s->ro->shards)
		note_duration(s->plan->name, now_s() - start);
	return doc;
}

/* The worst of the cells' verdicts as an exit code; messages name the cells. */
static int cells_status(const json_t *doc)
{
	json_t *c;
	size_t i;
	int status = EXIT_OK;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *v = json_string_value(json_object_get(c, "verdict"));
		enum vm_verdict vv = vm_verdict_by_name(v);
		char *splat;

		if (vv == VM_PASSED || vv == VM_SKIPPED)
			continue;
		splat = cell_splat(c);
		err("cell %s (%s %s/%s, kernel %s): %s: %s%s%s", json_string_value(json_object_get(c, "id")),
		    json_string_value(json_object_get(c, "section")), json_string_value(json_object_get(c, "fs")),
		    json_string_value(json_object_get(c, "mode")), json_string_value(json_object_get(c, "kernel")), v,
		    json_string_value(json_object_get(c, "why")), *splat ? "; " : "", splat);
		free(splat);
		if (vv == VM_INFRA || vv == VM_INVALID || vv == VM_GARBLED)
			status = EXIT_INFRA;
		else if (status == EXIT_OK)
			status = EXIT_REGRESSION;
	}
	return status;
}

/* The files that a report leaves in the run's directory. 0 or -errno, printed. */
static int write_reports(const char *dir, const json_t *doc, const struct comparison *cmp, size_t nr_cmp)
{
	static const struct {
		const char *name;
		int (*write)(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp);
	} files[] = { { "summary.md", report_summary }, { "junit.xml", report_junit }, { "ktap.txt", report_ktap } };
	char *page = xasprintf("%s/report.html", dir), *plots = xasprintf("%s/plots", dir), *history = history_plots_dir();
	int ret = report_html(page, doc, cmp, nr_cmp, plots, history), bad = ret;

	if (ret)
		err("%s: cannot write: %s", page, strerror(-ret));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *path = xasprintf("%s/%s", dir, files[i].name);

		ret = files[i].write(path, doc, cmp, nr_cmp);
		if (ret)
			err("%s: cannot write: %s", path, strerror(-ret));
		bad = bad ? bad : ret;
		free(path);
	}
	free(page);
	free(plots);
	free(history);
	return bad;
}

int report_run(const char *dir, json_t *whole, const struct run_options *ro)
{
	json_t *doc = gate_judge(whole);
	const json_t *kernels = json_object_get(doc, "kernels");
	const char *base = json_string_value(json_object_get(doc, "baseline"));
	size_t nr = json_array_size(kernels), nr_cmp = 0, i;
	struct comparison *cmp = xcalloc(nr, sizeof(*cmp));
	size_t gates_failed;
	char *templates = xasprintf("%s/results/templates", top_dir());
	int status = EXIT_OK, ret;
	json_t *k;

	json_array_foreach((json_t *)kernels, i, k) {
		const char *label = json_string_value(json_object_get(k, "label"));

		if (!strcmp(label, base))
			continue;
		ret = compare(doc, base, doc, label, ro->force, &cmp[nr_cmp]);
		if (ret) {
			err("comparison of %s with %s: %s", base, label, strerror(-ret));
			status = EXIT_INFRA;
			continue;
		}
		ret = comparison_exit(&cmp[nr_cmp++], ro->strict);
		if (ret == EXIT_INFRA || !status)
			status = ret;
	}
	ret = plots_draw(doc, dir, templates);
	if (ret < 0) {
		err("%s/plots: no plots: %s", dir, strerror(-ret));
		status = EXIT_INFRA;
	}
	refresh_cost(doc, ro);
	if (opt.json) {
		json_t *v = report_json(doc, cmp, nr_cmp);

		json_dumpf(v, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(v);
	} else if (!opt.quiet) {
		report_terminal(stdout, doc, cmp, nr_cmp, ro->all, isatty(STDOUT_FILENO));
	}
	if (write_reports(dir, doc, cmp, nr_cmp))
		status = EXIT_INFRA;
	note("results: %s/report.html, summary.md, junit.xml, ktap.txt, run.json, plots/", dir);
	for (i = 0; i < nr_cmp; i++)
		comparison_free(&cmp[i]);
	gate_count(doc, &gates_failed);
	if (gates_failed) {
		err("the gate failed: %zu comparisons whose outcome is known came out otherwise; no other number of this run can be trusted",
		    gates_failed);
		status = EXIT_INFRA;
	}
	json_decref(doc);
	free(cmp);
	free(templates);
	return status;
}

static int open_status(int ret)
{
	return ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
}

int history_add(const json_t *doc)
{
	const char *slash = strrchr(history_path(), '/');
	json_t *judged = gate_judge((json_t *)doc), *lines = history_lines(judged);
	size_t added;
	int ret;

	if (slash) {
		char *dir = xstrndup(history_path(), slash - history_path());

		mkdir_p(dir);	/* what fails here fails below too */
		free(dir);
	}
	ret = history_append(history_path(), lines, &added);
	json_decref(lines);
	json_decref(judged);
	if (!ret)
		note("history: %zu lines of %s added to %s", added, json_string_value(json_object_get(doc, "id")), history_path());
	return ret;
}

/* Adds a run to the history and draws that anew, so that the run's report shows it. A run whose gate failed says nothing. */
static int keep_and_draw(json_t *doc)
{
	char *plots = history_plots_dir(), *templates = xasprintf("%s/results/templates", top_dir());
	json_t *judged = gate_judge(doc), *lines = NULL;
	struct history h;
	size_t failed;
	int ret = 0;

	gate_count(judged, &failed);
	if (failed)
		warn("the gate failed: the run is not added to the history");
	else
		ret = history_add(doc);
	if (!failed && !ret)
		lines = history_read(history_path(), NULL);
	if (lines) {
		history_collect(lines, &h);
		ret = history_plots(&h, NULL, plots, templates) < 0 ? -EIO : 0;
		history_free(&h);
	}
	json_decref(lines);
	json_decref(judged);
	free(plots);
	free(templates);
	return ret;
}

int run_conclude(const char *dir, json_t *doc, bool history, const struct run_options *ro)
{
	json_t *past = file_exists(history_path()) ? history_read(history_path(), NULL) : NULL;
	int cells, cmp, kept;

	history_mark_splats(doc, past);
	json_decref(past);
	kept = history ? keep_and_draw(doc) : 0;
	cells = cells_status(doc);
	cmp = report_run(dir, doc, ro);
	if (kept)
		return EXIT_INFRA;
	return cells == EXIT_INFRA || cmp == EXIT_OK ? cells : cmp;
}

int run_bench(const struct run_options *options, char **dir)
{
	struct run_options own = *options;
	const struct run_options *ro = &own;
	struct session s;
	json_t *doc;
	int ret, status;

	own.began = now_s();
	ret = session_open(&s, ro);
	if (ret) {
		session_close(&s);
		return open_status(ret);
	}
	s.prepare_s = now_s() - own.began;
	own.cpu_began = cpu_used_s();
	doc = carry_out(&s, &status);
	if (doc && json_object_get(doc, "complete") == json_true()) {
		int end;

		if (ro->shards) {
			end = cells_status(doc);
			note("part %u/%u: %s/run.json; `shbench merge` joins the parts and judges", ro->shard, ro->shards, s.rd.path);
		} else if (ro->measure_only) {
			end = cells_status(doc);
		} else {
			end = run_conclude(s.rd.path, doc, s.plan->history && !ro->cell && !ro->only, ro);
			if (store_cost(s.rd.path, doc))
				end = EXIT_INFRA;
		}
		if (!status)
			status = end;
	}
	if (dir)
		*dir = s.rd.path ? xstrdup(s.rd.path) : NULL;
	json_decref(doc);
	session_close(&s);
	return status;
}

/* The verdict that the section of a boot wants. */
static const char *cell_expect(const struct session *s, const json_t *cell)
{
	const char *id = json_string_value(json_object_get(cell, "id"));
	size_t i;

	for (i = 0; i < s->nr_cells; i++)
		if (!strcmp(s->cells[i].id, id) && s->cells[i].s->expect)
			return s->cells[i].s->expect;
	return "passed";
}

/* KTAP: what the guest has checked, as tests within the cell's. */
static void print_checks(const json_t *cell)
{
	const json_t *checks = json_object_get(cell, "checks"), *c;
	size_t i;

	if (!json_array_size(checks))
		return;
	printf("    KTAP version 1\n    1..%zu\n", json_array_size(checks));
	json_array_foreach((json_t *)checks, i, c) {
		bool ok = json_is_true(json_object_get(c, "ok")), skip = json_is_true(json_object_get(c, "skip"));
		const char *detail = json_string_value(json_object_get(c, "detail"));

		printf("    %s %zu %s%s%s\n", ok ? "ok" : "not ok", i + 1, json_string_value(json_object_get(c, "name")), skip ? " # SKIP " : "",
		       skip ? detail : "");
		if (!ok)
			printf("    # %s\n", detail);
	}
}

/* What gave a broken kernel away: the first check that failed, else the splat, else how the boot ended. Malloced. */
static char *caught_by(const json_t *cell)
{
	const char *verdict = json_string_value(json_object_get(cell, "verdict"));
	char *splat = cell_splat(cell), *by;
	json_t *check;
	size_t i;

	if (strcmp(verdict, "invalid")) {
		by = xasprintf("%s%s%s", verdict, *splat ? " " : "", splat);
		free(splat);
		return by;
	}
	free(splat);
	json_array_foreach(json_object_get(cell, "checks"), i, check)
		if (!json_is_true(json_object_get(check, "ok")))
			return xstrdup(json_string_value(json_object_get(check, "name")));
	return xstrdup(json_string_value(json_object_get(cell, "why")));
}

/* The kernels that had to be caught: by what, and how long after the workload began; and comparisons whose outcome is known. */
static void print_caught(const struct session *s, const json_t *doc, const json_t *gates)
{
	bool title = false;
	json_t *c, *g;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *v = json_string_value(json_object_get(c, "verdict")), *want = cell_expect(s, c);
		char *by;

		if (strcmp(want, "caught") || !strcmp(v, "skipped"))
			continue;
		if (!title)
			printf("# %-28s %9s  %s\n", "canary", "after", "caught by");
		title = true;
		by = strcmp(v, "passed") ? caught_by(c) : xstrdup("NOT CAUGHT");
		printf("# %-28s %7.1f s  %s\n", json_string_value(json_object_get(c, "kernel")),
		       json_number_value(json_object_get(c, "wall_s")) - json_number_value(json_object_get(c, "boot_s")), by);
		free(by);
	}
	json_array_foreach((json_t *)gates, i, g) {
		printf("# %-28s %9s  %s%s: %s\n", json_string_value(json_object_get(g, "label")), "",
		       json_is_true(json_object_get(g, "ok")) ? "" : "NOT AS WANTED, ", json_string_value(json_object_get(g, "want")),
		       json_string_value(json_object_get(g, "why")));
	}
}

int run_as_test(const struct run_options *ro)
{
	unsigned int passed = 0, failed = 0, skipped = 0;
	struct session s;
	json_t *doc, *judged, *c;
	int ret = session_open(&s, ro), status;
	size_t i;

	if (ret) {
		session_close(&s);
		return open_status(ret);
	}
	doc = carry_out(&s, &status);
	if (!doc) {
		session_close(&s);
		return EXIT_INFRA;
	}
	printf("KTAP version 1\n1..%zu\n", s.nr_cells + json_array_size(json_object_get(doc, "gates")));
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *v = json_string_value(json_object_get(c, "verdict")), *why = json_string_value(json_object_get(c, "why"));
		const char *want = cell_expect(&s, c);
		bool ok, skip, caught;
		char *splat;

		ok = strcmp(want, "caught") ? !strcmp(v, want) : strcmp(v, "passed") && strcmp(v, "skipped");
		skip = !ok && !strcmp(v, "skipped");
		caught = ok && !strcmp(want, "caught");
		*(ok ? &passed : skip ? &skipped : &failed) += 1;
		print_checks(c);
		printf("%s %zu %s %s/%s %s %s%s%s\n", ok || skip ? "ok" : "not ok", i + 1,
		       json_string_value(json_object_get(c, "section")), json_string_value(json_object_get(c, "fs")),
		       json_string_value(json_object_get(c, "mode")), json_string_value(json_object_get(c, "lane")),
		       json_string_value(json_object_get(c, "kernel")), skip ? " # SKIP " : "", skip ? why : "");
		splat = cell_splat(c);
		if (*splat)
			printf("# %s\n", splat);
		free(splat);
		if (caught)
			printf("# %s: %s\n", v, why);
		if (!ok && !skip)
			printf("# wanted %s, was %s: %s\n# console: %s/%s\n", want, v, why, s.rd.path,
			       json_string_value(json_object_get(c, "console")));
	}
	judged = gate_judge(doc);
	json_array_foreach(json_object_get(judged, "gate_results"), i, c) {
		bool ok = json_is_true(json_object_get(c, "ok"));

		*(ok ? &passed : &failed) += 1;
		printf("%s %zu gate %s %s must be %s\n# %s\n", ok ? "ok" : "not ok", s.nr_cells + i + 1,
		       json_string_value(json_object_get(c, "section")), json_string_value(json_object_get(c, "label")),
		       json_string_value(json_object_get(c, "want")), json_string_value(json_object_get(c, "why")));
	}
	print_caught(&s, doc, json_object_get(judged, "gate_results"));
	json_decref(judged);
	if (json_array_size(json_object_get(doc, "cells")) < s.nr_cells && !status)
		status = EXIT_INFRA;
	printf("# run: %s\n# %u passed, %u failed, %u skipped\n", s.rd.path, passed, failed, skipped);
	json_decref(doc);
	session_close(&s);
	return status ? status : failed ? EXIT_REGRESSION : EXIT_OK;
}

int run_shell(const char *kernel, const char *fs, const char *mode, const char *image, unsigned int n, enum vm_accel accel)
{
	struct section sec = { .name = (char *)"shell", .workload = (char *)"shell", .mem = 4ull << 30, .device_size = 8ull << 30,
			       .cpus = 2, .boots = 1, .perturb = 1 };
	char count[16];
	struct kv param = { (char *)"n", count };
	struct cell cell = { .s = &sec, .label = (char *)kernel, .kernel = (char *)kernel, .lane = LANE_WALL, .fs = (char *)fs,
			     .mode = (char *)mode, .image = (char *)image, .seed = 1 };
	struct run_options ro = { .accel = accel };
	struct session s = { .ro = &ro, .cells = &cell, .nr_cells = 1, .rd = { .lock = -1 } };
	char dir[] = "/tmp/shbench-shell-XXXXXX";
	char *initrd = NULL, *disk = NULL, *job, *tools, *cmdline = NULL;
	struct vm_disk disks[2] = {};
	struct vm_config cfg = { .interactive = true, .cpus = sec.cpus, .mem_mb = sec.mem >> 20, .disks = disks, .dir = dir };
	struct vm_result res = {};
	const struct image *img;
	int ret;

	snprintf(count, sizeof(count), "%u", n);
	sec.params = &param;
	sec.nr_params = 1;
	s.agent = agent_path();
	s.describe = agent_describe();
	ret = s.describe ? need_kernel(kernel, kernel, &s) : -EIO;
	if (!ret)
		ret = need_images(&s);
	if (!ret)
		ret = probe(&s);
	if (!ret && !mkdtemp(dir))
		ret = -errno;
	if (ret)
		goto out;
	img = image_by_name(&s, image);
	initrd = xasprintf("%s/initrd.cpio", dir);
	disk = xasprintf("%s/scratch.disk", dir);
	job = job_text(&cell, img);
	tools = tools_of(&s, &cell);
	cmdline = cell_cmdline(&cell, &s.kernels[0]);
	ret = initrd_build(initrd, s.agent, job, tools, NULL);
	free(job);
	free(tools);
	if (!ret) {
		cfg.accel = s.accel.accel;
		cfg.bzimage = s.kernels[0].b.bzimage;
		cfg.initrd = initrd;
		cfg.cmdline = cmdline;
		disks[cfg.nr_disks++] = (struct vm_disk){ .path = disk, .serial = "scratch", .raw_sparse = true,
							  .size = sec.device_size };
		if (!img->synthetic)
			disks[cfg.nr_disks++] = (struct vm_disk){ .path = img->tar, .serial = "image", .readonly = true };
		ret = vm_run(&cfg, &res);
		vm_result_free(&res);
	}
	remove_tree(dir);
out:
	free(initrd);
	free(disk);
	free(cmdline);
	s.cells = NULL;
	session_close(&s);
	return ret ? open_status(ret) : EXIT_OK;
}
