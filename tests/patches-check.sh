#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Whether the patch series can be sent: `make patches-check`. Prints TAP and, as the last line, a summary.
#
#   patches-check.sh [--series DIR] [--all] [--boot | --no-boot] [--style] [--clean]
#
#	--series DIR	another directory with a `series` file than patches/linux-6.12
#	--all		build the whole kernel after each patch, not only after each eighth and the last
#	--boot		boot after each patch (builds the whole kernel after each), not only after the last
#	--no-boot	boot nothing
#	--style		only what needs no compiler: patches apply, checkpatch
#	--clean		begin with a new source tree
#
# Per patch: it applies without fuzz; it is no fixup!; checkpatch --strict is content; every object of every file that the series
# touches compiles with it, with CONFIG_SHCACHE=y and =n, and W=1 says nothing of them that it does not say without
# the series. For the last patch also: whole kernels with y and n, the debug option, sparse, kernel-doc, a boot in which clones share.
#
# "Every object that the series touches", not "that the patch touches": a patch that changes a header is so compiled with
# all its users in the series. What else includes the header is compiled where a whole kernel is built.
#
# Everything is below $SHCACHE_CACHE/patches-check: src/ (a git tree), src/O-{y,n,debug}/ (build directories, kept from run to
# run, so that only what differs is compiled), log/, top/ (what boots see). MAKE names another make.
# Exit codes: 0 all is well; 1 findings; 2 usage; 3 could not be carried out.
set -u
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
cache=${SHCACHE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/shcache}
work=$cache/patches-check
src=$work/src
log=$work/log
series=$top/patches/linux-6.12
make=${MAKE:-make}
package=linux-source-6.12
base_tag=shbench-base
whole_every=8
whole=some boot=last style_only='' clean=''

tests=0 failed=0 skipped=0
patches=()	# names in the order of the series
commits=()	# commits[i]: the tree with patches 0..i
sources=()	# .c files that the series touches
touched=()	# all files that the series touches

# --- What checkpatch says and does not count. Type, file, message (both regular expressions), why.
ignored() {
	sed '/^#/d' <<-'END'
	# One directory of files cannot be sent with a MAINTAINERS entry before it is known who takes them.
	FILE_PATH_CHANGES	.*		.*
	# XFS: arguments and parameters begin on a line of their own, two tabs deep; uint64_t in what is near the disk format;
	# the names of mount options are there already.
	PARENTHESIS_ALIGNMENT	fs/xfs/.*	.*
	OPEN_ENDED_LINE		fs/xfs/.*	.*
	PREFER_KERNEL_TYPES	fs/xfs/.*	.*
	CAMELCASE		fs/xfs/.*	.*<Opt_[a-z_]*>
	# btrfs: the names of mount options, and messages that begin where they fit, are there already.
	CAMELCASE		fs/btrfs/super\.c	.*<Opt_[a-z_]*>
	PARENTHESIS_ALIGNMENT	fs/btrfs/(zlib|zstd)\.c	.*
	# Trace events: the form that all of them have.
	PARENTHESIS_ALIGNMENT	include/trace/events/.*	.*
	OPEN_ENDED_LINE		include/trace/events/.*	.*
	# VM_BUG_ON_VMA() of rmap_walk_file(): moved, not new.
	AVOID_BUG		mm/rmap\.c	.*
	END
}

# --- What sparse says and does not count.
sparse_ignored() {
	sed '/^#/d' <<-'END'
	# It does not see that pte_offset_map_lock() takes the lock that pte_unmap_unlock() releases; it says the same of every
	# function of the unpatched mm/memory.c that uses them.
	mm/memory.c: warning: context imbalance in 'wp_page_unshare_shcache'
	mm/shcache.c: warning: context imbalance in 'shcache_install'
	END
}

die() {
	echo "patches-check: $*" >&2
	exit 3
}

# --- TAP

# result STATUS NAME [FILE]: one line; the lines of FILE say what is wrong.
result() {
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests - $2"
		return 0
	fi
	failed=$((failed + 1))
	echo "not ok $tests - $2"
	if [ -n "${3:-}" ] && [ -s "$3" ]; then
		sed 's/^/# /' "$3"
	fi
	return 1
}

skip() {
	tests=$((tests + 1)) skipped=$((skipped + 1))
	echo "ok $tests - $1 # SKIP $2"
}

summary() {
	echo "1..$tests"
	echo "patches-check: ${#patches[@]} patches: $((tests - failed - skipped)) passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
}

# --- Source tree

# git free of the user's settings, in the tree, always as the same person at the same time: equal trees get equal commits.
tree_git() {
	env -u GIT_DIR -u GIT_WORK_TREE GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null \
		GIT_AUTHOR_NAME=shbench GIT_AUTHOR_EMAIL=shbench GIT_COMMITTER_NAME=shbench GIT_COMMITTER_EMAIL=shbench \
		GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' \
		git -C "$src" "$@"
}

# The tree of the unpatched source; a new version of the package makes a new one.
prepare_tree() {
	local now
	now=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || die "$package is not installed: make deps"
	if [ -n "$clean" ] || [ "$(cat "$work/version" 2>/dev/null)" != "$now" ]; then
		rm -rf "$src" "$work/version"
		"$top/shbench" kernel tree base "$src" >"$log/tree" 2>&1 || { cat "$log/tree" >&2; die "no source tree"; }
		echo "$now" >"$work/version"
	fi
	# We hold the lock: this one is of a run that was killed.
	rm -f "$src/.git/index.lock"
	local mark
	for mark in "$src"/O-*/.unfinished; do
		[ -e "$mark" ] || continue
		echo "# ${mark%/*}: an earlier run was cut off, starting afresh"
		rm -rf "${mark%/*}"
	done
}

# Brings the files to a commit. Only what differs is written.
go_to() {
	tree_git checkout -q --detach -f "$1" || die "$src: cannot check out $1"
}

# Names of the patches, and copies: the series may change while we are at it.
read_series() {
	local p
	[ -r "$series/series" ] || die "$series/series: cannot be read"
	rm -rf "$work/series"
	mkdir -p "$work/series"
	while read -r p _; do
		case $p in '' | '#'*) continue ;; esac
		cp "$series/$p" "$work/series/" || die "$series/series lists $p, which is not there"
		patches+=("$p")
	done <"$series/series"
	[ ${#patches[@]} -gt 0 ] || die "$series/series lists no patch"
}

# Makes a commit of each patch, in an index of our own: no file is touched. git apply knows no fuzz. Returns 1 at the first
# patch that does not apply.
apply_series() {
	local i p subject tree parent
	export GIT_INDEX_FILE=$work/index
	parent=$(tree_git rev-parse "$base_tag^{commit}") || die "$src: no $base_tag"
	tree_git read-tree "$parent" || die "$src: cannot be read"
	for i in "${!patches[@]}"; do
		p=$work/series/${patches[i]}
		if ! tree_git apply --cached --whitespace=nowarn --verbose "$p" >"$log/apply" 2>&1; then
			grep '^error:' "$log/apply" >"$log/why"
			result 1 "${patches[i]}: applies" "$log/why"
			unset GIT_INDEX_FILE
			return 1
		fi
		result 0 "${patches[i]}: applies"
		sed -n 's/^\(Hunk #[0-9]* succeeded .*\)/# moved: \1/p' "$log/apply"
		subject=$(sed -n 's/^Subject: //p;/^$/q' "$p" | head -n 1)
		tree=$(tree_git write-tree) || die "$src: cannot write the tree of ${patches[i]}"
		parent=$(tree_git commit-tree -p "$parent" -m "${subject:-none}" "$tree") ||
			die "$src: cannot commit ${patches[i]}"
		commits+=("$parent")
	done
	unset GIT_INDEX_FILE
	mapfile -t touched < <(tree_git log --name-only --format= "$base_tag..$parent" | sort -u)
	mapfile -t sources < <(printf '%s\n' "${touched[@]}" | grep '\.c$')
}

# --- Style

# Takes from checkpatch's lines (FILE:LINE: LEVEL:TYPE: MESSAGE) what ignored() lists.
drop_ignored() {
	local type file message
	local -a not=()
	while read -r type file message; do
		not+=(-e "^$file:[0-9]+: [A-Z]+:$type: $message\$")
	done < <(ignored)
	# FILE_PATH_CHANGES and its like have no file.
	not+=(-e '[A-Z]+:FILE_PATH_CHANGES: ')
	grep -vE "${not[@]}"
}

check_style() {
	local i subject
	go_to "$base_tag"
	for i in "${!patches[@]}"; do
		subject=$(sed -n 's/^Subject: *\(\[[^]]*\] *\)\?//p;/^$/q' "$work/series/${patches[i]}" | head -n 1)
		case $subject in
		fixup!* | squash!* | amend!*)
			result 1 "${patches[i]}: is a patch of its own (squash it)"
			skip "${patches[i]}: checkpatch --strict" "to be squashed"
			continue
			;;
		esac
		(cd "$src" && perl scripts/checkpatch.pl --strict --terse --showfile --show-types --no-summary \
			"$work/series/${patches[i]}") >"$log/checkpatch.all" 2>"$log/checkpatch.err"
		# Nothing at all and a failure is checkpatch's own failure, not praise.
		if grep -q ':[0-9]*: ' "$log/checkpatch.all" || [ ! -s "$log/checkpatch.err" ]; then
			drop_ignored <"$log/checkpatch.all" >"$log/why"
		else
			cp "$log/checkpatch.err" "$log/why"
		fi
		[ ! -s "$log/why" ]
		result $? "${patches[i]}: checkpatch --strict" "$log/why"
	done
}

# --- Compiling

# kmake VARIANT ARGUMENT...: make in src/O-VARIANT as the kernel builder calls it, so that both find each other's objects in
# ccache.
kmake() {
	local obj=$src/O-$1 status
	local -a compiler=(CC=gcc HOSTCC=gcc)
	shift
	: >"$obj/.unfinished"
	if command -v ccache >/dev/null; then
		compiler=("CC=ccache gcc" "HOSTCC=ccache gcc")
	fi
	env MAKEFLAGS= MFLAGS= MAKELEVEL=0 GNUMAKEFLAGS= MAKEOVERRIDES= KBUILD_OUTPUT= CFLAGS= HOSTCFLAGS= \
		KBUILD_BUILD_USER=shbench KBUILD_BUILD_HOST=shbench KBUILD_BUILD_VERSION=1 \
		KBUILD_BUILD_TIMESTAMP='Mon Jan  1 00:00:00 UTC 2024' KCONFIG_ALLCONFIG="$obj/wanted.config" \
		CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=10G CCACHE_DIR="${CCACHE_DIR:-$cache/ccache}" \
		"$make" --no-print-directory -C "$src" O="$obj" -j"$(nproc)" ARCH=x86 CROSS_COMPILE= LLVM= LOCALVERSION= \
		KCFLAGS= KCPPFLAGS= KAFLAGS= KBUILD_EXTMOD= V=0 KCONFIG_CONFIG=.config "${compiler[@]}" "$@"
	status=$?
	# Unless make was killed it has removed what it had not finished.
	[ "$status" -ge 128 ] || rm -f "$obj/.unfinished"
	return "$status"
}

fragments() {
	case $1 in
	y) echo measure.config shcache.config ;;
	n) echo measure.config ;;
	debug) echo measure.config shcache.config shcache-debug.config ;;
	esac
}

# Writes the .config of a variant for the tree as it is; a tree that does not know an option yet does without it.
configure() {
	local obj=$src/O-$1 f
	mkdir -p "$obj"
	(cd "$top/kernels" && for f in $(fragments "$1"); do cat "$f" || exit 1; done) >"$obj/wanted.config" ||
		die "$top/kernels: fragments of the configuration are missing"
	[ "$1" = n ] && echo "# CONFIG_SHCACHE is not set" >>"$obj/wanted.config"
	kmake "$1" allnoconfig >"$log/config-$1" 2>&1 || { cp "$log/config-$1" "$log/why"; return 1; }
	grep -q '^config SHCACHE$' "$src/mm/Kconfig" || return 0
	if [ "$1" = n ] && grep -q '^CONFIG_SHCACHE=' "$obj/.config"; then
		echo "CONFIG_SHCACHE cannot be switched off" >"$log/why"
		return 1
	elif [ "$1" != n ] && ! grep -q '^CONFIG_SHCACHE=y' "$obj/.config"; then
		echo "CONFIG_SHCACHE=y does not take" >"$log/why"
		return 1
	fi
}

# The lines of a make log that say what is wrong, paths relative to the tree.
complaints() {
	sed 's:^\(\.\./\)*::' "$1" | grep -E '(^|[ :])(fatal )?(error|warning|WARNING|ERROR): |undefined reference|multiple definition|\*\*\* ' |
		head -n 20
}

# failed_make LOG: log/why says what is wrong. That somebody has killed the compiler says nothing of the patches.
failed_make() {
	if grep -qE '\] (Terminated|Killed|Interrupt|Hangup)$' "$1"; then
		die "make was killed: nothing is known of $(tree_git log -1 --format=%s); $1"
	fi
	complaints "$1" >"$log/why"
}

# build_whole VARIANT TARGET: 0, or 1 and log/why. A kernel of this configuration builds without a single warning.
build_whole() {
	configure "$1" || return 1
	if ! kmake "$1" -k "$2" >"$log/whole-$1" 2>&1; then
		failed_make "$log/whole-$1"
		return 1
	fi
	complaints "$log/whole-$1" >"$log/why"
	[ ! -s "$log/why" ]
}

# Which of the series' objects belong to a kernel: what a whole build with CONFIG_SHCACHE=y made, or tried to. kbuild would make
# any that is named, whether or not the configuration has it. Without the option it is those that the unpatched tree has, too.
note_objects() {
	local o
	{
		(cd "$src/O-y" && ar t vmlinux.a 2>/dev/null)
		sed -n 's/.*: \([^ ]*\.o\)\] Error.*/\1/p' "$log/whole-y"
	} | sort -u >"$work/all"
	printf '%s\n' "${sources[@]/%.c/.o}" | sort -u | comm -12 - "$work/all" >"$work/objects-y"
	cp "$work/objects-y" "$work/objects-debug"
	while read -r o; do
		if tree_git cat-file -e "$base_tag:${o%.o}.c" 2>/dev/null; then
			echo "$o"
		fi
	done <"$work/objects-y" >"$work/objects-n"
	[ -s "$work/objects-y" ] || die "the series touches no object of the kernel"
}

# The objects of a variant whose source exists in the tree as it is.
objects() {
	local o
	while read -r o; do
		if [ -e "$src/${o%.o}.c" ]; then
			echo "$o"
		fi
	done <"$work/objects-$1"
}

# Warnings in a make log, as "FILE: MESSAGE" without line numbers, sorted, each as often as it came. A header's come once for each
# object that includes it: once is enough. How a function's locks do not balance depends on which path sparse took first.
warnings() {
	sed -n "s:^\(\.\./\)*::; s/ in '\([^']*\)' - [a-z ]*\$/ in '\1'/; s/^\([^ :]*:\)\([0-9]*:\)\{1,2\} \(warning: .*\|error: .*\)/\1 \3/p" "$1" |
		awk '!($1 ~ /\.h:$/ && seen[$0]++)' | sort
}

# compile VARIANT TAG [ARGUMENT...]: the series' objects, each compiled again (ccache repeats the warnings of what has not
# changed). Warnings go to work/warnings-TAG. 0, or 1 and log/why.
compile() {
	local variant=$1 tag=$2
	local -a list
	shift 2
	configure "$variant" || return 1
	mapfile -t list < <(objects "$variant")
	# Without a target make would build everything.
	if [ ${#list[@]} -eq 0 ]; then
		: >"$work/warnings-$tag"
		return 0
	fi
	(cd "$src/O-$variant" && rm -f "${list[@]}")
	if ! kmake "$variant" -k "$@" "${list[@]}" >"$log/objects-$tag" 2>&1; then
		failed_make "$log/objects-$tag"
		return 1
	fi
	warnings "$log/objects-$tag" >"$work/warnings-$tag"
}

# What is in one list of warnings and not in another goes to log/why; 0 if that is nothing.
no_new() {
	comm -13 "$1" "$2" >"$log/why"
	[ ! -s "$log/why" ]
}

# kernel-doc of the headers: the compiler's W=1 looks at .c files only.
header_docs() {
	local f
	for f in "${touched[@]}"; do
		if [[ $f == *.h && -e $src/$f ]]; then
			(cd "$src" && scripts/kernel-doc -none "$f" 2>&1)
		fi
	done >"$log/docs-$1"
	warnings "$log/docs-$1" >"$work/warnings-docs-$1"
}

sparse() {
	command -v sparse >/dev/null && compile y "sparse-$1" C=2 CHECK=sparse
}

# --- Booting

# boot_step NAME [whole]: boots O-y's bzImage and lets the model checker write, read and map clones on XFS, and on btrfs if this tree has a cache for
# it, with the option once there is one. "whole": the series is complete, so that a shared page must be there once, too.
boot_step() {
	local d fs option
	rm -rf "$work/top" "$work/results"
	mkdir -p "$work/top/kernels"
	for d in bench build harness results; do
		ln -s "$top/$d" "$work/top/$d"
	done
	cat >"$work/top/kernels/step.kernel" <<-END
	summary = the series up to $1
	source  = bzimage:$src/O-y/arch/x86/boot/bzImage
	END
	cat >"$work/top/step.plan" <<-END
	[plan]
	summary = boots, and shows what was written
	kernels = step
	seed = 1
	END
	for fs in xfs btrfs; do
		option=
		if grep -q '"shcache"' "$src/fs/$fs/super.c" "$src/fs/$fs/${fs}_super.c" 2>/dev/null; then
			option='mount = shcache'
		elif [ $fs = btrfs ]; then
			continue
		fi
		cat >>"$work/top/step.plan" <<-END

		[clonex-$fs]
		workload = clonex
		fs = $fs
		param.size = 64k
		param.ops = 4000
		param.seconds = 0
		device = brd
		device_size = 512M
		mem = 1G
		timeout = 300
		shared = yes
		$option
		END
		if [ "${2-}" != whole ]; then
			continue
		fi
		cat >>"$work/top/step.plan" <<-END

		[footprint-$fs]
		workload = footprint
		fs = $fs
		mode = reflink
		image = synthetic:files=4,bytes=1M
		param.n = 1,3
		param.access = read,mmap
		device = brd
		device_size = 512M
		mem = 1G
		shared = yes
		$option
		END
	done
	SHBENCH_TOP=$work/top SHCACHE_RESULTS=$work/results "$top/shbench" test "$work/top/step.plan" >"$log/why" 2>&1
}

# --- The whole

check_ends() {
	local last=${commits[-1]} ok v

	go_to "$last"
	build_whole y bzImage
	result $? "the series: builds with CONFIG_SHCACHE=y" "$log/why"
	ok=$?
	note_objects
	if [ "$boot" = none ]; then
		skip "the series: boots, shows what was written and shares it" "not asked for"
	elif [ "$ok" -eq 0 ]; then
		boot_step "the last" whole
		result $? "the series: boots, shows what was written and shares it" "$log/why"
	else
		skip "the series: boots, shows what was written and shares it" "not built, or with warnings"
	fi
	compile debug debug W=1
	result $? "the series: builds with CONFIG_SHCACHE_DEBUG=y" "$log/why"
	header_docs last
	if sparse last; then
		ok=0
	else
		ok=1
	fi

	# The unpatched tree: what was there before.
	go_to "$base_tag"
	for v in y n; do
		compile "$v" "base-$v" W=1 || { cat "$log/why" >&2; die "the unpatched source does not build"; }
	done
	header_docs base
	no_new "$work/warnings-docs-base" "$work/warnings-docs-last"
	result $? "the series: no new kernel-doc warnings in headers" "$log/why"
	if ! command -v sparse >/dev/null; then
		skip "the series: no new sparse warnings" "sparse is not installed"
	elif [ "$ok" -ne 0 ]; then
		skip "the series: no new sparse warnings" "not built"
	else
		sparse base || die "the unpatched source does not pass sparse"
		sparse_ignored | sort - "$work/warnings-sparse-base" >"$work/warnings-sparse-known"
		no_new "$work/warnings-sparse-known" "$work/warnings-sparse-last"
		result $? "the series: no new sparse warnings" "$log/why"
	fi
}

# check_objects INDEX VARIANT
check_objects() {
	local name=${patches[$1]}
	if compile "$2" "step-$2" W=1; then
		result 0 "$name: builds with CONFIG_SHCACHE=$2"
		no_new "$work/warnings-base-$2" "$work/warnings-step-$2"
		result $? "$name: no new W=1 warnings with CONFIG_SHCACHE=$2" "$log/why"
	else
		result 1 "$name: builds with CONFIG_SHCACHE=$2" "$log/why"
		skip "$name: no new W=1 warnings with CONFIG_SHCACHE=$2" "not built"
	fi
}

check_steps() {
	local i n=${#patches[@]}
	for i in "${!patches[@]}"; do
		go_to "${commits[i]}"
		check_objects "$i" y
		check_objects "$i" n
		# The last is done.
		if [ $((i + 1)) -eq "$n" ]; then
			continue
		fi
		if [ "$whole" = each ] || [ $(((i + 1) % whole_every)) -eq 0 ]; then
			build_whole y bzImage
			if result $? "${patches[i]}: the whole kernel builds" "$log/why" && [ "$boot" = each ]; then
				boot_step "${patches[i]}"
				result $? "${patches[i]}: boots, shows what was written" "$log/why"
			fi
		fi
	done
}

check_without() {
	go_to "${commits[-1]}"
	build_whole n vmlinux
	result $? "the series: builds with CONFIG_SHCACHE=n" "$log/why"
}

usage() {
	sed -n 's/^# \{0,1\}//; 4,12p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--series) [ $# -gt 1 ] || usage; series=$2; shift ;;
	--all) whole=each ;;
	--boot) boot=each whole=each ;;
	--no-boot) boot=none ;;
	--style) style_only=1 ;;
	--clean) clean=1 ;;
	*) usage ;;
	esac
	shift
done

[ -x "$top/shbench" ] || die "./shbench is not built: make all"
mkdir -p "$log" "$cache/lock" || die "$work: cannot be made"
exec 9>"$cache/lock/patches-check.lock"
flock -n 9 || { echo "# waiting for another patches-check"; flock 9; }

read_series
prepare_tree
apply_series
applies=$?
check_style
if [ "$applies" -eq 0 ] && [ -z "$style_only" ]; then
	check_ends
	check_steps
	check_without
fi
summary
