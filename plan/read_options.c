/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's properties as options of a table.
 *
 * Theory of operation: a property's value is turned into the text that a user would type after "--name=", and
 * that text goes through bh_option_set() into a scratch block as large as the table's offsets ask for. So the
 * description is held to exactly what the command line is held to, without a second copy of the rules. The plan
 * keeps the texts.
 */
#include "plan/draft.h"
#include <string.h>

const struct bh_option *bh_draft_find_option(const struct bh_option *table, const char *name)
{
    const struct bh_option *option = table == NULL ? NULL : bh_option_find(table, name);

    return option == NULL || option->cli_only ? NULL : option;
}

/* A value that is no text, as text: an empty property, a cell, six bytes. */
static char *spell_value(struct bh_draft *draft, const struct bh_option *option,
                         const struct bh_tree_property *property)
{
    const uint8_t *data = property->data;
    struct bh_arena *arena = &draft->box->arena;

    if (option->type == BH_OPT_BOOL && property->size == 0)
        return bh_arena_string(arena, "on");
    if ((option->type == BH_OPT_UINT || option->type == BH_OPT_SIZE) && property->size == 4)
        return bh_arena_format(arena, "%u", bh_tree_cell(data));
    if (option->type == BH_OPT_MAC && property->size == 6)
        return bh_arena_format(arena, "%02x:%02x:%02x:%02x:%02x:%02x", data[0], data[1], data[2], data[3],
                               data[4], data[5]);
    return NULL;
}

static char *text_value(struct bh_draft *draft, const struct bh_option *option,
                        const struct bh_diag_where *where, const char *text)
{
    if (option->type == BH_OPT_PATH)
        return bh_draft_path(draft, where, text);
    return bh_arena_string(&draft->box->arena, text);
}

static const char *wanted(const struct bh_option *option)
{
    switch (option->type) {
    case BH_OPT_BOOL: return "a switch: empty, \"on\" or \"off\"";
    case BH_OPT_UINT: return "a number: one cell or one string";
    case BH_OPT_SIZE: return "a size: one string or one cell";
    case BH_OPT_MAC: return "a MAC address: one string or six bytes";
    case BH_OPT_LIST: return "one or more strings";
    default: return "one string";
    }
}

int bh_draft_add_option(struct bh_draft *draft, const struct bh_option *table, const struct bh_option *option,
                        const struct bh_tree_property *property, void *scratch,
                        struct bh_plan_option *options, size_t *count)
{
    bool is_text = bh_tree_is_text(property);
    const char *text = is_text ? bh_tree_next_text(property, NULL) : NULL;
    char *value = is_text ? NULL : spell_value(draft, option, property);

    if ((is_text && option->type != BH_OPT_LIST && strlen(text) + 1 != property->size) ||
        (!is_text && value == NULL)) {
        bh_report_error(draft->report, &property->where, NULL, option->help, "`%s` must be %s", option->name,
                        wanted(option));
        return BH_OK;
    }
    do {
        if (is_text)
            value = text_value(draft, option, &property->where, text);
        if (value == NULL)
            return BH_OK; /* an empty path: reported */
        if (bh_option_set(table, scratch, option->name, value, &draft->report->sink, &property->where) !=
            BH_OK)
            return BH_OK; /* reported there */
        options[*count].name = bh_arena_string(&draft->box->arena, option->name);
        options[*count].value = value;
        if (options[(*count)++].name == NULL)
            return BH_ERR_NOMEM;
        text = is_text ? bh_tree_next_text(property, text) : NULL;
    } while (text != NULL);
    return BH_OK;
}

void *bh_draft_scratch(struct bh_draft *draft, const struct bh_option *table)
{
    size_t size = 0;

    for (const struct bh_option *option = table; option != NULL && option->name != NULL; option++) {
        if (option->offset + 64 > size)
            size = option->offset + 64;
    }
    return bh_arena_alloc(&draft->arena, 1, size);
}

size_t bh_draft_count_values(const struct bh_tree_node *node)
{
    size_t count = 2; /* room for what the planner makes up: a MAC address, or the paths of sockets */

    for (uint32_t i = 0; i < node->property_count; i++) {
        const struct bh_tree_property *property = &node->properties[i];

        count++;
        if (!bh_tree_is_text(property))
            continue;
        for (uint32_t k = 0; k + 1 < property->size; k++)
            count += property->data[k] == '\0';
    }
    return count;
}
