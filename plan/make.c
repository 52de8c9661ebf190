/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's front door: reads, checks, places, reports. */
#include "plan/make.h"
#include "plan/draft.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN_BYTES_MAX ((size_t)16 << 20)
static const char plan_ending[] = ".json"; /* of a file that holds no description, but a plan */

/* The folder that a path without prefix begins at, absolute. */
static const char *folder_of(struct bh_draft *draft, const char *file)
{
    const char *slash = strrchr(file, '/');
    char *here, *folder;

    if (slash != NULL && file[0] == '/')
        return bh_arena_copy(&draft->arena, file, (size_t)(slash - file));
    here = getcwd(NULL, 0);
    if (here == NULL)
        return NULL;
    folder = slash == NULL ? bh_arena_string(&draft->arena, here)
                           : bh_arena_format(&draft->arena, "%s/%.*s", strcmp(here, "/") == 0 ? "" : here,
                                             (int)(slash - file), file);
    free(here);
    return folder;
}

/* A folder of the user's by the XDG base directory rules: a relative or empty value does not count. */
static char *user_folder(struct bh_draft *draft, const char *variable, const char *below_home)
{
    const char *value = getenv(variable), *home = getenv("HOME");
    struct passwd entry, *found = NULL;
    char room[4096];

    if (value != NULL && value[0] == '/')
        return bh_arena_format(&draft->arena, "%s/bulkhead", value);
    if ((home == NULL || home[0] != '/') && getpwuid_r(getuid(), &entry, room, sizeof(room), &found) == 0)
        home = found == NULL ? NULL : found->pw_dir;
    return bh_arena_format(&draft->arena, "%s/%s/bulkhead", home == NULL ? "" : home, below_home);
}

/* Make a caller's folder absolute. */
static const char *given_folder(struct bh_draft *draft, const char *folder)
{
    char *here, *full;

    if (folder[0] == '/')
        return folder;
    here = getcwd(NULL, 0);
    full = here == NULL ? NULL : bh_arena_format(&draft->arena, "%s/%s", here, folder);
    free(here);
    return full;
}

static int find_folders(struct bh_draft *draft, const char *file)
{
    const struct bh_plan_settings *settings = draft->settings;
    const char *name = draft->plan->name == NULL ? "" : draft->plan->name;
    char *state = settings->state_dir == NULL ? user_folder(draft, "XDG_STATE_HOME", ".local/state") : NULL;

    draft->folder = folder_of(draft, file);
    draft->cache_dir = settings->cache_dir == NULL ? user_folder(draft, "XDG_CACHE_HOME", ".cache")
                                                   : given_folder(draft, settings->cache_dir);
    if (settings->state_dir != NULL)
        draft->state_dir = given_folder(draft, settings->state_dir);
    else
        draft->state_dir = state == NULL ? NULL : bh_arena_format(&draft->arena, "%s/%s", state, name);
    return draft->folder == NULL || draft->cache_dir == NULL || draft->state_dir == NULL ? BH_ERR_NOMEM
                                                                                         : BH_OK;
}

/* For every entry of every domain's `memory`: one takes two cells at least. */
static int make_memory_room(struct bh_draft *draft)
{
    size_t most = 0;

    for (uint32_t i = 0; i < draft->plan->domain_count; i++) {
        const struct bh_tree_property *memory = bh_tree_property(draft->domains[i].node, "memory");

        most += memory == NULL ? 0 : memory->size / 8;
    }
    draft->memory = bh_arena_alloc(&draft->arena, most, sizeof(*draft->memory));
    return draft->memory == NULL ? BH_ERR_NOMEM : BH_OK;
}

/* Reading stops at /domains when that is not there: everything else would only repeat it. */
int bh_draft_read(struct bh_draft *draft)
{
    int err = bh_draft_read_board(draft);

    if (err == BH_OK)
        err = bh_draft_read_system(draft);
    if (err != BH_OK || draft->domains_node == NULL)
        return err;
    err = find_folders(draft, draft->tree.file);
    for (uint32_t i = 0; err == BH_OK && i < draft->plan->device_count; i++)
        err = bh_draft_read_device(draft, i);
    for (uint32_t i = 0; err == BH_OK && i < draft->plan->switch_count; i++)
        err = bh_draft_read_switch(draft, i);
    if (err == BH_OK)
        err = make_memory_room(draft);
    for (uint32_t i = 0; err == BH_OK && i < draft->plan->domain_count; i++)
        err = bh_draft_read_domain(draft, i);
    return err;
}

static int read_and_check(struct bh_draft *draft, const char *file)
{
    int err = bh_tree_read(&draft->tree, file, draft->report);

    if (err == BH_OK)
        err = bh_draft_read(draft);
    if (err == BH_OK && draft->domains_node != NULL)
        bh_draft_check(draft);
    return draft->nomem ? BH_ERR_NOMEM : err;
}

static int make_plan(const struct bh_plan_settings *settings, const char *path, struct bh_diag_sink *sink,
                     struct bh_plan **plan)
{
    struct bh_draft draft = {.settings = settings};
    struct bh_report report;
    int err = BH_ERR_NOMEM;

    bh_report_init(&report);
    draft.report = &report;
    draft.box = bh_plan_box_create();
    if (draft.box != NULL) {
        draft.plan = &draft.box->plan;
        err = read_and_check(&draft, path);
    }
    if (err == BH_OK && report.sink.error_count != 0)
        err = BH_ERR_INVAL;
    if (err == BH_OK)
        err = bh_draft_place(&draft);
    bh_report_flush(&report, sink == NULL ? bh_diag_default() : sink);
    if (err == BH_OK && plan != NULL)
        *plan = draft.plan;
    else
        bh_plan_free(draft.plan);
    bh_tree_fini(&draft.tree);
    bh_arena_fini(&draft.arena);
    bh_report_fini(&report);
    return err;
}

static bool is_plan(const char *file)
{
    const size_t length = strlen(file), end = strlen(plan_ending);

    return length > end && strcmp(file + length - end, plan_ending) == 0;
}

/* Read back what was planned before. */
static int read_plan(const char *file, struct bh_diag_sink *sink, struct bh_plan **plan)
{
    const struct bh_diag_where where = {.file = file};
    FILE *stream = fopen(file, "re");
    char *text = stream == NULL ? NULL : malloc(PLAN_BYTES_MAX + 1);
    size_t size = text == NULL ? 0 : fread(text, 1, PLAN_BYTES_MAX + 1, stream);
    struct bh_plan *read = NULL;
    int err = BH_OK;

    if (stream == NULL || ferror(stream)) {
        err = errno == ENOENT ? BH_ERR_NOENT : errno == EACCES ? BH_ERR_ACCESS : BH_ERR_IO;
        bh_error(sink, &where, NULL, "cannot read the plan: %s", strerror(errno));
    } else if (text == NULL) {
        err = BH_ERR_NOMEM;
    } else if (size > PLAN_BYTES_MAX) {
        err = BH_ERR_SYNTAX;
        bh_error(sink, &where, NULL, "a plan has at most %zu bytes", PLAN_BYTES_MAX);
    } else {
        err = bh_plan_from_json(text, size, file, sink, &read);
    }
    if (err == BH_OK && plan != NULL)
        *plan = read;
    else
        bh_plan_free(read);
    free(text);
    if (stream != NULL)
        (void)fclose(stream);
    return err;
}

int bh_plan_make(const struct bh_plan_settings *settings, const char *path, struct bh_diag_sink *sink,
                 struct bh_plan **plan)
{
    return is_plan(path) ? read_plan(path, sink, plan) : make_plan(settings, path, sink, plan);
}
