/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What plots of runs (plot.c) and of the history (history-report.c) share: writing gnuplot programs, and running gnuplot.
 */
#ifndef SHCACHE_PLOT_H
#define SHCACHE_PLOT_H

#include <stdio.h>

/* A gnuplot string in double quotes; what enhanced text would take for markup is taken from it. */
void plot_put_string(FILE *f, const char *s);
/* A mark's text: gnuplot takes it for a format. */
void plot_put_mark(FILE *f, const char *s);
/* "name = string" */
void plot_put_setting(FILE *f, const char *name, const char *s);
/* Appends the template DIR/FILE to dst. 0 or -errno, printed. */
int plot_copy_in(FILE *dst, const char *dir, const char *file);
/* Closes f; ret if that is an error already, else what went wrong with writing, else 0. */
int plot_close(FILE *f, int ret);
/* Runs gnuplot on DIR/NAME.gp in that directory. 0 or -errno, printed. */
int plot_run_gnuplot(const char *dir, const char *name);
/* text as a file name of letters, digits, dots and dashes. */
char *plot_file_name(const char *text);
/* Removes the plots of an earlier drawing, which must not look like plots of this one. */
void plot_remove_old(const char *dir);

#endif
