/* SPDX-License-Identifier: Apache-2.0 */
/* What holds of switches: who may plug in, how many ports there are, that each port of the host is used once. */
#include "plan/checks.h"
#include <string.h>

/* The switch that a device names; BH_PLAN_NONE: it names none. */
static uint32_t switch_of(const struct bh_draft *draft, uint32_t device)
{
    const struct bh_tree_node *node = draft->devices[device].link;

    return node == NULL ? BH_PLAN_NONE : draft->switch_by_node[node->index];
}

static void plug(struct bh_draft *draft, uint32_t index, struct bh_plan_switch *into)
{
    const struct bh_draft_device *from = &draft->devices[index];

    if (from->class_ == NULL || !bh_check_may_plug(draft, index))
        return;
    if (strchr(draft->plan->devices[index].node, ',') != NULL) {
        bh_report_error(
            draft->report, &from->link_at, NULL, "give both a name without commas",
            "%s cannot plug into a switch: a comma parts the words of a port, and its domain's name or "
            "its own has one",
            draft->plan->devices[index].node);
        return;
    }
    if (into->port_count < BH_PLAN_SWITCH_PORTS)
        into->ports[into->port_count].device = index;
    into->port_count++;
    draft->plan->devices[index].net_switch = (uint32_t)(into - draft->plan->switches);
}

static bool plug_all(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;

    for (uint32_t i = 0; i < plan->switch_count; i++) {
        plan->switches[i].ports =
            bh_arena_alloc(&draft->box->arena, BH_PLAN_SWITCH_PORTS, sizeof(*plan->switches[i].ports));
        if (plan->switches[i].ports == NULL) {
            draft->nomem = true;
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->device_count; i++) {
        if (switch_of(draft, i) != BH_PLAN_NONE)
            plug(draft, i, &plan->switches[switch_of(draft, i)]);
        else if (draft->devices[i].port_words != NULL && !draft->holes)
            bh_report_error(draft->report, &draft->devices[i].port_at, NULL,
                            "plug it into a switch, bulkhead,link = <&label>;, or take the words away",
                            "`bulkhead,port` is of a port of a switch, and %s is at none",
                            plan->devices[i].node);
    }
    return true;
}

/* A port that is no net's. Its place is something of the host, which one switch can have; but a link has two ends. */
static void claim_place(struct bh_draft *draft, uint32_t index, const char *text,
                        const struct bh_diag_where *where, struct bh_claim *claims, size_t *count)
{
    static const char link[] = "link:";
    const char *key = bh_arena_copy(&draft->arena, text, strcspn(text, ","));
    const char *owner = draft->plan->switches[index].node;

    if (key == NULL) {
        draft->nomem = true;
        return;
    }
    if (strncmp(key, link, sizeof(link) - 1) == 0) {
        if (key[sizeof(link) - 1] != '/')
            bh_report_error(draft->report, where, NULL,
                            "nets plug in by `bulkhead,link`; other ends by a whole path",
                            "the port %s does not begin with /", key);
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        if (claims[i].owner == owner && strcmp(claims[i].key, key) == 0) {
            bh_report_error(draft->report, where, NULL, "take one of them away", "the port %s is there twice",
                            key);
            return;
        }
    }
    claims[(*count)++] = (struct bh_claim){key, owner, where, index};
}

/* How many such ports there are. */
static size_t claim_places(struct bh_draft *draft, uint32_t index, struct bh_claim *claims, size_t *count)
{
    const struct bh_plan_switch *one = &draft->plan->switches[index];
    const char *port = draft->settings->switching->port;
    const struct bh_tree_property *property = bh_tree_property(draft->switches[index], port);
    size_t places = 0;

    for (size_t i = 0; i < one->option_count && property != NULL; i++) {
        if (strcmp(one->options[i].name, port) != 0)
            continue;
        places++;
        claim_place(draft, index, one->options[i].value, &property->where, claims, count);
    }
    return places;
}

static void check_count(struct bh_draft *draft, uint32_t index, size_t places)
{
    const struct bh_plan_switch *one = &draft->plan->switches[index];
    const struct bh_diag_where *where = &draft->switches[index]->where;
    const size_t count = one->port_count + places;

    if (count > BH_PLAN_SWITCH_PORTS)
        bh_report_error(draft->report, where, NULL,
                        "give a second switch the rest, and both a port = \"link:/PATH\";",
                        "a switch has at most %d ports; %s has %zu", BH_PLAN_SWITCH_PORTS, one->node, count);
    else if (count < 2 && !draft->holes)
        bh_report_error(
            draft->report, where,
            count == 0 || one->port_count == 0 ? NULL : &draft->devices[one->ports[0].device].link_at,
            "point at it from a net, bulkhead,link = <&label>;, or name a tap, port = \"tap:NAME\";",
            count == 0 ? "the switch has no port: it joins two or more"
                       : "the switch has one port: it joins two or more");
}

void bh_check_switches(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;
    size_t most = 0, count = 0;
    struct bh_claim *claims;

    for (uint32_t i = 0; i < plan->switch_count; i++)
        most += plan->switches[i].option_count;
    claims = bh_check_room(draft, most, sizeof(*claims));
    if (claims == NULL || !plug_all(draft))
        return;
    for (uint32_t i = 0; i < plan->switch_count; i++) {
        check_count(draft, i, claim_places(draft, i, claims, &count));
    }
    bh_check_claims(draft, claims, count, "the port", "name another one at one of the two");
}
