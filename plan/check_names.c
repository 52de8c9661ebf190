/* SPDX-License-Identifier: Apache-2.0 */
/* What names a thing is its own: ids, names, sockets. */
#include "plan/checks.h"

void bh_check_ids(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    struct bh_claim *claims = bh_check_room(draft, plan->domain_count, sizeof(*claims));
    size_t count = 0;

    for (uint32_t i = 0; claims != NULL && i < plan->domain_count; i++) {
        const char *key = bh_arena_format(&draft->arena, "%u", plan->domains[i].id);

        if (!draft->domains[i].has_id || key == NULL)
            continue;
        claims[count++] = (struct bh_claim){key, plan->domains[i].node, &draft->domains[i].id_at, i};
    }
    bh_check_claims(draft, claims, count, "id", "give each domain an id of its own");
}

/*
 * dtc refuses two nodes of one name; a blob may have them all the same. Links and switches share a name space with
 * domains, all being children of /domains.
 */
void bh_check_names(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    size_t most = plan->domain_count + plan->link_count + plan->switch_count + plan->device_count, count = 0;
    struct bh_claim *claims = bh_check_room(draft, most, sizeof(*claims));

    for (uint32_t i = 0; claims != NULL && i < plan->domain_count; i++, count++)
        claims[count] = (struct bh_claim){plan->domains[i].node, plan->domains[i].node,
                                          &draft->domains[i].node->where, (uint32_t)count};
    for (uint32_t i = 0; claims != NULL && i < plan->device_count; i++, count++)
        claims[count] = (struct bh_claim){plan->devices[i].node, plan->devices[i].node,
                                          &draft->devices[i].node->where, (uint32_t)count};
    for (uint32_t i = 0; claims != NULL && i < plan->link_count; i++, count++)
        claims[count] = (struct bh_claim){plan->links[i].node, plan->links[i].node, &draft->links[i]->where,
                                          (uint32_t)count};
    for (uint32_t i = 0; claims != NULL && i < plan->switch_count; i++, count++)
        claims[count] = (struct bh_claim){plan->switches[i].node, plan->switches[i].node,
                                          &draft->switches[i]->where, (uint32_t)count};
    bh_check_claims(draft, claims, count, "the node", "name one of the two nodes otherwise");
}

/* Where the two ends of links meet, and nets their switch. */
static void check_meetings(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    struct bh_claim *claims = bh_check_room(draft, plan->link_count + plan->device_count, sizeof(*claims));
    size_t count = 0;

    for (uint32_t i = 0; claims != NULL && i < plan->link_count; i++) {
        const char *key = bh_plan_link_name(&draft->arena, plan->links[i].name);

        if (key != NULL)
            claims[count++] = (struct bh_claim){key, plan->links[i].node, &draft->links[i]->where, i};
    }
    for (uint32_t i = 0; claims != NULL && i < plan->device_count; i++) {
        const struct bh_plan_device *device = &plan->devices[i];
        const struct bh_tree_node *into = draft->devices[i].link;
        const char *key =
            into == NULL || draft->switch_by_node[into->index] == BH_PLAN_NONE
                ? NULL
                : bh_plan_port_name(&draft->arena, plan->domains[device->domain].name, device->name);

        if (key != NULL)
            claims[count++] = (struct bh_claim){key, device->node, &draft->devices[i].node->where,
                                                (uint32_t)plan->link_count + i};
    }
    bh_check_claims(draft, claims, count, "the folder", "name one of the two nodes otherwise");
}

/*
 * "a" with "b.c" and "a.b" with "c" are different devices with one socket; so may be a device and a switch. Nodes of one
 * path were reported above.
 */
void bh_check_sockets(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    struct bh_claim *claims = bh_check_room(draft, plan->device_count + plan->switch_count, sizeof(*claims));
    size_t count = 0;

    for (uint32_t i = 0; claims != NULL && i < plan->device_count; i++) {
        const struct bh_plan_device *device = &plan->devices[i];
        const char *key =
            bh_plan_socket_name(&draft->arena, plan->domains[device->domain].name, device->name);

        if (key != NULL)
            claims[count++] = (struct bh_claim){key, device->node, &draft->devices[i].node->where, i};
    }
    for (uint32_t i = 0; claims != NULL && i < plan->switch_count; i++) {
        const char *key = bh_arena_format(&draft->arena, "%s.sock", plan->switches[i].name);

        if (key != NULL)
            claims[count++] = (struct bh_claim){key, plan->switches[i].node, &draft->switches[i]->where,
                                                (uint32_t)plan->device_count + i};
    }
    bh_check_claims(draft, claims, count, "the socket", "name one of the two devices otherwise");
    check_meetings(draft);
}
