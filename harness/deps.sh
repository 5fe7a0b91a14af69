#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The packages that building and running need, and what proves that each is there. This is the only list of them. It is a
# script, not part of the command, because the compiler and the libraries of the command are among them.
#
#	deps.sh			checks; as root installs what is missing, as an ordinary user says how
#	deps.sh --list		prints the whole table: package, proof, purpose, separated by tabs
#	deps.sh --list-missing	prints the rows of what is missing
#
# A proof is cmd:PROGRAM, hdr:HEADER (below an include directory), file:PATH, or user:PROGRAM: a program that only ordinary users need.
# Exit codes: 0 all is there (now); 2 usage; 3 something is missing. --list-missing ends with 0 in either case.
#
# DEPS_ROOT, a directory, is looked at instead of / (for tests).
set -u

tab=$(printf '\t')
table() {
	sed "/^#/d; s/^\([^$tab]*\)$tab*\([^$tab]*\)$tab*/\1$tab\2$tab/" <<-'END'
	# package		proof					purpose
	gcc			cmd:gcc					compiler
	binutils		cmd:ld					linker
	make			cmd:make				build
	libc6-dev		hdr:stdio.h				C library
	libarchive-dev		hdr:archive.h				tar and initramfs
	libinih-dev		hdr:ini.h				plans and kernel descriptions
	libjansson-dev		hdr:jansson.h				JSON
	libmd-dev		hdr:sha256.h				hashes
	zlib1g-dev		hdr:zlib.h				checksums
	libcmocka-dev		hdr:cmocka.h				unit tests
	linux-source-6.12	file:/usr/src/linux-source-6.12.tar.xz	kernel source
	bc			cmd:bc					kernel build
	bison			cmd:bison				kernel build
	flex			cmd:flex				kernel build
	libelf-dev		hdr:libelf.h				kernel build
	xz-utils		cmd:xz					unpacking the kernel source
	patch			cmd:patch				patch series
	git			cmd:git					patch series
	ccache			cmd:ccache				quick rebuilds
	qemu-system-x86		cmd:qemu-system-x86_64			virtual machines
	busybox-static		file:/bin/busybox			guest's shell and tools
	xfsprogs		cmd:mkfs.xfs				file systems under test
	btrfs-progs		cmd:mkfs.btrfs				file systems under test
	fio			cmd:fio					workload
	mmdebstrap		cmd:mmdebstrap				Debian image
	uidmap			user:newuidmap				Debian image as an ordinary user
	gnuplot-nox		cmd:gnuplot				plots
	libxml2-utils		cmd:xmllint				tests of plots
	END
}

root=${DEPS_ROOT:-}
# Ordinary users have no sbin in PATH; mkfs is there.
path=${DEPS_ROOT:+/usr/bin}
path=${path:-$PATH}:/usr/sbin:/sbin:/usr/bin:/bin

has_program() (
	IFS=:
	for d in $path; do
		[ -x "$root$d/$1" ] && exit 0
	done
	exit 1
)

is_there() {
	case $1 in
	cmd:*)
		has_program "${1#cmd:}"
		;;
	user:*)
		[ "$(id -u)" -eq 0 ] || has_program "${1#user:}"
		;;
	hdr:*)
		for d in "$root"/usr/include "$root"/usr/local/include "$root"/usr/include/*-linux-gnu; do
			[ -e "$d/${1#hdr:}" ] && return 0
		done
		return 1
		;;
	file:*)
		[ -e "$root${1#file:}" ]
		;;
	esac
}

missing() {
	table | while IFS=$tab read -r package proof purpose; do
		is_there "$proof" || printf '%s\t%s\t%s\n' "$package" "$proof" "$purpose"
	done
}

case ${1:-} in
'') ;;
--list)
	table
	exit 0
	;;
--list-missing)
	missing
	exit 0
	;;
*)
	echo "usage: deps.sh [--list | --list-missing]" >&2
	exit 2
	;;
esac

rows=$(missing)
[ -z "$rows" ] && exit 0
packages=$(echo "$rows" | cut -f1 | tr '\n' ' ')
packages=${packages% }

if ! command -v apt-get >/dev/null; then
	echo "deps: these are missing; install them with your system's package manager (Debian's names in front):" >&2
	echo "$rows" | sed 's/^/  /' >&2
	exit 3
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing: $packages" >&2
	echo "deps: as root: apt-get update && apt-get install --no-install-recommends $packages" >&2
	exit 3
fi

log=$(mktemp) || exit 3
trap 'rm -f "$log"' EXIT
echo "deps: installing $(echo "$packages" | wc -w) packages with apt-get: $packages" >&2
# An update that fails in part (another party's archive is down) need not matter: the install decides.
apt-get -q update >"$log" 2>&1 || echo "deps: warning: apt-get update: $(grep -m1 '^[EW]:' "$log")" >&2
# shellcheck disable=SC2086 # one word for each package
if ! DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $packages >"$log" 2>&1; then
	echo "deps: apt-get install failed: $(grep -m1 '^E:' "$log" || tail -n 1 "$log")" >&2
	exit 3
fi
rows=$(missing)
if [ -n "$rows" ]; then
	echo "deps: still missing after the installation:" >&2
	echo "$rows" | sed 's/^/  /' >&2
	exit 3
fi
echo "deps: everything is there" >&2
