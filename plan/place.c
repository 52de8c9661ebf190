/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: what the description leaves open is decided here, and always in the same way: guest addresses, PCI
 * slots, sockets, MAC addresses, ports of switches, files to create, the order of starting.
 */
#include "plan/draft.h"
#include <stdlib.h>
#include <string.h>

/* Where arm64 machines (ours and QEMU's `virt`) have their memory; below it are the devices. */
#define ARM64_MEMORY UINT64_C(0x40000000)

static void place_memory(struct bh_plan_domain *domain)
{
    uint64_t next = ARM64_MEMORY;

    for (size_t i = 0; i < domain->memory_count; i++) {
        domain->memory[i].guest = next;
        next += domain->memory[i].size;
    }
}

/* FNV-1a, 64 bits: spreads names over MAC addresses; nothing depends on it being hard to turn back. */
static uint64_t hash(uint64_t state, const char *text)
{
    do {
        state = (state ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    } while (*text++ != '\0');
    return state;
}

static bool mac_taken(const struct bh_draft *draft, const char *mac)
{
    for (uint32_t i = 0; i < draft->plan->device_count; i++) {
        const struct bh_plan_class *class_ = draft->devices[i].class_;
        const char *other =
            class_->mac == NULL ? NULL : bh_plan_option_value(&draft->plan->devices[i], class_->mac);

        if (other != NULL && strcasecmp(mac, other) == 0)
            return true;
    }
    return false;
}

/* `value`: NULL when memory ran out. */
static int add_option(struct bh_draft *draft, struct bh_plan_device *device, const char *name, char *value)
{
    struct bh_plan_option *option = &device->options[device->option_count];

    option->name = bh_arena_string(&draft->box->arena, name);
    option->value = value;
    if (option->name == NULL || value == NULL)
        return BH_ERR_NOMEM;
    device->option_count++;
    return BH_OK;
}

/* A locally administered address from the names, tried again with another start where it is taken. */
static int make_mac(struct bh_draft *draft, struct bh_plan_device *device, const char *option_name)
{
    uint64_t start = UINT64_C(0xcbf29ce484222325);
    char *mac;

    do {
        uint64_t value = hash(
            hash(hash(start++, draft->plan->name), draft->plan->domains[device->domain].name), device->name);

        value ^= value >> 40; /* the low bits alone are the weakest */
        mac =
            bh_arena_format(&draft->box->arena, "02:%02x:%02x:%02x:%02x:%02x", (unsigned)(value >> 32 & 0xff),
                            (unsigned)(value >> 24 & 0xff), (unsigned)(value >> 16 & 0xff),
                            (unsigned)(value >> 8 & 0xff), (unsigned)(value & 0xff));
    } while (mac != NULL && mac_taken(draft, mac));
    return add_option(draft, device, option_name, mac);
}

/*
 * Sockets beside the one for the engine: by them the host's programs reach the guest, and guests that may talk each
 * other, each pair in a folder that only they see. So a process that a guest took over reaches nobody that the guest
 * may not reach. Relative: the run directory is every device's working directory.
 */
static int place_folder(struct bh_draft *draft, struct bh_plan_device *device,
                        const struct bh_plan_class *class_)
{
    struct bh_arena *arena = &draft->box->arena;
    int err = BH_OK;

    device->folder =
        bh_plan_folder_name(arena, class_->name, draft->plan->domains[device->domain].name, device->name);
    if (device->folder == NULL)
        return BH_ERR_NOMEM;
    if (class_->peer != NULL && bh_plan_option_value(device, class_->peer) != NULL)
        err = add_option(draft, device, class_->sibling_dir, bh_arena_string(arena, class_->name));
    if (err == BH_OK && bh_plan_option_value(device, class_->host_path) == NULL)
        err = add_option(draft, device, class_->host_path, bh_arena_format(arena, "%s/host", device->folder));
    return err;
}

static int place_device(struct bh_draft *draft, uint32_t index)
{
    struct bh_plan_device *device = &draft->plan->devices[index];
    const struct bh_plan_domain *domain = &draft->plan->domains[device->domain];
    const struct bh_plan_class *class_ = draft->devices[index].class_;

    device->pci_slot = 1 + index - domain->device_first;
    device->socket = bh_plan_socket_name(&draft->box->arena, domain->name, device->name);
    if (device->socket == NULL)
        return BH_ERR_NOMEM;
    if (class_->host_path != NULL && device->program == NULL)
        return place_folder(draft, device, class_);
    if (class_->mac != NULL && bh_plan_option_value(device, class_->mac) == NULL)
        return make_mac(draft, device, class_->mac);
    return BH_OK;
}

static int by_path(const void *left, const void *right)
{
    const struct bh_plan_create *a = left, *b = right;

    return strcmp(a->path, b->path);
}

/* Read-only disks may share an image, and then ask for it once; the larger wish counts. */
static void place_creates(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;
    size_t kept = 0;

    for (uint32_t i = 0; i < plan->device_count; i++) {
        const struct bh_draft_device *device = &draft->devices[i];

        if (device->image == NULL || device->create_size == 0)
            continue;
        plan->creates[plan->create_count].path = (char *)(uintptr_t)device->image;
        plan->creates[plan->create_count++].size = device->create_size;
    }
    qsort(plan->creates, plan->create_count, sizeof(*plan->creates), by_path);
    for (size_t i = 1; i < plan->create_count; i++) {
        struct bh_plan_create *last = &plan->creates[kept];

        if (strcmp(plan->creates[i].path, last->path) != 0)
            plan->creates[++kept] = plan->creates[i];
        else if (plan->creates[i].size > last->size)
            last->size = plan->creates[i].size;
    }
    if (plan->create_count != 0)
        plan->create_count = kept + 1;
}

static bool has_word(const char *words, const char *name)
{
    const size_t length = strlen(name);

    for (; words != NULL && *words != '\0'; words += strcspn(words, ",")) {
        words += *words == ',';
        if (strncmp(words, name, length) == 0 && words[length] == '=')
            return true;
    }
    return false;
}

/* A port is called by its net, and held to the net's address, unless its words say otherwise, which come later. */
static int place_port(struct bh_draft *draft, struct bh_plan_port *port)
{
    const struct bh_plan_switching *switching = draft->settings->switching;
    const struct bh_plan_device *device = &draft->plan->devices[port->device];
    const char *domain = draft->plan->domains[device->domain].name;
    const char *given = draft->devices[port->device].port_words;
    const char *comma = given == NULL || *given == '\0' ? "" : ",";
    const char *option = draft->devices[port->device].class_->mac;
    const char *mac = option == NULL ? NULL : bh_plan_option_value(device, option);
    struct bh_arena *arena = &draft->box->arena;

    port->socket = bh_plan_port_name(arena, domain, device->name);
    if (mac == NULL || has_word(given, switching->mac))
        port->words =
            bh_arena_format(arena, "%s=%s.%s%s%s", switching->name, domain, device->name, comma, given);
    else
        port->words = bh_arena_format(arena, "%s=%s.%s,%s=%s%s%s", switching->name, domain, device->name,
                                      switching->mac, mac, comma, given == NULL ? "" : given);
    return port->socket == NULL || port->words == NULL ? BH_ERR_NOMEM : BH_OK;
}

int bh_draft_place(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;
    uint32_t *waits = bh_arena_alloc(&draft->arena, plan->domain_count, sizeof(*waits));
    int err = waits == NULL ? BH_ERR_NOMEM : BH_OK;

    for (uint32_t i = 0; err == BH_OK && i < plan->domain_count; i++)
        place_memory(&plan->domains[i]);
    for (uint32_t i = 0; err == BH_OK && i < plan->device_count; i++)
        err = place_device(draft, i);
    for (uint32_t i = 0; err == BH_OK && i < plan->link_count; i++) {
        plan->links[i].socket = bh_plan_link_name(&draft->box->arena, plan->links[i].name);
        err = plan->links[i].socket == NULL ? BH_ERR_NOMEM : BH_OK;
    }
    for (uint32_t i = 0; i < plan->switch_count; i++) {
        for (size_t k = 0; err == BH_OK && k < plan->switches[i].port_count; k++)
            err = place_port(draft, &plan->switches[i].ports[k]);
    }
    if (err != BH_OK)
        return err;
    place_creates(draft);
    (void)bh_plan_order(plan, waits);
    return BH_OK;
}
