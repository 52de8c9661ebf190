/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's life, its look-ups and the words of its enums. */
#include "plan/plan.h"
#include "plan/plan_box.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct bh_plan_box *bh_plan_box_create(void)
{
    return calloc(1, sizeof(struct bh_plan_box));
}

void bh_plan_free(struct bh_plan *plan)
{
    struct bh_plan_box *box = (struct bh_plan_box *)plan;

    if (box == NULL)
        return;
    bh_arena_fini(&box->arena);
    free(box);
}

uint32_t bh_plan_domain_find(const struct bh_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->domain_count; i++) {
        if (strcmp(plan->domains[i].name, name) == 0)
            return i;
    }
    return BH_PLAN_NONE;
}

uint32_t bh_plan_device_find(const struct bh_plan *plan, uint32_t domain, const char *name)
{
    const struct bh_plan_domain *owner = &plan->domains[domain];

    for (uint32_t i = owner->device_first; i < owner->device_first + owner->device_count; i++) {
        if (strcmp(plan->devices[i].name, name) == 0)
            return i;
    }
    return BH_PLAN_NONE;
}

const char *bh_plan_option_value(const struct bh_plan_device *device, const char *name)
{
    for (size_t i = 0; i < device->option_count; i++) {
        if (strcmp(device->options[i].name, name) == 0)
            return device->options[i].value;
    }
    return NULL;
}

bool bh_plan_is_keepable(const char *what)
{
    return strcmp(what, "network") == 0 || strcmp(what, "privileges") == 0;
}

bool bh_plan_keeps(const struct bh_plan_device *device, const char *what)
{
    for (size_t i = 0; i < device->keep_count; i++) {
        if (strcmp(device->keeps[i], what) == 0)
            return true;
    }
    return false;
}

const char *bh_plan_meeting(const struct bh_plan *plan, uint32_t device)
{
    const struct bh_plan_device *net = &plan->devices[device];
    const struct bh_plan_switch *at =
        net->net_switch == BH_PLAN_NONE ? NULL : &plan->switches[net->net_switch];

    for (size_t i = 0; at != NULL && i < at->port_count; i++) {
        if (at->ports[i].device == device)
            return at->ports[i].socket;
    }
    return net->link == BH_PLAN_NONE ? NULL : plan->links[net->link].socket;
}

const char *bh_plan_arch_name(enum bh_plan_arch arch)
{
    switch (arch) {
    case BH_PLAN_ARM64: return "arm64";
    }
    return "unknown";
}

const char *bh_plan_restart_name(enum bh_plan_restart restart)
{
    switch (restart) {
    case BH_PLAN_RESTART_NEVER: return "never";
    case BH_PLAN_RESTART_ON_FAILURE: return "on-failure";
    case BH_PLAN_RESTART_ALWAYS: return "always";
    }
    return "unknown";
}

const char *bh_plan_ready_name(enum bh_plan_ready_kind kind)
{
    switch (kind) {
    case BH_PLAN_READY_STARTED: return "started";
    case BH_PLAN_READY_CONSOLE: return "console";
    }
    return "unknown";
}

char *bh_plan_socket_name(struct bh_arena *arena, const char *domain, const char *device)
{
    return bh_arena_format(arena, "%s.%s.sock", domain, device);
}

char *bh_plan_link_name(struct bh_arena *arena, const char *link)
{
    return bh_arena_format(arena, "%s.link", link);
}

char *bh_plan_port_name(struct bh_arena *arena, const char *domain, const char *device)
{
    return bh_arena_format(arena, "%s.%s.link", domain, device);
}

char *bh_plan_folder_name(struct bh_arena *arena, const char *class_name, const char *domain,
                          const char *device)
{
    return bh_arena_format(arena, "%s/%s.%s", class_name, domain, device);
}

bool bh_plan_name_ok(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > BH_PLAN_NAME_MAX || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr(",._+-@", name[i]) == NULL)
            return false;
    }
    return true;
}

size_t bh_plan_order(struct bh_plan *plan, uint32_t *waits)
{
    size_t ordered = 0;
    bool again = true;

    for (uint32_t i = 0; i < plan->domain_count; i++)
        waits[i] = 1;
    while (again) {
        again = false;
        for (uint32_t i = 0; i < plan->domain_count; i++) {
            const struct bh_plan_domain *domain = &plan->domains[i];
            bool may = waits[i] != 0;

            for (size_t k = 0; may && k < domain->after_count; k++)
                may = waits[domain->after[k]] == 0;
            if (!may)
                continue;
            waits[i] = 0;
            plan->start_order[ordered++] = i;
            again = true;
        }
    }
    return ordered;
}
