/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plan.h promises of every plan, checked of one that was read back: after this no engine needs to doubt an
 * index, a name, a path or an order.
 */
#include "plan/plan_parse.h"
#include <string.h>

static bool path_ok(const char *path)
{
    return path[0] == '/';
}

static bool keeps_ok(const struct bh_plan_device *device)
{
    for (size_t i = 0; i < device->keep_count; i++) {
        if (!bh_plan_is_keepable(device->keeps[i]))
            return false;
    }
    return true;
}

static bool options_ok(const struct bh_plan_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = options[i].name;

        if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name) ||
            *name == '-')
            return false;
    }
    return true;
}

static bool verify_device(struct bh_plan_reader *reader, const struct bh_plan_device *device, uint64_t *slots)
{
    const struct bh_plan_domain *domain = &reader->plan->domains[device->domain];
    const char *socket = bh_plan_socket_name(&reader->box->arena, domain->name, device->name);

    if (!bh_plan_name_ok(device->name) || bh_plan_device_find(reader->plan, device->domain, device->name) !=
                                              (uint32_t)(device - reader->plan->devices))
        return bh_plan_wrong(reader, domain->name, "a device's name is none, or is there twice");
    if (!bh_plan_name_ok(device->class_name) || device->virtio_id == 0 || device->virtio_id > 255)
        return bh_plan_wrong(reader, device->node, "its class is none");
    if (socket == NULL || strcmp(socket, device->socket) != 0)
        return bh_plan_wrong(reader, device->node, "its socket's name is not made from its names");
    if (device->folder != NULL) {
        const char *folder =
            bh_plan_folder_name(&reader->box->arena, device->class_name, domain->name, device->name);

        if (folder == NULL || strcmp(folder, device->folder) != 0)
            return bh_plan_wrong(reader, device->node, "its folder's name is not made from its names");
    }
    if (device->pci_slot == 0 || device->pci_slot > BH_PLAN_PCI_SLOTS ||
        (*slots >> device->pci_slot & 1) != 0)
        return bh_plan_wrong(reader, device->node, "its PCI slot is none, or another device's");
    *slots |= UINT64_C(1) << device->pci_slot;
    if (device->program != NULL && !path_ok(device->program))
        return bh_plan_wrong(reader, device->node, "its program is no absolute path");
    if (!keeps_ok(device))
        return bh_plan_wrong(reader, device->node, "it keeps what nothing takes away");
    if (!options_ok(device->options, device->option_count))
        return bh_plan_wrong(reader, device->node, "the name of an option is none");
    if (device->link != BH_PLAN_NONE &&
        reader->plan->links[device->link].device[0] != (uint32_t)(device - reader->plan->devices) &&
        reader->plan->links[device->link].device[1] != (uint32_t)(device - reader->plan->devices))
        return bh_plan_wrong(reader, device->node, "it is no end of its link");
    if (device->net_switch != BH_PLAN_NONE &&
        (device->link != BH_PLAN_NONE ||
         bh_plan_meeting(reader->plan, (uint32_t)(device - reader->plan->devices)) == NULL))
        return bh_plan_wrong(reader, device->node, "it is at no port of its switch, or at a link as well");
    return true;
}

static bool memory_ok(const struct bh_plan_domain *domain)
{
    uint64_t end;

    for (size_t i = 0; i < domain->memory_count; i++) {
        const struct bh_plan_memory *memory = &domain->memory[i];

        if (memory->size == 0 || (memory->size | memory->host | memory->guest) % 4096 != 0 ||
            __builtin_add_overflow(memory->guest, memory->size, &end) ||
            __builtin_add_overflow(memory->host, memory->size, &end) ||
            (i > 0 && memory->guest != memory[-1].guest + memory[-1].size))
            return false;
    }
    return domain->memory_count != 0;
}

static bool ready_ok(const struct bh_plan_domain *domain)
{
    const struct bh_plan_ready *ready = &domain->ready;

    if ((ready->kind == BH_PLAN_READY_CONSOLE) != (ready->pattern != NULL) ||
        (ready->kind == BH_PLAN_READY_STARTED && ready->console != BH_PLAN_NONE))
        return false;
    return ready->timeout_ms != 0 && (ready->pattern == NULL || *ready->pattern != '\0');
}

static bool verify_domain(struct bh_plan_reader *reader, uint32_t index)
{
    const struct bh_plan_domain *domain = &reader->plan->domains[index];
    uint64_t slots = 0;

    if (!bh_plan_name_ok(domain->name) || strcmp(domain->name, BH_PLAN_NAME_TAKEN) == 0 ||
        bh_plan_domain_find(reader->plan, domain->name) != index)
        return bh_plan_wrong(reader, domain->node, "its name is none, or is there twice");
    if (domain->cpu_count == 0 || domain->cpu_count > BH_PLAN_CPUS_MAX)
        return bh_plan_wrong(reader, domain->node, "it has no cores, or too many");
    if (!memory_ok(domain))
        return bh_plan_wrong(reader, domain->node, "its memory is not whole pages that adjoin in the guest");
    if (!path_ok(domain->kernel) || (domain->ramdisk != NULL && !path_ok(domain->ramdisk)))
        return bh_plan_wrong(reader, domain->node, "an image's path is not absolute");
    if (!ready_ok(domain))
        return bh_plan_wrong(reader, domain->node, "its readiness rule contradicts itself");
    if (domain->restart_limit == 0 || domain->restart_window_ms == 0)
        return bh_plan_wrong(reader, domain->node, "its restart policy has no limit");
    for (size_t i = 1; i < domain->after_count; i++) {
        if (domain->after[i] <= domain->after[i - 1])
            return bh_plan_wrong(reader, domain->node, "what it waits for is not in order");
    }
    for (size_t i = 1; i < domain->excluded_engine_count; i++) {
        if (strcmp(domain->excluded_engines[i - 1], domain->excluded_engines[i]) >= 0)
            return bh_plan_wrong(reader, domain->node, "its excluded engines are not sorted");
    }
    for (uint32_t i = 0; i < domain->device_count; i++) {
        if (!verify_device(reader, &reader->plan->devices[domain->device_first + i], &slots))
            return false;
    }
    return true;
}

static bool verify_links(struct bh_plan_reader *reader)
{
    const struct bh_plan *plan = reader->plan;

    for (uint32_t i = 0; i < plan->link_count; i++) {
        const struct bh_plan_link *link = &plan->links[i];
        const char *socket = bh_plan_link_name(&reader->box->arena, link->name);

        if (!bh_plan_name_ok(link->name) || socket == NULL || strcmp(socket, link->socket) != 0)
            return bh_plan_wrong(reader, link->node, "its name or its socket's name is none");
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(plan->links[k].name, link->name) == 0)
                return bh_plan_wrong(reader, link->node, "its name is there twice");
        }
        if (link->device[0] >= link->device[1] || plan->devices[link->device[0]].link != i ||
            plan->devices[link->device[1]].link != i)
            return bh_plan_wrong(reader, link->node, "its ends are not two devices that plug into it");
    }
    return true;
}

static bool verify_ports(struct bh_plan_reader *reader, uint32_t index)
{
    const struct bh_plan *plan = reader->plan;
    const struct bh_plan_switch *one = &plan->switches[index];

    for (size_t i = 0; i < one->port_count; i++) {
        const struct bh_plan_port *port = &one->ports[i];
        const struct bh_plan_device *device = &plan->devices[port->device];
        const char *socket =
            bh_plan_port_name(&reader->box->arena, plan->domains[device->domain].name, device->name);

        if (device->net_switch != index || (i > 0 && port->device <= one->ports[i - 1].device))
            return bh_plan_wrong(reader, one->node, "a port's device does not plug into it, or comes twice");
        if (socket == NULL || strcmp(socket, port->socket) != 0 || strchr(socket, ',') != NULL ||
            *port->words == '\0')
            return bh_plan_wrong(reader, one->node, "a port's words or its socket's name are none");
    }
    return true;
}

static bool verify_switches(struct bh_plan_reader *reader)
{
    const struct bh_plan *plan = reader->plan;

    for (uint32_t i = 0; i < plan->switch_count; i++) {
        const struct bh_plan_switch *one = &plan->switches[i];

        if (!bh_plan_name_ok(one->name) || strcmp(one->name, BH_PLAN_NAME_TAKEN) == 0 ||
            bh_plan_domain_find(plan, one->name) != BH_PLAN_NONE)
            return bh_plan_wrong(reader, one->node, "its name is none, or a domain's");
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(plan->switches[k].name, one->name) == 0)
                return bh_plan_wrong(reader, one->node, "its name is there twice");
        }
        if (!options_ok(one->options, one->option_count))
            return bh_plan_wrong(reader, one->node, "the name of an option is none");
        if (one->restart_limit == 0 || one->restart_window_ms == 0)
            return bh_plan_wrong(reader, one->node, "its restart policy has no limit");
        if (!verify_ports(reader, i))
            return false;
    }
    return true;
}

static bool verify_order(struct bh_plan_reader *reader)
{
    const struct bh_plan *plan = reader->plan;
    bool *started = bh_arena_alloc(&reader->box->arena, plan->domain_count, sizeof(*started));

    if (started == NULL)
        return bh_plan_wrong(reader, "start-order", "memory ran out");
    for (size_t i = 0; i < plan->domain_count; i++) {
        const struct bh_plan_domain *domain = &plan->domains[plan->start_order[i]];

        if (started[plan->start_order[i]])
            return bh_plan_wrong(reader, "start-order", "a domain is there twice");
        for (size_t k = 0; k < domain->after_count; k++) {
            if (!started[domain->after[k]])
                return bh_plan_wrong(reader, "start-order", "%s comes before what it waits for",
                                     domain->name);
        }
        started[plan->start_order[i]] = true;
    }
    return true;
}

static bool ids_unique(const struct bh_plan *plan)
{
    for (size_t i = 0; i < plan->domain_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (plan->domains[i].id == plan->domains[k].id)
                return false;
        }
    }
    return true;
}

bool bh_plan_verify(struct bh_plan_reader *reader)
{
    const struct bh_plan *plan = reader->plan;

    if (!bh_plan_name_ok(plan->name) || plan->domain_count == 0)
        return bh_plan_wrong(reader, "the plan", "it has no name, or no domain");
    if (!ids_unique(plan))
        return bh_plan_wrong(reader, "domains", "an id is there twice");
    for (uint32_t i = 0; i < plan->domain_count; i++) {
        if (!verify_domain(reader, i))
            return false;
    }
    for (size_t i = 0; i < plan->create_count; i++) {
        if (!path_ok(plan->creates[i].path) || plan->creates[i].size == 0 ||
            plan->creates[i].size > INT64_MAX ||
            (i > 0 && strcmp(plan->creates[i - 1].path, plan->creates[i].path) >= 0))
            return bh_plan_wrong(reader, "creates",
                                 "a path is not absolute or not in order, or a size is none");
    }
    return verify_links(reader) && verify_switches(reader) && verify_order(reader);
}
