/* SPDX-License-Identifier: Apache-2.0 */
/* The table of checks, and the one way to find two claims on the same thing. */
#include "plan/checks.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *holds;
    void (*run)(struct bh_draft *draft);
} checks[] = {
    {"each domain's id is its own", bh_check_ids},
    {"names of domains, devices, links and switches are their own", bh_check_names},
    {"what each has in the run directory is its own", bh_check_sockets},
    {"a mask has only cores that its cluster has", bh_check_cores_exist},
    {"each core belongs to one domain", bh_check_cores_exclusive},
    {"a domain's memory lies inside the board's", bh_check_memory_inside},
    {"each byte of memory belongs to one domain", bh_check_memory_exclusive},
    {"a kernel is there, whole, and one that the domain can boot", bh_check_kernels},
    {"a ramdisk is there, and fits into the memory beside the kernel", bh_check_ramdisks},
    {"a disk's image is there, or can be made", bh_check_disks},
    {"an image that is written has one user", bh_check_writers},
    {"a domain's devices fit on its bus", bh_check_slots},
    {"each MAC address belongs to one net", bh_check_macs},
    {"each context ID belongs to one guest", bh_check_cids},
    {"guests that may talk name each other", bh_check_peers},
    {"each port of the host is forwarded once", bh_check_ports},
    {"a link has two ends, and both are nets", bh_check_links},
    {"a switch has two ports or more, and nobody else's", bh_check_switches},
    {"a domain is found ready on a console of its own", bh_check_ready_consoles},
    {"no domain waits for itself", bh_check_cycles},
};

void bh_draft_check(struct bh_draft *draft)
{
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
        checks[i].run(draft);
}

void *bh_check_room(struct bh_draft *draft, size_t count, size_t size)
{
    void *room = bh_arena_alloc(&draft->arena, count, size);

    draft->nomem = draft->nomem || room == NULL;
    return room;
}

static int by_key(const void *left, const void *right)
{
    const struct bh_claim *a = left, *b = right;
    int keys = strcmp(a->key, b->key);

    return keys != 0 ? keys : a->order < b->order ? -1 : a->order > b->order;
}

void bh_check_claims(struct bh_draft *draft, struct bh_claim *claims, size_t count, const char *what,
                     const char *hint)
{
    const struct bh_claim *first = claims;

    qsort(claims, count, sizeof(*claims), by_key);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(claims[i].key, first->key) != 0) {
            first = &claims[i];
            continue;
        }
        if (strcmp(first->key, first->owner) == 0)
            bh_report_error(draft->report, claims[i].where, first->where, hint, "%s %s is there twice", what,
                            first->key);
        else
            bh_report_error(draft->report, claims[i].where, first->where, hint,
                            "%s %s is that of both %s and %s", what, first->key, first->owner,
                            claims[i].owner);
    }
}
