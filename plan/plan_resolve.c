/* SPDX-License-Identifier: Apache-2.0 */
/* The second pass over a plan's JSON: what refers to another thing by its name becomes an index. */
#include "plan/plan_parse.h"
#include <string.h>

/* A string of an array that names a domain. */
static uint32_t domain_named(struct bh_plan_reader *reader, const json_t *value, const char *where)
{
    const char *name = json_string_value(value);
    uint32_t index = name == NULL ? BH_PLAN_NONE : bh_plan_domain_find(reader->plan, name);

    if (index == BH_PLAN_NONE)
        (void)bh_plan_wrong(reader, where, "it refers to a domain that is not there");
    return index;
}

static uint32_t link_named(const struct bh_plan *plan, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < plan->link_count; i++) {
        if (strcmp(plan->links[i].name, name) == 0)
            return i;
    }
    return BH_PLAN_NONE;
}

static uint32_t switch_named(const struct bh_plan *plan, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < plan->switch_count; i++) {
        if (strcmp(plan->switches[i].name, name) == 0)
            return i;
    }
    return BH_PLAN_NONE;
}

/* What a device's node names, if it names it. */
static void resolve_plug(struct bh_plan_reader *reader, const json_t *object, struct bh_plan_device *device)
{
    const json_t *link = json_object_get(object, "link"), *at = json_object_get(object, "switch");

    if (link != NULL)
        device->link = link_named(reader->plan, json_string_value(link));
    if (at != NULL)
        device->net_switch = switch_named(reader->plan, json_string_value(at));
    if ((link != NULL && device->link == BH_PLAN_NONE) || (at != NULL && device->net_switch == BH_PLAN_NONE))
        (void)bh_plan_wrong(reader, device->node, "its \"link\" or \"switch\" is not there");
}

static void resolve_domain(struct bh_plan_reader *reader, const json_t *object, uint32_t index)
{
    struct bh_plan_domain *domain = &reader->plan->domains[index];
    const json_t *after = json_object_get(object, "after"), *devices = json_object_get(object, "devices");
    const json_t *console = json_object_get(json_object_get(object, "ready"), "console");

    for (size_t i = 0; i < domain->after_count && reader->err == BH_OK; i++)
        domain->after[i] = domain_named(reader, json_array_get(after, i), domain->name);
    if (console != NULL && reader->err == BH_OK) {
        const char *name = json_string_value(console);

        domain->ready.console = name == NULL ? BH_PLAN_NONE : bh_plan_device_find(reader->plan, index, name);
        if (domain->ready.console == BH_PLAN_NONE)
            (void)bh_plan_wrong(reader, domain->name, "its \"console\" is not there");
    }
    for (uint32_t i = 0; i < domain->device_count && reader->err == BH_OK; i++)
        resolve_plug(reader, json_array_get(devices, i), &reader->plan->devices[domain->device_first + i]);
}

/* "DOMAIN/DEVICE"; neither name has a slash. */
static uint32_t end_named(struct bh_plan_reader *reader, const char *text)
{
    char domain[BH_PLAN_NAME_MAX + 1];
    size_t length = text == NULL ? 0 : strcspn(text, "/");
    uint32_t index;

    if (text == NULL || text[length] != '/' || length >= sizeof(domain))
        return BH_PLAN_NONE;
    memcpy(domain, text, length);
    domain[length] = '\0';
    index = bh_plan_domain_find(reader->plan, domain);
    return index == BH_PLAN_NONE ? BH_PLAN_NONE : bh_plan_device_find(reader->plan, index, text + length + 1);
}

static void resolve_ports(struct bh_plan_reader *reader, const json_t *object, struct bh_plan_switch *to)
{
    const json_t *ports = json_object_get(object, "ports");

    for (size_t i = 0; i < to->port_count && reader->err == BH_OK; i++) {
        const json_t *device = json_object_get(json_array_get(ports, i), "device");

        to->ports[i].device = end_named(reader, json_string_value(device));
        if (to->ports[i].device == BH_PLAN_NONE)
            (void)bh_plan_wrong(reader, to->name, "the \"device\" of a port is not there");
    }
}

void bh_plan_resolve(struct bh_plan_reader *reader, const json_t *root)
{
    const json_t *domains = json_object_get(root, "domains"), *links = json_object_get(root, "links");
    const json_t *switches = json_object_get(root, "switches"), *order = json_object_get(root, "start-order");
    struct bh_plan *plan = reader->plan;

    for (uint32_t i = 0; i < plan->domain_count && reader->err == BH_OK; i++)
        resolve_domain(reader, json_array_get(domains, i), i);
    for (uint32_t i = 0; i < plan->link_count && reader->err == BH_OK; i++) {
        const json_t *ends = json_object_get(json_array_get(links, i), "ends");

        for (size_t k = 0; k < 2; k++)
            plan->links[i].device[k] = end_named(reader, json_string_value(json_array_get(ends, k)));
        if (json_array_size(ends) != 2 || plan->links[i].device[0] == BH_PLAN_NONE ||
            plan->links[i].device[1] == BH_PLAN_NONE)
            (void)bh_plan_wrong(reader, plan->links[i].name, "its \"ends\" are not two devices");
    }
    for (uint32_t i = 0; i < plan->switch_count && reader->err == BH_OK; i++)
        resolve_ports(reader, json_array_get(switches, i), &plan->switches[i]);
    for (uint32_t i = 0; i < plan->domain_count && reader->err == BH_OK; i++)
        plan->start_order[i] = domain_named(reader, json_array_get(order, i), "start-order");
}
