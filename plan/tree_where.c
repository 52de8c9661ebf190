/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each node and property of a tree stands in its source.
 *
 * Theory of operation: `dtc -I dts -O dts -T -T` prints the tree in the order of the blob, one node's opening,
 * one property or one closing brace a line, each followed by a comment with its places:
 *
 *     label: name { / * board.dtsi:3:8-3:21, system.dts:9:2-11:4 * /
 *     name = <0x00>; / * board.dtsi:3:10-3:18 * /
 *
 * The text is walked beside the tree. It only decorates: a line that does not fit is passed over, and what gets no
 * place keeps its parent's. A node that several places define has the first as its own. Bytes in strings are
 * escaped by dtc, so that a line is a line, and the comment is what begins at the last slash-star.
 */
#include "plan/tree.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "FILE:LINE:COL-LINE:COL", then the end or ", ": cut the text after FILE and give the first line and column. */
static bool parse_place(char *text, struct bh_diag_where *where)
{
    for (char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        char *end;
        unsigned long line, column;

        if (!isdigit((unsigned char)colon[1]))
            continue;
        line = strtoul(colon + 1, &end, 10);
        if (*end != ':' || !isdigit((unsigned char)end[1]))
            continue;
        column = strtoul(end + 1, &end, 10);
        if (*end != '-' || line == 0 || line > 10000000)
            continue;
        *colon = '\0';
        where->file = text;
        where->line = (unsigned)line;
        where->column = (unsigned)column;
        return true;
    }
    return false;
}

/* Cut the comment off the line; its first place, if there is one, goes to *where. */
static bool cut_place(char *line, struct bh_diag_where *where)
{
    char *comment = NULL, *end;

    for (char *at = strstr(line, "/*"); at != NULL; at = strstr(at + 1, "/*"))
        comment = at;
    if (comment == NULL)
        return false;
    end = strstr(comment, " */");
    if (end == NULL)
        return false;
    *end = '\0';
    *comment = '\0';
    return parse_place(comment + 2 + strspn(comment + 2, " "), where);
}

/* Past the indentation and any labels ("a: b: name"). */
static char *skip_labels(char *line)
{
    line += strspn(line, " \t");
    for (;;) {
        size_t length = strcspn(line, " :;={");

        if (length == 0 || line[length] != ':' || line[length + 1] != ' ')
            return line;
        line += length + 2;
    }
}

struct locator {
    struct bh_tree *tree;
    struct bh_tree_node *node; /* that the text is inside of; NULL: before or after the root */
    uint32_t next;             /* in preorder: the node that opens next */
    uint32_t next_property;    /* of the node: those before it have been seen */
    const char *file;          /* the last name, shared by all that have it */
};

static void settle(struct locator *locator, struct bh_diag_where *target, struct bh_diag_where place)
{
    if (locator->file == NULL || strcmp(locator->file, place.file) != 0)
        locator->file = bh_arena_string(&locator->tree->arena, place.file);
    if (locator->file == NULL)
        return;
    target->file = locator->file;
    target->line = place.line;
    target->column = place.column;
}

/* The text has the properties in the order of the node. */
static struct bh_tree_property *find(struct locator *locator, const char *name, size_t length)
{
    struct bh_tree_node *node = locator->node;

    for (uint32_t i = locator->next_property; i < node->property_count; i++) {
        struct bh_tree_property *property = &node->properties[i];

        if (strncmp(property->name, name, length) == 0 && property->name[length] == '\0') {
            locator->next_property = i + 1;
            return property;
        }
    }
    return NULL;
}

static void open_node(struct locator *locator, const char *name, size_t length,
                      const struct bh_diag_where *place)
{
    struct bh_tree *tree = locator->tree;
    struct bh_tree_node *node = locator->next < tree->node_count ? &tree->nodes[locator->next] : NULL;

    if (node == NULL ||
        (locator->node != NULL && (strncmp(node->name, name, length) != 0 || node->name[length] != '\0')))
        return;
    locator->next++;
    locator->node = node;
    locator->next_property = 0;
    if (place != NULL)
        settle(locator, &node->where, *place);
    else if (node->parent != NULL)
        settle(locator, &node->where, node->parent->where);
    for (uint32_t i = 0; i < node->property_count; i++)
        node->properties[i].where = node->where;
}

void bh_tree_locate(struct bh_tree *tree, char *annotated)
{
    struct locator locator = {.tree = tree};
    char *save = NULL;

    tree->has_lines = true;
    for (char *line = strtok_r(annotated, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        struct bh_diag_where place = {0};
        bool placed = cut_place(line, &place);
        char *name = skip_labels(line);
        size_t length = strcspn(name, " ;=");
        size_t rest = strlen(name);

        while (rest > 0 && isspace((unsigned char)name[rest - 1]))
            rest--;
        if (rest >= 2 && name[0] == '}' && name[1] == ';') {
            if (locator.node != NULL)
                locator.node = locator.node->parent;
        } else if (rest >= 1 && name[rest - 1] == '{') {
            open_node(&locator, name, length, placed ? &place : NULL);
        } else if (locator.node != NULL && placed) {
            struct bh_tree_property *property = find(&locator, name, length);

            if (property != NULL)
                settle(&locator, &property->where, place);
        }
    }
}
