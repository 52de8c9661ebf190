/* SPDX-License-Identifier: Apache-2.0 */
/* What domains take of the board: cores and memory, each inside what there is, and given once. */
#include "plan/checks.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct bh_draft_cluster *find_cluster(const struct bh_draft *draft, const char *path,
                                                   size_t *index)
{
    for (size_t i = 0; i < draft->cluster_count; i++) {
        if (strcmp(draft->clusters[i].node->path, path) == 0) {
            *index = i;
            return &draft->clusters[i];
        }
    }
    return NULL;
}

void bh_check_cores_exist(struct bh_draft *draft)
{
    for (uint32_t d = 0; d < draft->plan->domain_count; d++) {
        const struct bh_plan_domain *domain = &draft->plan->domains[d];

        for (size_t i = 0; i < domain->cpus_count; i++) {
            size_t unused;
            const struct bh_draft_cluster *cluster = find_cluster(draft, domain->cpus[i].cluster, &unused);
            uint32_t there = cluster == NULL            ? 0
                             : cluster->core_count < 32 ? (UINT32_C(1) << cluster->core_count) - 1
                                                        : UINT32_MAX;
            uint32_t beyond = domain->cpus[i].mask & ~there;

            if (cluster != NULL && beyond != 0)
                bh_report_error(draft->report, &draft->domains[d].cpus_at, &cluster->node->where,
                                "bit N of the mask is the cluster's core N, from 0",
                                "the mask 0x%x asks for core %d; %s has %u", domain->cpus[i].mask,
                                __builtin_ctz(beyond), cluster->node->path, cluster->core_count);
        }
    }
}

/* For each core, the domain that has it. */
void bh_check_cores_exclusive(struct bh_draft *draft)
{
    uint32_t *owners = bh_check_room(draft, draft->cluster_count * 32, sizeof(*owners));

    for (size_t i = 0; owners != NULL && i < draft->cluster_count * 32; i++)
        owners[i] = BH_PLAN_NONE;
    for (uint32_t d = 0; owners != NULL && d < draft->plan->domain_count; d++) {
        const struct bh_plan_domain *domain = &draft->plan->domains[d];

        for (size_t i = 0; i < domain->cpus_count; i++) {
            size_t cluster = 0;

            if (find_cluster(draft, domain->cpus[i].cluster, &cluster) == NULL)
                continue;
            for (uint32_t mask = domain->cpus[i].mask; mask != 0; mask &= mask - 1) {
                uint32_t core = (uint32_t)__builtin_ctz(mask), *owner = &owners[cluster * 32 + core];

                if (*owner == BH_PLAN_NONE)
                    *owner = d;
                else
                    bh_report_error(draft->report, &draft->domains[d].cpus_at,
                                    &draft->domains[*owner].cpus_at, "give each domain cores of its own",
                                    "core %u of %s is given to both %s and %s", core, domain->cpus[i].cluster,
                                    draft->plan->domains[*owner].node, domain->node);
            }
        }
    }
}

void bh_check_memory_inside(struct bh_draft *draft)
{
    if (draft->holes)
        return;
    if (draft->ram_count == 0) {
        bh_report_error(draft->report, &draft->tree.nodes[0].where, NULL,
                        "add memory@... with device_type = \"memory\" and a reg", "the board has no memory");
        return;
    }
    for (size_t i = 0; i < draft->memory_count; i++) {
        const struct bh_draft_range *range = &draft->memory[i];
        size_t low = 0, high = draft->ram_count;

        while (high - low > 1) { /* the last bank that starts at or before it */
            size_t middle = low + (high - low) / 2;

            if (draft->ram[middle].start <= range->start)
                low = middle;
            else
                high = middle;
        }
        if (range->start < draft->ram[low].start ||
            range->start + range->size > draft->ram[low].start + draft->ram[low].size)
            bh_report_error(
                draft->report, &range->where, &draft->ram[low].where, "give it a part of the board's memory",
                "memory 0x%" PRIx64 "-0x%" PRIx64 " of %s is not inside the board's, 0x%" PRIx64
                "-0x%" PRIx64,
                range->start, range->start + range->size - 1, draft->plan->domains[range->domain].node,
                draft->ram[low].start, draft->ram[low].start + draft->ram[low].size - 1);
    }
}

static int by_start(const void *left, const void *right)
{
    const struct bh_draft_range *a = left, *b = right;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->domain < b->domain ? -1 : a->domain > b->domain;
}

/* Of sorted ranges each is compared with the one that reaches furthest so far. */
void bh_check_memory_exclusive(struct bh_draft *draft)
{
    const struct bh_draft_range *furthest = draft->memory;

    qsort(draft->memory, draft->memory_count, sizeof(*draft->memory), by_start);
    for (size_t i = 1; i < draft->memory_count; i++) {
        const struct bh_draft_range *range = &draft->memory[i];
        const struct bh_draft_range *late = range->domain >= furthest->domain ? range : furthest;
        const struct bh_draft_range *early = late == range ? furthest : range;

        if (range->start < furthest->start + furthest->size)
            bh_report_error(
                draft->report, &late->where, &early->where, "move or shrink one of the two",
                "memory 0x%" PRIx64 "-0x%" PRIx64 " of %s overlaps 0x%" PRIx64 "-0x%" PRIx64 " of %s",
                late->start, late->start + late->size - 1, draft->plan->domains[late->domain].node,
                early->start, early->start + early->size - 1, draft->plan->domains[early->domain].node);
        if (range->start + range->size > furthest->start + furthest->size)
            furthest = range;
    }
}
