/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who serves a device when it is none of our programs: `bulkhead,backend`, its
 * `bulkhead,arguments`, and what it `bulkhead,keeps`.
 *
 * Theory of operation: a stranger's options are its own, so its words are handed on as they stand. What remains of the
 * node is the front-end's (a file system's tag, a card's address). The program is looked for now, since it is as much a
 * part of the system as an image is.
 */
#include "plan/backend.h"
#include "plan/draft.h"
#include <limits.h>
#include <string.h>

/* The word for the type in vhost-user's description files. */
static const char *type_of(const struct bh_plan_class *class_)
{
    return strcmp(class_->name, "blk") == 0 ? "block" : class_->name;
}

/* The strings of a property; none where it is not there, or is something else, which is said. */
static int read_texts(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                      const char *hint, size_t *count, char ***texts)
{
    const struct bh_tree_property *property = bh_tree_property(node, name);
    size_t most = 1; /* one more than are there, for what a caller adds */

    if (property != NULL && !bh_tree_is_text(property)) {
        bh_report_error(draft->report, &property->where, NULL, hint, "`%s` must be one or more strings",
                        name);
        return BH_OK;
    }
    for (const char *text = NULL; property && (text = bh_tree_next_text(property, text)) != NULL;)
        most++;
    *texts = bh_arena_alloc(&draft->box->arena, most, sizeof(**texts));
    if (*texts == NULL)
        return BH_ERR_NOMEM;
    for (const char *text = NULL; property && (text = bh_tree_next_text(property, text)) != NULL;) {
        (*texts)[*count] = bh_arena_string(&draft->box->arena, text);
        if ((*texts)[(*count)++] == NULL)
            return BH_ERR_NOMEM;
    }
    return BH_OK;
}

/* A card's program leads somewhere: it always keeps the network. */
static int read_keeps(struct bh_draft *draft, const struct bh_draft_device *from, struct bh_plan_device *to)
{
    static const char hint[] = "what can be kept is \"network\" and \"privileges\"";
    int err = read_texts(draft, from->node, "bulkhead,keeps", hint, &to->keep_count, &to->keeps);

    if (err != BH_OK)
        return err;
    for (size_t i = 0; i < to->keep_count; i++) {
        if (!bh_plan_is_keepable(to->keeps[i]))
            bh_report_error(draft->report, &bh_tree_property(from->node, "bulkhead,keeps")->where, NULL, hint,
                            "nothing takes \"%s\" away from a program", to->keeps[i]);
    }
    if (from->class_->linkable && to->keeps != NULL && !bh_plan_keeps(to, "network")) {
        to->keeps[to->keep_count] = bh_arena_string(&draft->box->arena, "network");
        if (to->keeps[to->keep_count++] == NULL)
            return BH_ERR_NOMEM;
    }
    return BH_OK;
}

/* The properties that only a program of others has. */
static void refuse_for_ours(struct bh_draft *draft, const struct bh_tree_node *node)
{
    static const char *const names[] = {"bulkhead,arguments", "bulkhead,keeps"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const struct bh_tree_property *property = bh_tree_property(node, names[i]);

        if (property != NULL)
            bh_report_error(draft->report, &property->where, NULL, "name the program by `bulkhead,backend`",
                            i == 0 ? "`%s` are for a program of others; ours take properties"
                                   : "`%s` is for a program of others; ours keep nothing",
                            names[i]);
    }
}

/* The options that are left to a node that a stranger serves. */
static void check_options(struct bh_draft *draft, const struct bh_draft_device *from,
                          const struct bh_plan_device *to)
{
    for (size_t i = 0; i < to->option_count; i++) {
        const char *const *front = from->class_->front_end;

        while (front != NULL && *front != NULL && strcmp(*front, to->options[i].name) != 0)
            front++;
        if (front == NULL || *front == NULL)
            bh_report_error(draft->report, &bh_tree_property(from->node, to->options[i].name)->where, NULL,
                            "say it in the program's own words in `bulkhead,arguments`",
                            "`%s` is an option of our %s, which does not serve this device",
                            to->options[i].name, from->class_->name);
    }
}

int bh_draft_read_backend(struct bh_draft *draft, uint32_t index)
{
    const struct bh_draft_device *from = &draft->devices[index];
    struct bh_plan_device *to = &draft->plan->devices[index];
    const struct bh_tree_property *backend = bh_tree_property(from->node, "bulkhead,backend");
    const char *name = NULL, *wanted = NULL;
    char found[PATH_MAX];

    if (bh_value_text(draft, from->node, "bulkhead,backend", &name) == BH_BAD)
        return BH_OK;
    if (name == NULL && !from->class_->stranger) {
        refuse_for_ours(draft, from->node);
        return BH_OK;
    }
    wanted = name;
    if (name != NULL && strchr(name, '/') != NULL &&
        (wanted = bh_draft_path(draft, &backend->where, name)) == NULL)
        return BH_OK;
    if (bh_backend_find(type_of(from->class_), wanted, found, sizeof(found)) != BH_OK) {
        bh_report_error(draft->report, backend ? &backend->where : &from->node->where, NULL,
                        "install it, or name its path by `bulkhead,backend`",
                        name ? "there is no program %s that could serve the device"
                             : "no program on this machine says that it serves a %s",
                        name ? name : from->class_->name);
        return BH_OK;
    }
    to->program = bh_arena_string(&draft->box->arena, found);
    if (to->program == NULL)
        return BH_ERR_NOMEM;
    check_options(draft, from, to);
    const int err = read_texts(draft, from->node, "bulkhead,arguments",
                               "for example \"--shared-dir=/srv\", \"--cache=auto\"", &to->argument_count,
                               &to->arguments);
    return err ? err : read_keeps(draft, from, to);
}
