/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan together with the arena of everything in it; only the planner and the JSON reader, which make plans, see it.
 *
 * Threading: one thread while the plan is made.   Ownership: bh_plan_free() frees it.   May block: no.
 */
#ifndef PLAN_PLAN_BOX_H
#define PLAN_PLAN_BOX_H

#include "plan/arena.h"
#include "plan/plan.h"

struct bh_plan_box {
    struct bh_plan plan; /* first: what users hold is a pointer to it */
    struct bh_arena arena;
};

/* NULL when memory ran out. */
struct bh_plan_box *bh_plan_box_create(void);

/* Text of "DOMAIN.DEVICE.sock", "NAME.link" and the like, as plan.h promises; NULL when memory ran out. */
char *bh_plan_socket_name(struct bh_arena *arena, const char *domain, const char *device);
char *bh_plan_link_name(struct bh_arena *arena, const char *link);
char *bh_plan_port_name(struct bh_arena *arena, const char *domain, const char *device);
char *bh_plan_folder_name(struct bh_arena *arena, const char *class_name, const char *domain,
                          const char *device);

/* Is it fit to be a name: 1 to BH_PLAN_NAME_MAX characters of a node name [DTSpec 2.2.1], a letter or digit first? */
bool bh_plan_name_ok(const char *name);

/*
 * An order in which each domain stands after all of its `after`, found in passes by ascending index;
 * plan->start_order has room for all. Returns how many could be ordered; fewer than domain_count: the rest waits
 * in or for a cycle. `waits` is scratch for domain_count numbers, and afterwards non-zero for what could not be
 * ordered.
 */
size_t bh_plan_order(struct bh_plan *plan, uint32_t *waits);

#endif
