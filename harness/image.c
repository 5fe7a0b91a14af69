// SPDX-License-Identifier: GPL-2.0
/*
 * Images: from what the user names to a canonical tar in the cache; see image.h.
 *
 * Below cache_dir()/images: NAME-KEY.tar and beside it NAME-KEY.json with what struct image says of it. The key is
 *
 *	debian		suite, packages and RECIPE: a later call does not ask the mirror again
 *	debian-slim	the whole image's hash and SLIM_RECIPE
 *	a tar		sha256 of the file
 *	a directory	sha256 of the canonical tar made from it, that is, of its contents
 *
 * The JSON is written last: a tar without it does not count.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-tar.h"
#include "image.h"
#include "plan.h"
#include "run.h"
#include "store.h"
#include "util.h"
#include "vm.h"

#define SYNTHETIC_FILES	64
#define SYNTHETIC_BYTES	(16ull << 20)

/* Whole Debian images. Whoever changes how they are made raises RECIPE; the list of packages is part of the key anyway. */
#define RECIPE		"1"
static const struct debian {
	const char *name, *include;
	bool programs;		/* must have those that struct image tells of */
} debians[] = {
	{ "debian", "python3,nginx,redis-server", true },
	/* What the tests of xfstests call, and the libraries that its own programs are linked with. */
	{ "debian-xfstests", "acl,attr,bc,bsdextrautils,btrfs-progs,dbench,dmsetup,e2fsprogs,fdisk,file,fio,gawk,hostname,iproute2,"
			     "keyutils,kmod,libacl1,libaio1,libattr1,libcap2-bin,libgdbm6,liburing2,libuuid1,openssl,perl,procps,psmisc,"
			     "python3-minimal,quota,xfsdump,xfsprogs", false },
};
/* Times later than this are set to it, so that the same packages give the same bytes (2023-01-01). */
#define DEBIAN_EPOCH	"SOURCE_DATE_EPOCH=1672531200"
/* mmdebstrap reports this many steps. */
#define DEBIAN_STEPS	12

/* Raised when what the workload "openlist" starts changes. */
#define SLIM_RECIPE	"1"

/* --- the cache ---------------------------------------------------------------------------------------------------------- */

struct slot {
	char *tar, *json;
};

static void slot_free(struct slot *s)
{
	free(s->tar);
	free(s->json);
}

static int slot_init(struct slot *s, const char *name, const char *key)
{
	char *dir = xasprintf("%s/images", cache_dir());
	int ret = mkdir_p(dir);

	if (ret)
		err("%s: cannot make the directory: %s: let SHCACHE_CACHE name one that can be written to", dir, strerror(-ret));
	s->tar = xasprintf("%s/%s-%.16s.tar", dir, name, key);
	s->json = xasprintf("%s/%s-%.16s.json", dir, name, key);
	free(dir);
	return ret;
}

/* Fills img from the cache. False if it is not there, or not whole. */
static bool slot_load(const struct slot *s, struct image *img)
{
	const char *hash, *text;
	struct stat st;
	json_t *v;
	bool ok;

	if (stat(s->tar, &st) || !file_exists(s->json))
		return false;
	v = json_load_file(s->json, 0, NULL);
	hash = json_string_value(json_object_get(v, "hash"));
	text = json_string_value(json_object_get(v, "note"));
	ok = hash && text && json_integer_value(json_object_get(v, "size")) == st.st_size;
	if (ok) {
		img->tar = xstrdup(s->tar);
		img->hash = xstrdup(hash);
		img->note = xstrdup(text);
		img->files = json_integer_value(json_object_get(v, "files"));
		img->bytes = json_integer_value(json_object_get(v, "bytes"));
		img->programs = json_is_true(json_object_get(v, "programs"));
	}
	json_decref(v);
	return ok;
}

/* Describes the tar that was put into the slot. */
static int slot_save(const struct slot *s, const struct tar_info *info, const char *text, struct image *img)
{
	struct stat st;
	char hash[65];
	json_t *v;
	int ret = stat(s->tar, &st) ? -errno : sha256_file(s->tar, hash);

	if (ret) {
		err("%s: cannot read: %s", s->tar, strerror(-ret));
		return ret;
	}
	v = json_pack("{s:s,s:I,s:I,s:I,s:s,s:b}", "hash", hash, "size", (json_int_t)st.st_size, "files", (json_int_t)info->files,
		      "bytes", (json_int_t)info->bytes, "note", text, "programs", info->programs);
	ret = json_save(s->json, v);
	json_decref(v);
	if (ret)
		return ret;
	return slot_load(s, img) ? 0 : -EIO;
}

/* What was left out of a user's tree. */
static char *notes(const struct tar_info *info)
{
	struct buf b = {};

	buf_str(&b, "");
	if (info->dropped)
		buf_printf(&b, "without %u sockets and fifos", info->dropped);
	if (info->dropped_attrs)
		buf_printf(&b, "%swithout the extended attributes of %u entries", b.len ? ", " : "", info->dropped_attrs);
	return b.s;
}

/* --- synthetic ---------------------------------------------------------------------------------------------------------- */

static int get_synthetic(const char *params, struct image *img)
{
	char *text = xstrdup(params), *save = NULL, *canon;
	uint64_t files = SYNTHETIC_FILES, bytes = SYNTHETIC_BYTES;
	int ret = 0;

	for (char *p = strtok_r(text, ",", &save); p && !ret; p = strtok_r(NULL, ",", &save)) {
		char *value = strchr(p, '=');
		uint64_t *dst = NULL;

		if (value) {
			*value++ = '\0';
			dst = !strcmp(p, "files") ? &files : !strcmp(p, "bytes") ? &bytes : NULL;
		}
		if (!dst) {
			err("image synthetic: no parameter '%s': wanted are files=N and bytes=SIZE", p);
			ret = -EINVAL;
		} else if (parse_size(value, dst)) {
			err("image synthetic: %s is '%s', must be a number, with k, M or G at most", p, value);
			ret = -EINVAL;
		}
	}
	free(text);
	if (!ret && (files < 1 || files > 1000000 || bytes < files || bytes > 1ull << 40)) {
		err("image synthetic: files must be 1 to 1000000, bytes at least one per file and at most 1024G");
		ret = -EINVAL;
	}
	if (ret)
		return ret;
	img->synthetic = true;
	img->files = files;
	img->bytes = bytes;
	img->note = xstrdup("");
	img->hash = xmalloc(65);
	canon = xasprintf("synthetic files=%llu bytes=%llu", (unsigned long long)files, (unsigned long long)bytes);
	sha256_hex(canon, strlen(canon), img->hash);
	free(canon);
	return 0;
}

/* --- debian ------------------------------------------------------------------------------------------------------------- */

/* The host's code name ("bookworm"), or NULL. */
static char *host_codename(void)
{
	static const char key[] = "VERSION_CODENAME=";
	char *text, *s, *ret = NULL;

	if (read_file("/etc/os-release", &text, NULL))
		return NULL;
	for (s = text; s && !ret; s = strchr(s, '\n')) {
		s += *s == '\n';
		if (!strncmp(s, key, strlen(key))) {
			s += strlen(key);
			s += strspn(s, "\"'");
			ret = xstrndup(s, strcspn(s, "\"'\n"));
		}
	}
	free(text);
	return ret;
}

/* Lines of an apt sources list, for the archives of a release that this host uses itself. */
struct sources {
	char *line[16];
	size_t n;
};

/*
 * From "ORIGIN|CODENAME|RELEASE|URI|COMPONENT", one line for each list that apt has fetched; so any way of configuring apt
 * will do. Backports and other parties' archives are left out.
 */
static void add_source(struct sources *src, const char *codename, char *line)
{
	char *field[5], *save = NULL;
	size_t n = 0, len = strlen(codename);

	for (char *p = strtok_r(line, "|", &save); p && n < 5; p = strtok_r(NULL, "|", &save))
		field[n++] = p;
	if (n != 5 || strcmp(field[0], "Debian") || strcmp(field[4], "main") || src->n == ARRAY_SIZE(src->line))
		return;
	if (strncmp(field[1], codename, len) ||
	    (field[1][len] && strcmp(field[1] + len, "-updates") && strcmp(field[1] + len, "-security")))
		return;
	src->line[src->n++] = xasprintf("deb %s %s main", field[3], field[2]);
}

static int find_sources(struct sources *src, const char *codename)
{
	static const char *const argv[] = { "apt-get", "indextargets", "--format",
		"$(ORIGIN)|$(CODENAME)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)", "Created-By: Packages", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	char *save = NULL;
	int ret = run_cmd(argv, &ro);

	if (!ret && out.s)
		for (char *p = strtok_r(out.s, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
			add_source(src, codename, p);
	buf_free(&out);
	if (src->n)
		return 0;
	err("image debian: apt has no package lists of a Debian release '%s' here: run `apt-get update` as root; on another system "
	    "give a tar or a directory as image", codename);
	return ret == -EINTR ? ret : -ENOENT;
}

/* The host's proxy and time-out settings, in apt's own syntax, so that mmdebstrap reaches what apt reaches. */
static int write_apt_conf(const char *path)
{
	static const char *const argv[] = { "apt-config", "dump", "Acquire::http", "Acquire::https", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	int ret = run_cmd(argv, &ro);

	if (!ret)
		ret = write_file_atomic(path, out.s ? out.s : "", out.len);
	if (ret)
		err("image debian: cannot pass on apt's settings: %s", ret < 0 ? strerror(-ret) : "apt-config failed");
	buf_free(&out);
	return ret > 0 ? -EIO : ret;
}

/* What an ordinary user lacks for mmdebstrap; "" if nothing is known. */
static const char *user_hint(void)
{
	const struct passwd *pw = getpwuid(getuid());
	char *text = NULL, *line;
	bool mapped = false;

	if (geteuid() == 0)
		return "";
	if (!file_exists("/usr/bin/newuidmap"))
		return "; an ordinary user needs newuidmap: install the package uidmap";
	if (!read_file("/etc/subuid", &text, NULL) && pw) {
		line = xasprintf("%s:", pw->pw_name);
		mapped = strstr(text, line);
		free(line);
	}
	free(text);
	if (!mapped)
		return "; an ordinary user needs a range of ids: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER` as "
		       "root, or build the image as root once with the same SHCACHE_CACHE";
	return "; if user namespaces are forbidden here (sysctl kernel.unprivileged_userns_clone, "
	       "kernel.apparmor_restrict_unprivileged_userns), build the image as root once with the same SHCACHE_CACHE";
}

struct steps {
	unsigned int done;
	char *error;
};

static void on_line(const char *line, void *arg)
{
	struct steps *s = arg;

	if (!strncmp(line, "I: ", 3) && strncmp(line, "I: running --", 13))
		progress(s->done++, DEBIAN_STEPS, "debian image: %s", line + 3);
	/* The first cause is more telling than what follows from it. */
	if (!s->error && (!strncmp(line, "E: ", 3) || strstr(line, "No space left")))
		s->error = xstrdup(line);
}

static int make_debian(const struct debian *d, const char *codename, const struct sources *src, const char *conf, const char *log, const char *target)
{
	/* Nothing of this host may get into the image, above all no mirror or proxy with a password. */
	static const char clean[] =
		"--customize-hook=rm -f \"$1\"/etc/resolv.conf \"$1\"/etc/hostname \"$1\"/etc/apt/sources.list "
		"\"$1\"/etc/apt/sources.list.d/* \"$1\"/etc/apt/apt.conf.d/99mmdebstrap";
	static const char *const env[] = { DEBIAN_EPOCH, NULL };
	char *aptopt = xasprintf("--aptopt=%s", conf), *include = xasprintf("--include=%s", d->include);
	const char *argv[16 + ARRAY_SIZE(src->line)] = {
		"mmdebstrap", "--variant=minbase", "--format=tar", include,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/info/*", "--dpkgopt=path-exclude=/usr/share/locale/*", clean, aptopt, codename, target,
	};
	struct steps steps = {};
	struct run_opts ro = { .log = log, .env = env, .line = on_line, .arg = &steps };
	size_t n = 0;
	int ret;

	while (argv[n])
		n++;
	for (size_t i = 0; i < src->n; i++)
		argv[n++] = src->line[i];
	ret = run_cmd(argv, &ro);
	progress(-1, 0, " ");
	if (ret == 127) {
		err("image debian: mmdebstrap is not there: `make deps`");
		ret = -ENOENT;
	} else if (ret && ret != -EINTR) {
		err("image debian: mmdebstrap: %s%s; the whole log: %s", steps.error ? steps.error : "failed", user_hint(), log);
		ret = ret < 0 ? ret : -EIO;
	}
	free(steps.error);
	free(aptopt);
	free(include);
	return ret;
}

static int build_debian(const struct debian *d, const char *codename, const struct slot *s, struct image *img)
{
	char *logs = xasprintf("%s/log", cache_dir()), *log = xasprintf("%s/image-debian.log", logs);
	char *raw = xasprintf("%s.raw-%d", s->tar, getpid()), *conf;
	char dir[] = "/tmp/shbench-image-XXXXXX";	/* private: a proxy may have a password */
	struct sources src = {};
	struct tar_info info;
	int ret;

	if (!mkdtemp(dir)) {
		err("%s: cannot make a directory: %s", dir, strerror(errno));
		dir[0] = '\0';
	}
	conf = xasprintf("%s/apt.conf", dir);
	mkdir_p(logs);
	unlink(log);
	ret = dir[0] ? find_sources(&src, codename) : -EIO;
	if (!ret)
		ret = write_apt_conf(conf);
	if (!ret) {
		note("image debian: fetching %s packages with mmdebstrap, once", codename);
		ret = make_debian(d, codename, &src, conf, log, raw);
	}
	if (!ret)
		ret = tar_from_tar(raw, s->tar, TAR_DROP_DEVICES, &info);
	if (!ret && d->programs && !info.programs) {
		err("image debian: %s has not all programs (python3, nginx, redis-server); the log: %s", raw, log);
		ret = -EIO;
	}
	if (!ret)
		ret = slot_save(s, &info, "", img);
	unlink(raw);
	if (dir[0])
		remove_tree(dir);
	for (size_t i = 0; i < src.n; i++)
		free(src.line[i]);
	free(raw);
	free(conf);
	free(log);
	free(logs);
	return ret;
}

static const struct debian *debian_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(debians); i++)
		if (!strcmp(debians[i].name, name))
			return &debians[i];
	return NULL;
}

static int get_debian(const struct debian *d, struct image *img)
{
	char *codename = host_codename(), *name, *what, key[65];
	struct slot s;
	int ret;

	if (!codename) {
		err("image debian: /etc/os-release names no release (VERSION_CODENAME): give a tar or a directory as image");
		return -ENOENT;
	}
	what = xasprintf("debian %s %s %s", RECIPE, codename, d->include);
	sha256_hex(what, strlen(what), key);
	name = xasprintf("%s-%s", d->name, codename);
	ret = slot_init(&s, name, key);
	if (!ret && !slot_load(&s, img))
		ret = build_debian(d, codename, &s, img);
	slot_free(&s);
	free(name);
	free(what);
	free(codename);
	return ret;
}

/* --- debian-slim -------------------------------------------------------------------------------------------------------- */

/* The workload that starts the image's programs and says which files they opened, and its records. */
#define OPENLIST "openlist"

static const char openlist_job[] =
	"proto 1\nworkload " OPENLIST "\nlane wall\nseed 1\nfs xfs\nmode reflink\ndevice virtio\nimage tar\n";

/* Collects the paths of all records of that kind; names is an array of strings that belong to records. */
static size_t opened_paths(const json_t *records, const char ***names)
{
	size_t n = 0, i, j;
	json_t *rec, *path;

	*names = NULL;
	json_array_foreach((json_t *)records, i, rec) {
		const char *k = json_string_value(json_object_get(rec, "k"));

		if (!k || strcmp(k, OPENLIST))
			continue;
		json_array_foreach(json_object_get(rec, "v"), j, path) {
			if (!json_is_string(path))
				continue;
			*names = xrealloc(*names, (n + 1) * sizeof(**names));
			(*names)[n++] = json_string_value(path);
		}
	}
	return n;
}

/* Boots once; res needs vm_result_free() in any case. */
static int trace(const char *bzimage, const struct image *whole, const char *dir, const char *console, struct vm_result *res)
{
	static const char probe_job[] = "proto 1\nworkload canary\nlane wall\nseed 1\n";
	char *agent = agent_path(), *initrd = xasprintf("%s/initrd.cpio", dir), *disk = xasprintf("%s/scratch", dir);
	const struct vm_disk disks[] = {
		{ .path = disk, .serial = "scratch", .raw_sparse = true, .size = 4ull << 30 },
		{ .path = whole->tar, .serial = "image", .readonly = true },
	};
	struct vm_config cfg = { .bzimage = bzimage, .initrd = initrd, .mem_mb = 1024, .cpus = 2, .disks = disks,
				 .nr_disks = ARRAY_SIZE(disks), .boot_s = 60, .idle_s = 120, .total_s = 900, .dir = dir,
				 .console = console };
	struct accel_answer accel = {};
	int ret = initrd_build(initrd, agent, probe_job, NULL, NULL);

	if (!ret)
		ret = accel_probe(NULL, bzimage, initrd, ACCEL_AUTO, &accel);
	cfg.accel = accel.accel;
	free(accel.why);
	if (!ret)
		ret = initrd_build(initrd, agent, openlist_job, "mkfs.xfs", NULL);
	if (!ret) {
		note("image debian-slim: booting the whole image to see what its programs open, once");
		ret = vm_run(&cfg, res);
	}
	if (!ret && res->verdict != VM_PASSED) {
		err("image debian-slim: tracing in a guest: %s: %s; console: %s", vm_verdict_name(res->verdict), res->why, console);
		ret = -EIO;
	}
	free(agent);
	free(initrd);
	free(disk);
	return ret;
}

static int build_slim(const char *bzimage, const struct image *whole, const struct slot *s, struct image *img)
{
	char dir[] = "/tmp/shbench-image-XXXXXX";
	char *logs = xasprintf("%s/log", cache_dir()), *console = xasprintf("%s/image-slim.console", logs), *text;
	struct vm_result res = {};
	const char **names = NULL;
	struct tar_info info;
	size_t nr;
	int ret;

	mkdir_p(logs);
	if (!mkdtemp(dir)) {
		ret = -errno;
		err("%s: cannot make a directory: %s", dir, strerror(errno));
		goto out;
	}
	ret = trace(bzimage, whole, dir, console, &res);
	remove_tree(dir);
	if (ret)
		goto out;
	nr = opened_paths(res.records, &names);
	if (!nr) {
		err("image debian-slim: the guest named no opened file; console: %s", console);
		ret = -EIO;
		goto out;
	}
	ret = tar_slim(whole->tar, s->tar, names, nr, &info);
	if (!ret) {
		text = xasprintf("slimmed to the %u files that the programs open, %.0f MB of %.0f MB", info.files, info.bytes / 1e6,
				 whole->bytes / 1e6);
		ret = slot_save(s, &info, text, img);
		free(text);
	}
out:
	vm_result_free(&res);
	free(names);
	free(console);
	free(logs);
	return ret;
}

static int get_slim(const char *bzimage, struct image *img)
{
	struct image whole = {};
	char *what, key[65];
	struct slot s;
	int ret = get_debian(debian_by_name("debian"), &whole);

	if (ret) {
		image_free(&whole);
		return ret;
	}
	what = xasprintf("slim %s %s", SLIM_RECIPE, whole.hash);
	sha256_hex(what, strlen(what), key);
	free(what);
	ret = slot_init(&s, "debian-slim", key);
	if (!ret && !slot_load(&s, img)) {
		if (bzimage) {
			ret = build_slim(bzimage, &whole, &s, img);
		} else {
			err("image debian-slim: making it needs a kernel to boot");
			ret = -EINVAL;
		}
	}
	slot_free(&s);
	image_free(&whole);
	return ret;
}

/* --- the user's --------------------------------------------------------------------------------------------------------- */

static int get_tar(const char *path, struct image *img)
{
	struct tar_info info;
	char key[65], *text;
	struct slot s;
	int ret = sha256_file(path, key);

	if (ret) {
		err("%s: cannot read: %s", path, strerror(-ret));
		return ret;
	}
	ret = slot_init(&s, "tar", key);
	if (!ret && !slot_load(&s, img)) {
		ret = tar_from_tar(path, s.tar, 0, &info);
		if (!ret) {
			text = notes(&info);
			ret = slot_save(&s, &info, text, img);
			free(text);
		}
	}
	slot_free(&s);
	return ret;
}

static int get_dir(const char *path, struct image *img)
{
	char *text, pid[16], key[65];
	struct tar_info info;
	struct slot tmp, s;
	int ret;

	/* Its contents are known only when they have been read, so it is always packed. */
	snprintf(pid, sizeof(pid), "new-%d", getpid());
	ret = slot_init(&tmp, "dir", pid);
	if (!ret)
		ret = tar_from_dir(path, tmp.tar, &info);
	if (!ret)
		ret = sha256_file(tmp.tar, key);
	if (!ret) {
		slot_init(&s, "dir", key);
		if (!slot_load(&s, img)) {
			if (rename(tmp.tar, s.tar)) {
				ret = -errno;
				err("%s: cannot write: %s", s.tar, strerror(errno));
			} else {
				text = notes(&info);
				ret = slot_save(&s, &info, text, img);
				free(text);
			}
		}
		slot_free(&s);
	}
	unlink(tmp.tar);
	slot_free(&tmp);
	return ret;
}

static int get_path(const char *path, struct image *img)
{
	static const char *const names[] = { "synthetic", "debian", "debian-slim", "debian-xfstests", NULL };
	struct stat st;
	char *near;

	if (stat(path, &st)) {
		int ret = -errno;

		near = near_misses(path, names);
		if (strchr(path, '/'))
			err("image %s: %s", path, strerror(-ret));
		else
			err("no image '%s'%s; there are synthetic, debian, debian-slim, a tar file, or a directory", path, near);
		free(near);
		return ret;
	}
	if (S_ISDIR(st.st_mode))
		return get_dir(path, img);
	if (S_ISREG(st.st_mode))
		return get_tar(path, img);
	err("image %s: neither a tar file nor a directory", path);
	return -EINVAL;
}

int image_get(const char *spec, const char *bzimage, struct image *out)
{
	static const char synthetic[] = "synthetic";
	size_t len = strlen(synthetic);
	int ret;

	memset(out, 0, sizeof(*out));
	out->name = xstrdup(spec);
	if (!strncmp(spec, synthetic, len) && (!spec[len] || spec[len] == ':'))
		ret = get_synthetic(spec[len] ? spec + len + 1 : "", out);
	else if (debian_by_name(spec))
		ret = get_debian(debian_by_name(spec), out);
	else if (!strcmp(spec, "debian-slim"))
		ret = get_slim(bzimage, out);
	else
		ret = get_path(spec, out);
	if (ret)
		image_free(out);
	return ret;
}

void image_free(struct image *img)
{
	free(img->name);
	free(img->tar);
	free(img->hash);
	free(img->note);
	memset(img, 0, sizeof(*img));
}
