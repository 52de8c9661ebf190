/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A draft: what the checker knows of a description while it becomes a plan. It joins the tree, the settings and
 * the plan under construction, and keeps for each thing of the plan the node that it came from.
 *
 * Order of work (plan/make.c): tree -> bh_draft_read_* (each property's kind; fills the plan) -> the table of
 * checks (plan/checks.c: what holds between things) -> bh_draft_place (what has no place gets one).
 *
 * Threading: one thread.   Ownership: the draft's and the plan's arenas.   May block: image checks read files.
 */
#ifndef PLAN_DRAFT_H
#define PLAN_DRAFT_H

#include "plan/make.h"
#include "plan/plan_box.h"
#include "plan/report.h"
#include "plan/tree.h"

/* Was the property there, and was it what it must be? BAD has been reported. */
enum bh_found { BH_ABSENT, BH_FOUND, BH_BAD };

struct bh_draft_range {
    uint64_t start, size;
    uint32_t domain; /* index; unused for the board */
    struct bh_diag_where where;
};

struct bh_draft_cluster {
    const struct bh_tree_node *node;
    uint32_t core_count;
    bool arm64; /* every core is known to be one */
};

struct bh_draft_domain {
    const struct bh_tree_node *node;
    const struct bh_tree_node *ready_console; /* NULL: the first one */
    struct bh_diag_where id_at, cpus_at, memory_at, kernel_at, ramdisk_at, after_at, console_at;
    bool has_id;
};

struct bh_draft_device {
    const struct bh_tree_node *node;
    const struct bh_plan_class *class_; /* NULL: unknown, reported */
    const struct bh_tree_node *link;    /* NULL: none; a switch too */
    const char *port_words;             /* of its port at a switch, joined by ','; NULL: none */
    struct bh_diag_where link_at, port_at, image_at, mac_at, forward_at;
    const char *image; /* value of the class's image option; NULL: none */
    uint64_t create_size;
    bool read_only;
};

struct bh_draft {
    const struct bh_plan_settings *settings;
    struct bh_report *report;
    struct bh_arena arena;
    struct bh_tree tree;
    struct bh_plan_box *box; /* the plan, and the arena of what is in it */
    struct bh_plan *plan;
    const char *folder, *cache_dir, *state_dir; /* absolute */
    const struct bh_tree_node *domains_node;

    struct bh_draft_range *ram; /* the board's, ascending, adjoining ones merged */
    size_t ram_count;
    struct bh_draft_cluster *clusters;
    size_t cluster_count;
    struct bh_draft_range *memory; /* every domain's */
    size_t memory_count;

    struct bh_draft_domain *domains; /* one for each in plan->domains, likewise below */
    struct bh_draft_device *devices;
    const struct bh_tree_node **links, **switches;
    uint32_t *domain_by_node, *device_by_node, *link_by_node,
        *switch_by_node; /* by a node's index; BH_PLAN_NONE: it is none */
    bool
        holes; /* something that others may refer to could not be read: what would only follow from that is not said */
    bool nomem; /* set where memory ran out and a check could not say so */
};

/* All of the reading, once draft->tree is there. Without /domains (draft->domains_node NULL) there is nothing to check. */
int bh_draft_read(struct bh_draft *draft) BH_MUST_USE;

/* Reading, by subject. Each reports what is wrong and goes on; only BH_ERR_NOMEM is returned. */
int bh_draft_read_board(struct bh_draft *draft) BH_MUST_USE;
int bh_draft_read_system(struct bh_draft *draft)
    BH_MUST_USE; /* counts and names domains, devices, links and switches */
int bh_draft_read_domain(struct bh_draft *draft, uint32_t index) BH_MUST_USE;
int bh_draft_read_device(struct bh_draft *draft, uint32_t index) BH_MUST_USE;
/* What a device's node says of its port at a switch. */
void bh_draft_read_port(struct bh_draft *draft, struct bh_draft_device *from);
int bh_draft_read_switch(struct bh_draft *draft, uint32_t index) BH_MUST_USE;
int bh_draft_read_backend(struct bh_draft *draft,
                          uint32_t index) BH_MUST_USE; /* once its options are there */

/* Options of a node by their table (plan/read_options.c). */
const struct bh_option *bh_draft_find_option(const struct bh_option *table, const char *name);
/* A zeroed block that takes every value of the table; NULL: no memory. */
void *bh_draft_scratch(struct bh_draft *draft, const struct bh_option *table);
/* How many options the node's properties can make at most. */
size_t bh_draft_count_values(const struct bh_tree_node *node);
/* The property's value onto the end of `options`, which has room; what is wrong is reported. BH_ERR_NOMEM. */
int bh_draft_add_option(struct bh_draft *draft, const struct bh_option *table, const struct bh_option *option,
                        const struct bh_tree_property *property, void *scratch,
                        struct bh_plan_option *options, size_t *count) BH_MUST_USE;
/* Restart policy of a domain or switch: what is not said stays as it is. */
void bh_draft_read_restart(struct bh_draft *draft, const struct bh_tree_node *node,
                           enum bh_plan_restart *policy, uint32_t *limit, uint32_t *window_ms);

/* The checks, in the order of one visible table. */
void bh_draft_check(struct bh_draft *draft);

/* Give places: guest addresses, PCI slots, sockets, MAC addresses, the start order. */
int bh_draft_place(struct bh_draft *draft) BH_MUST_USE;

/* Properties by kind (plan/value.c). The target is written only when BH_FOUND. */
enum bh_found bh_value_text(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const char **text);
enum bh_found bh_value_number(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                              uint64_t min, uint64_t max, uint64_t *number);
enum bh_found bh_value_size(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            uint64_t *bytes);
enum bh_found bh_value_time(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            uint32_t *ms);
enum bh_found bh_value_path(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            char **path);
enum bh_found bh_value_node(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const struct bh_tree_node **target);
/* A word out of a NULL-terminated list. */
enum bh_found bh_value_word(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                            const char *const *words, uint32_t *index);
/* A path as docs/binding.md has it ("cache:", "state:", relative), made absolute. NULL: reported, or no memory. */
char *bh_draft_path(struct bh_draft *draft, const struct bh_diag_where *where, const char *text);
/* "status" absent, "okay" or "ok" [DTSpec 2.3.4]. */
bool bh_draft_enabled(const struct bh_tree_node *node);

/*
 * Report a property or word that is none of `names`, with the nearest. `what` says what was looked for
 * ("property of a domain").
 */
void bh_draft_unknown(struct bh_draft *draft, const struct bh_diag_where *where, const char *what,
                      const char *word, const char *const *names, size_t count);

/* Report that `node` has no `name`. */
void bh_draft_missing(struct bh_draft *draft, const struct bh_tree_node *node, const char *name,
                      const char *hint);

#endif
