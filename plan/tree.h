/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A description as a tree in memory: nodes and properties with the place in the source that each came from. It is
 * read from a blob (libfdt walks the structure block) or from a source (dtc makes the blob, and its annotated
 * output gives the places).
 *
 * Threading: one thread builds it, then it is read-only.   Ownership: everything lives in the tree's arena.
 * May block: bh_tree_read (reads files, runs dtc and waits for it).
 */
#ifndef PLAN_TREE_H
#define PLAN_TREE_H

#include "plan/arena.h"
#include "plan/report.h"
#include <bulkhead/err.h>
#include <stdbool.h>
#include <stdint.h>

/* What a tree from outside may cost us. */
#define BH_TREE_BYTES_MAX (16u << 20) /* of a blob */
#define BH_TREE_DEPTH_MAX 32u         /* of nodes below the root */
#define BH_TREE_NAME_MAX  63u         /* bytes of a node's or property's name; the specification says 31 */

struct bh_tree_property {
    const char *name;
    const uint8_t *data; /* into the blob; unaligned */
    uint32_t size;
    struct bh_diag_where where;
};

struct bh_tree_node {
    const char *name; /* with its unit address; "" for the root */
    const char *path;
    struct bh_tree_node *parent, *child,
        *next; /* first child, next sibling; in the order of the description */
    struct bh_tree_property *properties;
    uint32_t property_count;
    uint32_t phandle; /* 0: none */
    uint32_t index;   /* in preorder */
    struct bh_diag_where where;
};

struct bh_tree {
    struct bh_arena arena;
    const char *file;           /* as given */
    bool has_lines;             /* read from a source */
    struct bh_tree_node *nodes; /* in preorder; nodes[0] is the root */
    uint32_t node_count;
    struct bh_tree_node **by_phandle; /* ascending */
    uint32_t phandle_count;
};

/*
 * Read a .dts or .dtb; which one it is, its first four bytes tell. What is wrong goes to `report`.
 * BH_ERR_NOENT, BH_ERR_ACCESS, BH_ERR_IO, BH_ERR_SYNTAX, BH_ERR_CHILD, BH_ERR_NOMEM. The tree must be zeroed, and
 * is finished with bh_tree_fini whatever this returns.
 */
int bh_tree_read(struct bh_tree *tree, const char *file, struct bh_report *report) BH_MUST_USE;
void bh_tree_fini(struct bh_tree *tree);

/* Read a blob that is in memory already; hostile bytes are expected. Same errors; `data` is copied. */
int bh_tree_from_blob(struct bh_tree *tree, const char *file, const void *data, size_t size,
                      struct bh_report *report) BH_MUST_USE;

/* Give the nodes and properties of a tree their places, from the output of `dtc -O dts -T -T` for the same tree. */
void bh_tree_locate(struct bh_tree *tree, char *annotated);

/* Run dtc on a source. The blob and the annotated source (NUL-terminated, may be NULL) are the caller's to free. */
int bh_dtc_run(const char *file, struct bh_report *report, void **blob, size_t *blob_size,
               char **annotated) BH_MUST_USE;

const struct bh_tree_property *bh_tree_property(const struct bh_tree_node *node,
                                                const char *name);                     /* or NULL */
struct bh_tree_node *bh_tree_child(const struct bh_tree_node *node, const char *name); /* or NULL */
struct bh_tree_node *bh_tree_by_phandle(const struct bh_tree *tree, uint32_t phandle); /* or NULL */

/* Is the property text: NUL-terminated strings of UTF-8 without control characters, none of them empty unless it is alone? */
bool bh_tree_is_text(const struct bh_tree_property *property);
/* The next string of a text property; `last` NULL: the first. NULL: no more. */
const char *bh_tree_next_text(const struct bh_tree_property *property, const char *last);
/* Is `word` one of the node's `compatible` strings? */
bool bh_tree_compatible(const struct bh_tree_node *node, const char *word);
uint32_t bh_tree_cell(const uint8_t *data);

#endif
