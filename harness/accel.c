// SPDX-License-Identifier: GPL-2.0
/*
 * Which accelerator really boots a guest; see vm.h.
 *
 * That /dev/kvm exists and can be opened says nothing: there are hosts (virtual machines without nesting, PVM) where it creates
 * a VM and a vCPU and then boots no kernel, and QEMU sits there for ever. So a guest is booted, with the kernel that is
 * going to be measured, and has to say that it is well.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util.h"
#include "vm.h"

/* Under KVM the canary is done within two seconds. */
#define PROBE_S		20.0
#define PROBE_MEM_MB	512

static const char *const names[] = { [ACCEL_AUTO] = "auto", [ACCEL_KVM] = "kvm", [ACCEL_TCG] = "tcg" };

const char *accel_name(enum vm_accel a)
{
	return (size_t)a < ARRAY_SIZE(names) ? names[a] : "?";
}

/* Where KVM fails before any guest: the reason, malloced, or NULL. */
static char *kvm_device(void)
{
	const char *dev = getenv("SHBENCH_KVM");
	int fd, vm, version, saved;

	/* Tests name another device. */
	if (!dev)
		dev = "/dev/kvm";
	fd = open(dev, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return xasprintf("no %s on this host", dev);
	if (fd < 0)
		return xasprintf("%s is there, but: %s%s", dev, strerror(errno),
				 errno == EACCES ? "; add yourself to the group kvm" : "");
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	vm = version == KVM_API_VERSION ? ioctl(fd, KVM_CREATE_VM, 0) : -1;
	saved = errno;
	close(fd);
	if (vm >= 0) {
		close(vm);
		return NULL;
	}
	return version == KVM_API_VERSION ? xasprintf("%s is there, but creates no VM: %s", dev, strerror(saved)) :
					    xasprintf("%s is there, but has no KVM behind it", dev);
}

/* Boots the canary. Returns 0, -ENODEV or -EINTR; *why says what happened. */
static int canary(const char *qemu, const char *bzimage, const char *initrd, char **why)
{
	char dir[] = "/tmp/shbench-probe-XXXXXX";
	struct vm_config cfg = { .qemu = qemu, .accel = ACCEL_KVM, .lane = LANE_WALL, .bzimage = bzimage, .initrd = initrd,
				 .mem_mb = PROBE_MEM_MB, .cpus = 1, .boot_s = PROBE_S, .idle_s = PROBE_S, .total_s = PROBE_S,
				 .dir = dir };
	struct vm_result res;
	int ret;

	if (!mkdtemp(dir)) {
		*why = xasprintf("%s: %s", dir, strerror(errno));
		return -errno;
	}
	ret = vm_run(&cfg, &res);
	if (!ret && res.verdict == VM_PASSED) {
		*why = xasprintf("KVM: a canary guest was up after %.1f s", res.boot_s);
	} else if (!ret) {
		*why = xasprintf("KVM is there and creates VMs, but boots no kernel (%s: %s)", vm_verdict_name(res.verdict), res.why);
		ret = -ENODEV;
	}
	vm_result_free(&res);
	remove_tree(dir);
	return ret;
}

/* What the answer depends on. NULL if it can't be known, and then nothing is cached. */
static char *cache_path(const char *qemu, const char *bzimage)
{
	char *boot_id = NULL, *version = vm_qemu_version(qemu), *text, *path = NULL, hash[65], image[65];

	if (version && !read_file("/proc/sys/kernel/random/boot_id", &boot_id, NULL) && !sha256_file(bzimage, image)) {
		text = xasprintf("%s\n%s\n%s\n", version, boot_id, image);
		sha256_hex(text, strlen(text), hash);
		path = xasprintf("%s/accel/%.16s.json", cache_dir(), hash);
		free(text);
	}
	free(version);
	free(boot_id);
	return path;
}

static bool cache_load(const char *path, struct accel_answer *out)
{
	json_t *o = json_load_file(path, 0, NULL);
	const char *accel = json_string_value(json_object_get(o, "accel")), *why = json_string_value(json_object_get(o, "why"));
	bool ok = accel && why && (!strcmp(accel, "kvm") || !strcmp(accel, "tcg"));

	if (ok)
		*out = (struct accel_answer){ strcmp(accel, "kvm") ? ACCEL_TCG : ACCEL_KVM, xstrdup(why), true };
	json_decref(o);
	return ok;
}

static void cache_store(const char *path, const struct accel_answer *a)
{
	char *dir = xstrdup(path), *text;
	json_t *o = json_pack("{s:s,s:s}", "accel", accel_name(a->accel), "why", a->why);

	*strrchr(dir, '/') = '\0';
	text = json_dumps(o, 0);
	/* A cache that can't be written costs a few seconds each time, no more. */
	if (mkdir_p(dir) || write_file_atomic(path, text, strlen(text)))
		note("%s: can't be written; the accelerator will be probed again", path);
	free(text);
	free(dir);
	json_decref(o);
}

int accel_probe(const char *qemu, const char *bzimage, const char *initrd, enum vm_accel force, struct accel_answer *out)
{
	char *path, *why;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	if (force == ACCEL_TCG) {
		*out = (struct accel_answer){ ACCEL_TCG, xstrdup("TCG was asked for"), false };
		return 0;
	}
	path = cache_path(qemu, bzimage);
	if (!path || !cache_load(path, out)) {
		why = kvm_device();
		if (why)
			ret = -ENODEV;
		else
			ret = canary(qemu, bzimage, initrd, &why);
		if (ret && ret != -ENODEV) {
			if (ret != -EINTR)
				err("accelerator: %s", why);
			free(why);
			free(path);
			return ret;
		}
		*out = (struct accel_answer){ ret ? ACCEL_TCG : ACCEL_KVM, why, false };
		if (path)
			cache_store(path, out);
	}
	free(path);
	if (force == ACCEL_KVM && out->accel != ACCEL_KVM) {
		err("--accel kvm: %s; leave the option out to use TCG", out->why);
		free(out->why);
		memset(out, 0, sizeof(*out));
		return -ENODEV;
	}
	return 0;
}
