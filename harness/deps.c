// SPDX-License-Identifier: GPL-2.0
/* Which packages are missing; see deps.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deps.h"
#include "util.h"

static int add_row(struct dep **list, size_t *nr, const char *row)
{
	size_t a = strcspn(row, "\t"), b = row[a] ? strcspn(row + a + 1, "\t") : 0;

	if (!a || !row[a] || !row[a + 1 + b])
		return -EPROTO;
	*list = xrealloc(*list, (*nr + 1) * sizeof(**list));
	(*list)[(*nr)++] = (struct dep){ xstrndup(row, a), xstrndup(row + a + 1, b), xstrdup(row + a + b + 2) };
	return 0;
}

int deps_missing(struct dep **list, size_t *nr)
{
	char *script = xasprintf("%s/harness/deps.sh", top_dir()), *save = NULL;
	const char *const argv[] = { "sh", script, "--list-missing", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	int ret;

	*list = NULL;
	*nr = 0;
	buf_str(&out, "");
	ret = run_cmd(argv, &ro);
	for (char *p = strtok_r(out.s, "\n", &save); p && !ret; p = strtok_r(NULL, "\n", &save))
		ret = add_row(list, nr, p);
	if (ret) {
		err("%s --list-missing: %s", script, ret < 0 ? strerror(-ret) : "failed");
		deps_free(*list, *nr);
		*list = NULL;
		*nr = 0;
	}
	buf_free(&out);
	free(script);
	return ret > 0 ? -EIO : ret;
}

void deps_free(struct dep *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		free(list[i].package);
		free(list[i].proof);
		free(list[i].purpose);
	}
	free(list);
}
