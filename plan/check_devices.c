/* SPDX-License-Identifier: Apache-2.0 */
/* What holds between devices: slots, MAC addresses, ports of the host, links. Switches have check_switches.c. */
#include "plan/checks.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bh_check_slots(struct bh_draft *draft)
{
    for (uint32_t i = 0; i < draft->plan->domain_count; i++) {
        const struct bh_plan_domain *domain = &draft->plan->domains[i];

        if (domain->device_count > BH_PLAN_PCI_SLOTS)
            bh_report_error(
                draft->report, &draft->devices[domain->device_first + BH_PLAN_PCI_SLOTS].node->where,
                &draft->domains[i].node->where, "take away or disable (status = \"disabled\") the rest",
                "a domain has at most %d devices; %s has %u", BH_PLAN_PCI_SLOTS, domain->node,
                domain->device_count);
    }
}

/* A group's address, of which the second digit is odd: no card can have it, and a guest's driver refuses it. */
static bool is_of_a_group(const char *mac)
{
    return isxdigit((unsigned char)mac[0]) && mac[1] != '\0' && strchr("13579bdf", mac[1]) != NULL;
}

void bh_check_macs(struct bh_draft *draft)
{
    struct bh_claim *claims = bh_check_room(draft, draft->plan->device_count, sizeof(*claims));
    size_t count = 0;

    for (uint32_t i = 0; claims != NULL && i < draft->plan->device_count; i++) {
        const struct bh_draft_device *device = &draft->devices[i];
        const char *text = device->class_ == NULL || device->class_->mac == NULL
                               ? NULL
                               : bh_plan_option_value(&draft->plan->devices[i], device->class_->mac);
        char *key = text == NULL ? NULL : bh_arena_string(&draft->arena, text);

        for (char *at = key; at != NULL && *at != '\0'; at++)
            *at = (char)(*at == '-' ? ':' : tolower((unsigned char)*at));
        if (key == NULL)
            continue;
        if (is_of_a_group(key))
            bh_report_error(draft->report, &device->mac_at, NULL,
                            "a card's begins with two digits of which the second is even, as 02",
                            "the MAC address %s is that of a group", text);
        claims[count++] = (struct bh_claim){key, device->node->path, &device->mac_at, i};
    }
    bh_check_claims(draft, claims, count, "the MAC address",
                    "change one, or leave it out: the planner makes one up");
}

/* A forward's claim on the host: "PROTO:[ADDRESS:]PORT:GUEST-PORT". */
struct port {
    char proto[8];
    char address[64]; /* "": every address */
    unsigned long number;
    const struct bh_draft_device *device;
};

/* False: not of that form; the class says what is wrong with it when it is started with it. */
static bool parse_port(const char *text, struct port *port)
{
    size_t proto = strcspn(text, ":"), head;
    const char *last, *begin, *end_of_address;
    char *end;

    if (proto == 0 || proto >= sizeof(port->proto) || text[proto] != ':')
        return false;
    memcpy(port->proto, text, proto);
    port->proto[proto] = '\0';
    text += proto + 1;
    last = strrchr(text, ':'); /* before the guest's port */
    if (last == NULL)
        return false;
    for (begin = last; begin > text && begin[-1] != ':'; begin--)
        ;
    if (!isdigit((unsigned char)*begin))
        return false;
    port->number = strtoul(begin, &end, 10);
    if (end != last || port->number > 65535)
        return false;
    end_of_address = begin > text ? begin - 1 : begin;
    head = (size_t)(end_of_address - text);
    if (head >= sizeof(port->address))
        return false;
    memcpy(port->address, text, head);
    port->address[head] = '\0';
    if (strcmp(port->address, "0.0.0.0") == 0 || strcmp(port->address, "[::]") == 0 ||
        strcmp(port->address, "*") == 0)
        port->address[0] = '\0';
    return true;
}

static int by_port(const void *left, const void *right)
{
    const struct port *a = left, *b = right;
    int order = strcmp(a->proto, b->proto);

    if (order != 0)
        return order;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->device < b->device ? -1 : a->device > b->device;
}

static bool meet(const struct port *a, const struct port *b)
{
    return strcmp(a->proto, b->proto) == 0 && a->number == b->number && a->number != 0 &&
           (a->address[0] == '\0' || b->address[0] == '\0' || strcmp(a->address, b->address) == 0);
}

void bh_check_ports(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    size_t most = 0, count = 0;
    struct port *ports;

    for (uint32_t i = 0; i < plan->device_count; i++)
        most += plan->devices[i].option_count;
    ports = bh_check_room(draft, most, sizeof(*ports));
    for (uint32_t i = 0; ports != NULL && i < plan->device_count; i++) {
        const struct bh_draft_device *device = &draft->devices[i];

        for (size_t k = 0; k < plan->devices[i].option_count; k++) {
            const struct bh_plan_option *option = &plan->devices[i].options[k];

            if (device->class_ == NULL || device->class_->forward == NULL ||
                strcmp(option->name, device->class_->forward) != 0 ||
                !parse_port(option->value, &ports[count]))
                continue;
            ports[count++].device = device;
        }
    }
    if (ports != NULL)
        qsort(ports, count, sizeof(*ports), by_port);
    for (size_t i = 1; i < count; i++) {
        const struct port *port = &ports[i], *other = port;

        /* Back over the same port for the first that meets it. Addresses differ seldom: the run is short. */
        for (const struct port *at = port - 1; at >= ports && at->number == port->number; at--)
            other = meet(at, port) ? at : other;
        if (other != port)
            bh_report_error(draft->report, &port->device->forward_at, &other->device->forward_at,
                            "forward another port of the host to one of them",
                            "port %s %lu of the host is forwarded to both %s and %s", port->proto,
                            port->number, other->device->node->path, port->device->node->path);
    }
}

bool bh_check_may_plug(struct bh_draft *draft, uint32_t index)
{
    const struct bh_draft_device *from = &draft->devices[index];
    const char *program = draft->plan->devices[index].program;

    if (!from->class_->linkable)
        bh_report_error(draft->report, &from->link_at, &from->link->where,
                        "only nets plug into links and switches", "a %s cannot be the end of a link",
                        from->class_->name);
    else if (program != NULL)
        bh_report_error(draft->report, &from->link_at, &from->link->where,
                        "leave `bulkhead,backend` out: our own net serves it",
                        "%s cannot be told of a link: it is a program of others", program);
    draft->holes |= program != NULL;
    return from->class_->linkable && program == NULL;
}

/* Plug each device into the link that it names. */
static void plug(struct bh_draft *draft, uint32_t index, uint32_t *ends)
{
    const struct bh_draft_device *from = &draft->devices[index];
    uint32_t link = draft->link_by_node[from->link->index];

    if (link == BH_PLAN_NONE && draft->holes)
        return;
    if (link == BH_PLAN_NONE) {
        const bool enabled = bh_draft_enabled(from->link);
        draft->holes = true;
        bh_report_error(
            draft->report, &from->link_at, &from->link->where,
            enabled ? "a child of /domains with compatible = \"bulkhead,link\" or \"bulkhead,switch\" is one"
                    : "take its status away, or disable the net too",
            "`bulkhead,link` refers to %s, which is %s", from->link->path,
            enabled ? "no link and no switch" : "disabled");
        return;
    }
    if (from->class_ == NULL || !bh_check_may_plug(draft, index))
        return;
    if (ends[link] < 2)
        draft->plan->links[link].device[ends[link]] = index;
    else
        bh_report_error(draft->report, &from->link_at, &draft->links[link]->where,
                        "a link joins two nets: make it a switch, compatible = \"bulkhead,switch\"",
                        "%s is the end number %u of %s; the first two are %s and %s", from->node->path,
                        ends[link] + 1, draft->links[link]->path,
                        draft->plan->devices[draft->plan->links[link].device[0]].node,
                        draft->plan->devices[draft->plan->links[link].device[1]].node);
    draft->plan->devices[index].link = link;
    ends[link]++;
}

void bh_check_links(struct bh_draft *draft)
{
    const struct bh_plan *plan = draft->plan;
    uint32_t *ends = bh_check_room(draft, plan->link_count, sizeof(*ends));

    for (uint32_t i = 0; ends != NULL && i < plan->device_count; i++) {
        const struct bh_tree_node *link = draft->devices[i].link;

        if (link != NULL && draft->switch_by_node[link->index] == BH_PLAN_NONE)
            plug(draft, i, ends);
    }
    for (uint32_t i = 0; ends != NULL && !draft->holes && i < plan->link_count; i++) {
        if (ends[i] == 0)
            bh_report_error(draft->report, &draft->links[i]->where, NULL,
                            "point at it from two nets, bulkhead,link = <&label>;, or take it away",
                            "no net plugs into the link");
        else if (ends[i] == 1)
            bh_report_error(draft->report, &draft->links[i]->where,
                            &draft->devices[plan->links[i].device[0]].link_at,
                            "point at it from a second net: bulkhead,link = <&label>;",
                            "the link has one end, %s", plan->devices[plan->links[i].device[0]].node);
    }
}
