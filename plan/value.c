/* SPDX-License-Identifier: Apache-2.0 */
/* Properties by kind: each function reads one kind of docs/binding.md and says what is wrong with it. */
#include "plan/draft.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum bh_found bad(struct bh_draft *draft, const struct bh_tree_property *property, const char *hint,
                         const char *form, const char *value)
{
    bh_report_error(draft->report, &property->where, NULL, hint, "`%s` %s%s%s%s", property->name, form,
                    value == NULL ? "" : ", not \"", value == NULL ? "" : value, value == NULL ? "" : "\"");
    return BH_BAD;
}

/* Exactly one string. */
static const char *single_text(const struct bh_tree_property *property)
{
    const char *text = (const char *)property->data;

    return bh_tree_is_text(property) && strlen(text) + 1 == property->size ? text : NULL;
}

enum bh_found bh_value_text(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const char **text)
{
    const struct bh_tree_property *property = bh_tree_property(node, name);
    const char *value;

    if (property == NULL)
        return BH_ABSENT;
    value = single_text(property);
    if (value == NULL)
        return bad(draft, property, "write it in quotes", "must be one string", NULL);
    *text = value;
    return BH_FOUND;
}

/* Decimal or 0x hex at the start of a text; *end is what follows. False when there is no number, or it is too large. */
static bool parse_number(const char *text, uint64_t *number, char **end)
{
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *number = strtoull(text, end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
    return errno == 0 && *end != text;
}

enum bh_found bh_value_number(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                              uint64_t min, uint64_t max, uint64_t *number)
{
    const struct bh_tree_property *property = bh_tree_property(node, name);
    const char *text;
    uint64_t value;
    char *end;

    if (property == NULL)
        return BH_ABSENT;
    text = single_text(property);
    if (text != NULL && *text != '\0') {
        if (!parse_number(text, &value, &end) || *end != '\0')
            return bad(draft, property, "for example <3>", "must be a number", text);
    } else if (property->size == 4) {
        value = bh_tree_cell(property->data);
    } else {
        bh_report_error(draft->report, &property->where, NULL, "for example <3>",
                        "`%s` must be one cell; it has %u bytes", name, property->size);
        return BH_BAD;
    }
    if (value < min || value > max) {
        bh_report_error(draft->report, &property->where, NULL, NULL,
                        "`%s` must be between %" PRIu64 " and %" PRIu64 ", not %" PRIu64, name, min, max,
                        value);
        return BH_BAD;
    }
    *number = value;
    return BH_FOUND;
}

enum bh_found bh_value_size(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            uint64_t *bytes)
{
    static const char units[] = "KMGT";
    const struct bh_tree_property *property = bh_tree_property(node, name);
    const char *text, *unit, *hint = "a number, then K, M, G or T: \"64M\"";
    uint64_t value;
    unsigned shift;
    char *end;

    if (property == NULL)
        return BH_ABSENT;
    text = single_text(property);
    if (text == NULL || *text == '\0') {
        if (property->size != 4)
            return bad(draft, property, hint, "must be a size: one string or one cell", NULL);
        *bytes = bh_tree_cell(property->data);
        return BH_FOUND;
    }
    if (!parse_number(text, &value, &end))
        return bad(draft, property, hint, "must be a size", text);
    unit = *end == '\0' ? NULL : strchr(units, *end);
    if (*end != '\0' && (unit == NULL || end[1] != '\0')) {
        bh_report_error(draft->report, &property->where, NULL, hint, "`%s` has an unknown unit: \"%s\"", name,
                        text);
        return BH_BAD;
    }
    shift = unit == NULL ? 0 : 10 * (unsigned)(unit - units + 1);
    if (value > (uint64_t)INT64_MAX >> shift)
        return bad(draft, property, NULL, "must be less than 2^63 bytes", text);
    *bytes = value << shift;
    return BH_FOUND;
}

enum bh_found bh_value_time(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            uint32_t *ms)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *hint = "a number, then ms, s, m or h: \"90s\"";
    const struct bh_tree_property *property = bh_tree_property(node, name);
    const char *text;
    uint64_t value;
    char *end;

    if (property == NULL)
        return BH_ABSENT;
    text = single_text(property);
    if (text == NULL || !parse_number(text, &value, &end))
        return bad(draft, property, hint, "must be a time: one string", text);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (value == 0 || value > UINT32_MAX / 2 / units[i].ms)
            return bad(draft, property, NULL, "must be longer than nothing and shorter than 24 days", text);
        *ms = (uint32_t)value * units[i].ms;
        return BH_FOUND;
    }
    bh_report_error(draft->report, &property->where, NULL, hint, "`%s` has an unknown unit: \"%s\"", name,
                    text);
    return BH_BAD;
}

char *bh_draft_path(struct bh_draft *draft, const struct bh_diag_where *where, const char *text)
{
    static const char cache[] = "cache:", state[] = "state:";
    const char *folder = draft->folder, *rest = text;

    if (strncmp(text, cache, sizeof(cache) - 1) == 0) {
        folder = draft->cache_dir;
        rest = text + sizeof(cache) - 1;
    } else if (strncmp(text, state, sizeof(state) - 1) == 0) {
        folder = draft->state_dir;
        rest = text + sizeof(state) - 1;
    } else if (text[0] == '/') {
        folder = "";
        rest = text + 1;
    }
    if (*rest == '\0') {
        bh_report_error(draft->report, where, NULL, "name a file", "the path \"%s\" is empty", text);
        return NULL;
    }
    return bh_arena_format(&draft->box->arena, "%s/%s", folder,
                           rest + (rest != text ? strspn(rest, "/") : 0));
}

enum bh_found bh_value_path(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            char **path)
{
    const char *text;
    enum bh_found found = bh_value_text(draft, node, name, &text);
    char *value;

    if (found != BH_FOUND)
        return found;
    value = bh_draft_path(draft, &bh_tree_property(node, name)->where, text);
    if (value == NULL)
        return BH_BAD;
    *path = value;
    return BH_FOUND;
}

enum bh_found bh_value_node(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const struct bh_tree_node **target)
{
    const struct bh_tree_property *property = bh_tree_property(node, name);
    const struct bh_tree_node *found;

    if (property == NULL)
        return BH_ABSENT;
    if (property->size != 4 || single_text(property) != NULL)
        return bad(draft, property, "point at the node: <&label>", "must be one reference",
                   single_text(property));
    found = bh_tree_by_phandle(&draft->tree, bh_tree_cell(property->data));
    if (found == NULL) {
        bh_report_error(draft->report, &property->where, NULL, "point at the node: <&label>",
                        "`%s` refers to phandle %u, which no node has", name, bh_tree_cell(property->data));
        return BH_BAD;
    }
    *target = found;
    return BH_FOUND;
}

enum bh_found bh_value_word(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const char *const *words, uint32_t *index)
{
    const char *text;
    enum bh_found found = bh_value_text(draft, node, name, &text);
    char what[96];
    size_t count = 0;

    if (found != BH_FOUND)
        return found;
    for (; words[count] != NULL; count++) {
        if (strcmp(words[count], text) == 0) {
            *index = (uint32_t)count;
            return BH_FOUND;
        }
    }
    snprintf(what, sizeof(what), "value of `%s`", name);
    bh_draft_unknown(draft, &bh_tree_property(node, name)->where, what, text, words, count);
    return BH_BAD;
}

bool bh_draft_enabled(const struct bh_tree_node *node)
{
    const struct bh_tree_property *status = bh_tree_property(node, "status");
    const char *text = status == NULL ? "okay" : single_text(status);

    return text == NULL || strcmp(text, "okay") == 0 || strcmp(text, "ok") == 0;
}

void bh_draft_unknown(struct bh_draft *draft, const struct bh_diag_where *where, const char *what,
                      const char *word, const char *const *names, size_t count)
{
    const char *near = bh_did_you_mean(word, names, count);
    char *hint = NULL, *list = NULL;

    if (near != NULL) {
        hint = bh_arena_format(&draft->arena, "did you mean `%s`?", near);
    } else {
        for (size_t i = 0; i < count && i < 12; i++)
            list = bh_arena_format(&draft->arena, "%s%s`%s`", list == NULL ? "" : list,
                                   list == NULL ? "" : ", ", names[i]);
        if (list != NULL)
            hint = bh_arena_format(&draft->arena, count > 12 ? "known are %s, ..." : "known are %s", list);
    }
    bh_report_error(draft->report, where, NULL, hint, "`%s` is no known %s", word, what);
}

void bh_draft_missing(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                      const char *hint)
{
    bh_report_error(draft->report, &node->where, NULL, hint, "`%s` is missing", name);
}
