/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a flattened device tree to a tree in memory.
 *
 * Theory of operation: the blob is copied once and never trusted. libfdt's tag walker keeps each tag inside the
 * structure block; the names, which it would look for the end of in time proportional to the block (and so, over
 * all properties of a made-up blob, to its square), are measured here against BH_TREE_NAME_MAX. Two passes: the
 * first checks everything and counts, the second fills arrays of that size, so that nothing grows or moves.
 */
#include "plan/tree.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    struct bh_tree *tree;
    struct bh_report *report;
    const uint8_t *blob;
    const char *strings;
    uint32_t strings_size;
    uint32_t property_total;
    uint32_t phandle_total;
};

static int broken(const struct walk *walk, int offset, const char *what)
{
    const struct bh_diag_where where = {.file = walk->tree->file};

    bh_report_error(walk->report, &where, NULL, "make the blob again with dtc; this one is damaged",
                    "the blob is broken at byte %d of its structure: %s", offset, what);
    return BH_ERR_SYNTAX;
}

static bool name_ok(const char *name, size_t room, bool node)
{
    size_t length = strnlen(name, room);

    if (length == room || length > BH_TREE_NAME_MAX || (length == 0 && !node))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] <= 0x20 || name[i] >= 0x7f || name[i] == '/')
            return false;
    }
    return true;
}

static int check_header(struct walk *walk, const void *data, size_t size)
{
    const struct bh_diag_where where = {.file = walk->tree->file};
    size_t total;

    if (size < FDT_V17_SIZE || fdt_magic(data) != FDT_MAGIC) {
        bh_report_error(walk->report, &where, NULL, "name a .dtb file that dtc made",
                        "the blob has %zu bytes, too few for its header", size);
        return BH_ERR_SYNTAX;
    }
    total = fdt_totalsize(data);
    if (total > size) {
        bh_report_error(walk->report, &where, NULL, "copy or make it again; the rest is missing",
                        "the blob is truncated: it has %zu of its %zu bytes", size, total);
        return BH_ERR_SYNTAX;
    }
    if (size > BH_TREE_BYTES_MAX) {
        bh_report_error(walk->report, &where, NULL, NULL, "the blob is larger than %u MiB",
                        BH_TREE_BYTES_MAX >> 20);
        return BH_ERR_SYNTAX;
    }
    if (fdt_version(data) < 17 || fdt_last_comp_version(data) > 17) {
        bh_report_error(walk->report, &where, NULL, "make it again with dtc",
                        "the blob has version %u, not 17", fdt_version(data));
        return BH_ERR_SYNTAX;
    }
    if (fdt_check_header(data) != 0) {
        bh_report_error(walk->report, &where, NULL, "make the blob again with dtc; this one is damaged",
                        "the blob's header is broken: its blocks do not lie inside it");
        return BH_ERR_SYNTAX;
    }
    return BH_OK;
}

static const char *property_name(const struct walk *walk, const struct fdt_property *property)
{
    uint32_t offset = fdt32_to_cpu(property->nameoff);

    if (offset >= walk->strings_size || !name_ok(walk->strings + offset, walk->strings_size - offset, false))
        return NULL;
    return walk->strings + offset;
}

/* First pass. On success the tree's counts are set. */
static int count(struct walk *walk)
{
    uint32_t depth = 0;
    int offset = 0, next = 0;
    bool ended = false, children[BH_TREE_DEPTH_MAX + 2] = {false};

    while (!ended) {
        uint32_t tag = fdt_next_tag(walk->blob, offset, &next);
        const struct fdt_property *property;
        const char *name;

        if (next < 0)
            return broken(walk, offset, "a tag reaches beyond its end");
        switch (tag) {
        case FDT_BEGIN_NODE:
            if (depth == 0 && walk->tree->node_count != 0)
                return broken(walk, offset, "a second root");
            if (depth > BH_TREE_DEPTH_MAX)
                return broken(walk, offset, "nodes are nested too deeply");
            name = fdt_offset_ptr(walk->blob, offset + (int)FDT_TAGSIZE, next - offset - (int)FDT_TAGSIZE);
            if (name == NULL || !name_ok(name, (size_t)(next - offset - (int)FDT_TAGSIZE), true) ||
                (*name == '\0') != (depth == 0))
                return broken(walk, offset, "a node's name is none");
            children[depth] = true;
            children[++depth] = false;
            walk->tree->node_count++;
            break;
        case FDT_END_NODE:
            if (depth-- == 0)
                return broken(walk, offset, "a node ends that never began");
            break;
        case FDT_PROP:
            property = fdt_offset_ptr(walk->blob, offset, sizeof(*property));
            if (property == NULL || depth == 0 || children[depth])
                return broken(walk, offset, "a property outside of a node");
            name = property_name(walk, property);
            if (name == NULL)
                return broken(walk, offset, "a property's name is none");
            walk->property_total++;
            break;
        case FDT_NOP: break;
        case FDT_END: ended = true; break;
        default: return broken(walk, offset, "an unknown tag");
        }
        offset = next;
    }
    return depth != 0 || walk->tree->node_count == 0 ? broken(walk, offset, "it ends within a node") : BH_OK;
}

static const char *path_of(struct bh_tree *tree, const struct bh_tree_node *parent, const char *name)
{
    if (parent == NULL)
        return "/";
    return bh_arena_format(&tree->arena, "%s/%s", parent->parent == NULL ? "" : parent->path, name);
}

static void add_property(struct walk *walk, struct bh_tree_node *node, int offset)
{
    const struct fdt_property *raw = fdt_offset_ptr(walk->blob, offset, sizeof(*raw));
    struct bh_tree_property *property = &node->properties[node->property_count++];

    property->name = property_name(walk, raw);
    property->data = (const uint8_t *)raw->data;
    property->size = fdt32_to_cpu(raw->len);
    property->where = node->where;
    if ((strcmp(property->name, "phandle") == 0 || strcmp(property->name, "linux,phandle") == 0) &&
        property->size == 4 && node->phandle == 0) {
        node->phandle = bh_tree_cell(property->data);
        walk->phandle_total += node->phandle != 0;
    }
}

/* Second pass, over what the first one found to be sound. */
static int fill(struct walk *walk)
{
    struct bh_tree *tree = walk->tree;
    struct bh_tree_property *properties =
        bh_arena_alloc(&tree->arena, walk->property_total, sizeof(*properties));
    struct bh_tree_node *node = NULL, *last[BH_TREE_DEPTH_MAX + 2] = {NULL};
    uint32_t depth = 0, index = 0, tag;
    int offset = 0, next;

    tree->nodes = bh_arena_alloc(&tree->arena, tree->node_count, sizeof(*tree->nodes));
    if (tree->nodes == NULL || properties == NULL)
        return BH_ERR_NOMEM;
    while ((tag = fdt_next_tag(walk->blob, offset, &next)) != FDT_END) {
        if (tag == FDT_BEGIN_NODE) {
            struct bh_tree_node *parent = node;

            node = &tree->nodes[index];
            node->index = index++;
            node->name = fdt_offset_ptr(walk->blob, offset + (int)FDT_TAGSIZE, 1);
            node->parent = parent;
            node->path = path_of(tree, parent, node->name);
            if (node->path == NULL)
                return BH_ERR_NOMEM;
            node->where = (struct bh_diag_where){.file = tree->file, .node = node->path};
            node->properties = properties;
            if (last[depth] != NULL)
                last[depth]->next = node;
            else if (parent != NULL)
                parent->child = node;
            last[depth++] = node;
            last[depth] = NULL;
        } else if (node == NULL) {
            return BH_ERR_SYNTAX; /* the first pass saw a root around everything */
        } else if (tag == FDT_END_NODE) {
            node = node->parent;
            depth--;
        } else if (tag == FDT_PROP) {
            add_property(walk, node, offset);
            properties++;
        }
        offset = next;
    }
    return BH_OK;
}

static int by_phandle(const void *left, const void *right)
{
    const struct bh_tree_node *a = *(struct bh_tree_node *const *)left;
    const struct bh_tree_node *b = *(struct bh_tree_node *const *)right;

    if (a->phandle != b->phandle)
        return a->phandle < b->phandle ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int index_phandles(struct walk *walk)
{
    struct bh_tree *tree = walk->tree;

    tree->by_phandle = bh_arena_alloc(&tree->arena, walk->phandle_total, sizeof(struct bh_tree_node *));
    if (tree->by_phandle == NULL)
        return BH_ERR_NOMEM;
    for (uint32_t i = 0; i < tree->node_count; i++) {
        if (tree->nodes[i].phandle != 0)
            tree->by_phandle[tree->phandle_count++] = &tree->nodes[i];
    }
    qsort(tree->by_phandle, tree->phandle_count, sizeof(struct bh_tree_node *), by_phandle);
    for (uint32_t i = 1; i < tree->phandle_count; i++) {
        if (tree->by_phandle[i]->phandle == tree->by_phandle[i - 1]->phandle)
            bh_report_error(walk->report, &tree->by_phandle[i]->where, &tree->by_phandle[i - 1]->where,
                            "leave phandles to dtc: use labels", "phandle %u is that of two nodes, %s and %s",
                            tree->by_phandle[i]->phandle, tree->by_phandle[i - 1]->path,
                            tree->by_phandle[i]->path);
    }
    return BH_OK;
}

int bh_tree_from_blob(struct bh_tree *tree, const char *file, const void *data, size_t size,
                      struct bh_report *report)
{
    struct walk walk = {.tree = tree, .report = report};
    char *copy;
    int err;

    tree->file = bh_arena_string(&tree->arena, file);
    copy = bh_arena_copy(&tree->arena, data, size);
    if (tree->file == NULL || copy == NULL)
        return BH_ERR_NOMEM;
    walk.blob = (const uint8_t *)copy;
    err = check_header(&walk, copy, size);
    if (err != BH_OK)
        return err;
    walk.strings = copy + fdt_off_dt_strings(copy);
    walk.strings_size = fdt_size_dt_strings(copy);
    err = count(&walk);
    if (err == BH_OK)
        err = fill(&walk);
    if (err == BH_OK)
        err = index_phandles(&walk);
    return err;
}
