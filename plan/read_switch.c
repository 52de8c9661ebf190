/* SPDX-License-Identifier: Apache-2.0 */
/* A switch's node: its options by the switch's own table, its restart policy; and what a net says of its port there. */
#include "plan/draft.h"
#include <string.h>

#define NAMES_MAX  32 /* properties of a switch, for "did you mean" */
#define PROPERTIES (sizeof(switch_properties) / sizeof(switch_properties[0]))

static const char *const switch_properties[] = {"compatible",
                                                "label",
                                                "phandle",
                                                "status",
                                                "bulkhead,restart",
                                                "bulkhead,restart-limit",
                                                "bulkhead,restart-window"};

static void unknown_property(struct bh_draft *draft, const struct bh_tree_property *property)
{
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (const struct bh_option *option = draft->settings->switching->options; option->name != NULL;
         option++) {
        if (count < NAMES_MAX - PROPERTIES)
            names[count++] = option->name;
    }
    for (size_t i = 0; i < PROPERTIES; i++)
        names[count++] = switch_properties[i];
    bh_draft_unknown(draft, &property->where, "property of a switch", property->name, names, count);
}

static int read_options(struct bh_draft *draft, const struct bh_tree_node *node, struct bh_plan_switch *to)
{
    const struct bh_option *table = draft->settings->switching->options;
    void *scratch = bh_draft_scratch(draft, table);
    int err = scratch == NULL ? BH_ERR_NOMEM : BH_OK;

    for (uint32_t i = 0; i < node->property_count && err == BH_OK; i++) {
        const struct bh_tree_property *property = &node->properties[i];
        const struct bh_option *option = bh_draft_find_option(table, property->name);
        bool known = false;

        for (size_t k = 0; k < PROPERTIES && !known; k++)
            known = strcmp(switch_properties[k], property->name) == 0;
        if (option != NULL)
            err =
                bh_draft_add_option(draft, table, option, property, scratch, to->options, &to->option_count);
        else if (!known)
            unknown_property(draft, property);
    }
    if (scratch != NULL)
        bh_options_fini(table, scratch);
    return err;
}

int bh_draft_read_switch(struct bh_draft *draft, uint32_t index)
{
    const struct bh_tree_node *node = draft->switches[index];
    struct bh_plan_switch *to = &draft->plan->switches[index];

    to->options = bh_arena_alloc(&draft->box->arena, bh_draft_count_values(node), sizeof(*to->options));
    if (to->options == NULL)
        return BH_ERR_NOMEM;
    to->restart = BH_PLAN_RESTART_ON_FAILURE;
    to->restart_limit = 5;
    to->restart_window_ms = 60000;
    bh_draft_read_restart(draft, node, &to->restart, &to->restart_limit, &to->restart_window_ms);
    return read_options(draft, node, to);
}

static void unknown_word(struct bh_draft *draft, const struct bh_diag_where *where, const char *word)
{
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (const struct bh_option *option = draft->settings->switching->words; option->name != NULL; option++) {
        if (count < NAMES_MAX)
            names[count++] = option->name;
    }
    bh_draft_unknown(draft, where, "word of a port", word, names, count);
}

/* One word, held to what the switch's command line is held to. */
static bool check_word(struct bh_draft *draft, const struct bh_diag_where *where, const char *word)
{
    const struct bh_option *table = draft->settings->switching->words;
    const char *equals = strchr(word, '=');
    void *scratch;
    char *name;
    bool ok;

    if (equals == NULL || strchr(word, ',') != NULL) {
        bh_report_error(draft->report, where, NULL, "for example bulkhead,port = \"vlan=10\", \"rate=10M\";",
                        "\"%s\" is no word of a port", word);
        return false;
    }
    name = bh_arena_copy(&draft->arena, word, (size_t)(equals - word));
    if (name != NULL && bh_option_find(table, name) == NULL) {
        unknown_word(draft, where, name);
        return false;
    }
    scratch = bh_draft_scratch(draft, table);
    if (scratch == NULL || name == NULL) {
        draft->nomem = true;
        return false;
    }
    ok = bh_option_set(table, scratch, name, equals + 1, &draft->report->sink, where) == BH_OK;
    bh_options_fini(table, scratch);
    return ok;
}

void bh_draft_read_port(struct bh_draft *draft, struct bh_draft_device *from)
{
    const struct bh_tree_property *property = bh_tree_property(from->node, "bulkhead,port");
    char *words = NULL;

    if (property == NULL)
        return;
    from->port_at = property->where;
    from->port_words = "";
    if (!bh_tree_is_text(property)) {
        bh_report_error(draft->report, &property->where, NULL,
                        "for example bulkhead,port = \"vlan=10\", \"rate=10M\";",
                        "`bulkhead,port` must be one or more strings");
        return;
    }
    for (const char *word = NULL; (word = bh_tree_next_text(property, word)) != NULL;) {
        if (!check_word(draft, &property->where, word))
            return;
        words = bh_arena_format(&draft->arena, "%s%s%s", words == NULL ? "" : words, words == NULL ? "" : ",",
                                word);
        draft->nomem |= words == NULL;
    }
    if (words != NULL)
        from->port_words = words;
}
