/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays in sight of a sandboxed process: apart from the sandbox, since classes name paths wherever they run.
 */
#include <bulkhead/impl/sandbox.h>

#include <bulkhead/base.h>
#include <stdio.h>

static void add_path(struct bh_sandbox *sandbox, const struct bh_sandbox_sight *sight)
{
    BH_ASSERT(sandbox->path_count < BH_SANDBOX_PATHS_MAX);
    sandbox->paths[sandbox->path_count++] = *sight;
}

void bh_sandbox_path(struct bh_sandbox *sandbox, const char *path, bool writable)
{
    if (path)
        add_path(sandbox, &(struct bh_sandbox_sight){.path = path, .writable = writable});
}

void bh_sandbox_folder(struct bh_sandbox *sandbox, const char *path)
{
    if (path)
        add_path(sandbox, &(struct bh_sandbox_sight){.path = path, .writable = true, .folder = true});
}

void bh_sandbox_below(struct bh_sandbox *sandbox, const char *path, const char *name)
{
    struct bh_sandbox_sight sight = {.path = path, .writable = true};
    const int length = snprintf(sight.name, sizeof(sight.name), "%s", name);

    BH_ASSERT(length > 0 && length < (int)sizeof(sight.name));
    add_path(sandbox, &sight);
}
