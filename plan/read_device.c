/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual device's node: its class, its options by the class's own table, and the few properties that every
 * device may have.
 */
#include "plan/draft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX         64 /* options of one class, for "did you mean" */
#define TABLES            2  /* of options: the class's, and the one common to all */
#define DEVICE_PROPERTIES (sizeof(device_properties) / sizeof(device_properties[0]))

static const char *const device_properties[] = {
    "compatible",           "label",         "phandle",       "status",           "bulkhead,served-by",
    "bulkhead,create-size", "bulkhead,link", "bulkhead,port", "bulkhead,backend", "bulkhead,arguments",
    "bulkhead,keeps"};

static void unknown_property(struct bh_draft *draft, const struct bh_draft_device *from,
                             const struct bh_tree_property *property)
{
    const struct bh_option *tables[TABLES] = {from->class_->options, draft->settings->common};
    const char *names[NAMES_MAX];
    char what[64];
    size_t count = 0;

    for (size_t t = 0; t < TABLES; t++) {
        for (const struct bh_option *option = tables[t]; option != NULL && option->name != NULL; option++) {
            if (!option->cli_only && count < NAMES_MAX)
                names[count++] = option->name;
        }
    }
    for (size_t i = 0; i < DEVICE_PROPERTIES && count < NAMES_MAX; i++)
        names[count++] = device_properties[i];
    (void)snprintf(what, sizeof(what), "property of a %s", from->class_->name);
    bh_draft_unknown(draft, &property->where, what, property->name, names, count);
}

static void read_common(struct bh_draft *draft, struct bh_draft_device *from)
{
    const struct bh_tree_node *node = from->node, *server;
    const struct bh_tree_property *served = bh_tree_property(node, "bulkhead,served-by");
    enum bh_found found = bh_value_size(draft, node, "bulkhead,create-size", &from->create_size);
    const char *text;

    if (found == BH_BAD)
        from->create_size = 512; /* a size was meant: nothing more is said of a missing image */
    if (found == BH_FOUND && (from->create_size == 0 || from->create_size % 512 != 0))
        bh_report_error(draft->report, &bh_tree_property(node, "bulkhead,create-size")->where, NULL,
                        "for example \"64M\"",
                        "`bulkhead,create-size` must be a multiple of 512 bytes, and not 0");
    found = bh_value_node(draft, node, "bulkhead,link", &from->link);
    if (found != BH_ABSENT)
        from->link_at = bh_tree_property(node, "bulkhead,link")->where;
    draft->holes |= found == BH_BAD;
    bh_draft_read_port(draft, from);
    if (served == NULL)
        return;
    if (served->size != 4) {
        if (bh_value_text(draft, node, "bulkhead,served-by", &text) == BH_FOUND &&
            strcmp(text, "process") != 0)
            bh_report_error(draft->report, &served->where, NULL,
                            "leave `bulkhead,served-by` out: a process of the host serves it",
                            "nobody serves the device: \"%s\" is no server", text);
        return;
    }
    if (bh_value_node(draft, node, "bulkhead,served-by", &server) == BH_FOUND)
        bh_report_error(draft->report, &served->where, &server->where,
                        "leave `bulkhead,served-by` out: a process of the host serves it",
                        "nobody serves the device: %s, which it names, serves no %s", server->path,
                        from->class_->name);
}

static const struct bh_plan_class *find_class(struct bh_draft *draft, const struct bh_tree_node *node)
{
    static const char prefix[] = "bulkhead,";
    const struct bh_tree_property *property = bh_tree_property(node, "compatible");
    const struct bh_plan_class *class_ = draft->settings->classes;
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (; class_->name != NULL; class_++) {
        char *word = bh_arena_format(&draft->arena, "%s%s", prefix, class_->name);

        if (word != NULL && bh_tree_compatible(node, word))
            return class_;
        if (word != NULL && count < NAMES_MAX)
            names[count++] = word;
    }
    for (const char *text = NULL; (text = bh_tree_next_text(property, text)) != NULL;) {
        if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
            bh_draft_unknown(draft, &property->where, "device class", text, names, count);
    }
    return NULL;
}

/* What the class's roles ask about later. */
static void note_roles(struct bh_draft *draft, uint32_t index)
{
    struct bh_draft_device *from = &draft->devices[index];
    const struct bh_plan_class *class_ = from->class_;
    const struct bh_tree_property *image =
        class_->image == NULL ? NULL : bh_tree_property(from->node, class_->image);
    const struct bh_tree_property *mac =
        class_->mac == NULL ? NULL : bh_tree_property(from->node, class_->mac);
    const struct bh_tree_property *forward =
        class_->forward == NULL ? NULL : bh_tree_property(from->node, class_->forward);
    const char *read_only = class_->read_only == NULL
                                ? NULL
                                : bh_plan_option_value(&draft->plan->devices[index], class_->read_only);

    from->image =
        class_->image == NULL ? NULL : bh_plan_option_value(&draft->plan->devices[index], class_->image);
    from->image_at = image == NULL ? from->node->where : image->where;
    from->mac_at = mac == NULL ? from->node->where : mac->where;
    from->forward_at = forward == NULL ? from->node->where : forward->where;
    from->read_only = read_only != NULL && (strcmp(read_only, "on") == 0 || strcmp(read_only, "true") == 0 ||
                                            strcmp(read_only, "yes") == 0 || strcmp(read_only, "1") == 0);
    if (from->create_size != 0 && from->image == NULL)
        bh_report_error(draft->report, &bh_tree_property(from->node, "bulkhead,create-size")->where, NULL,
                        "only a device with an image has a size to create it with",
                        "`bulkhead,create-size` has nothing to create");
}

static void check_required(struct bh_draft *draft, const struct bh_draft_device *from,
                           const struct bh_option *table)
{
    for (; table != NULL && table->name != NULL; table++) {
        if (table->required && !table->cli_only && bh_tree_property(from->node, table->name) == NULL)
            bh_draft_missing(draft, from->node, table->name, table->help);
    }
}

static void check_one_of(struct bh_draft *draft, const struct bh_draft_device *from)
{
    const struct bh_tree_property *first = NULL;
    char *list = NULL;
    bool ok = true;

    for (const char *const *name = from->class_->one_of; name != NULL && *name != NULL; name++) {
        const struct bh_tree_property *property = bh_tree_property(from->node, *name);

        list = bh_arena_format(&draft->arena, "%s%s`%s`", list == NULL ? "" : list,
                               list == NULL ? "" : " or ", *name);
        if (property != NULL && first != NULL) {
            bh_report_error(draft->report, &property->where, &first->where, "take one of them away",
                            "`%s` and `%s` exclude one another", first->name, property->name);
            ok = false;
        }
        first = property != NULL ? property : first;
    }
    if (ok && first == NULL && list != NULL)
        bh_report_error(draft->report, &from->node->where, NULL, "give it one of them", "a %s needs %s",
                        from->class_->name, list);
}

static int read_options(struct bh_draft *draft, uint32_t index)
{
    struct bh_draft_device *from = &draft->devices[index];
    struct bh_plan_device *to = &draft->plan->devices[index];
    const struct bh_option *tables[TABLES] = {from->class_->options, draft->settings->common};
    void *scratch[TABLES] = {NULL};
    int err = BH_OK;

    for (size_t t = 0; t < TABLES && err == BH_OK; t++) {
        scratch[t] = bh_draft_scratch(draft, tables[t]);
        err = scratch[t] == NULL ? BH_ERR_NOMEM : BH_OK;
    }
    for (uint32_t i = 0; i < from->node->property_count && err == BH_OK; i++) {
        const struct bh_tree_property *property = &from->node->properties[i];
        const struct bh_option *option = NULL;
        bool known = false;
        size_t t = 0;

        for (size_t k = 0; k < DEVICE_PROPERTIES && !known; k++)
            known = strcmp(device_properties[k], property->name) == 0;
        for (; t < TABLES && !known && option == NULL; t++)
            option = bh_draft_find_option(tables[t], property->name);
        if (option != NULL)
            err = bh_draft_add_option(draft, tables[t - 1], option, property, scratch[t - 1], to->options,
                                      &to->option_count);
        else if (!known)
            unknown_property(draft, from, property);
    }
    for (size_t t = 0; t < TABLES; t++) {
        if (scratch[t] != NULL && tables[t] != NULL)
            bh_options_fini(tables[t], scratch[t]);
        check_required(draft, from, tables[t]);
    }
    return err;
}

int bh_draft_read_device(struct bh_draft *draft, uint32_t index)
{
    struct bh_draft_device *from = &draft->devices[index];
    struct bh_plan_device *to = &draft->plan->devices[index];
    int err;

    from->class_ = find_class(draft, from->node);
    if (from->class_ == NULL)
        return BH_OK;
    to->class_name = bh_arena_string(&draft->box->arena, from->class_->name);
    to->virtio_id = from->class_->virtio_id;
    to->console = from->class_->console;
    to->place = BH_PLAN_PROCESS;
    to->transport = BH_PLAN_VHOST_USER;
    to->options = bh_arena_alloc(&draft->box->arena, bh_draft_count_values(from->node), sizeof(*to->options));
    if (to->class_name == NULL || to->options == NULL)
        return BH_ERR_NOMEM;
    read_common(draft, from);
    err = read_options(draft, index);
    if (err == BH_OK)
        err = bh_draft_read_backend(draft, index);
    if (to->program == NULL)
        check_one_of(draft, from);
    note_roles(draft, index);
    return err;
}
