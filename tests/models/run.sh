#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The models of the series' protocols: every interleaving of a few threads, in three memory models. Prints TAP.
#
#   run.sh NAME		models, models2 or models3
cd "$(dirname "$0")" || exit 3
if ! command -v python3 >/dev/null; then
	echo "ok 1 - $1 # SKIP no python3"
	exit 77
fi
exec python3 -B "$1.py"
