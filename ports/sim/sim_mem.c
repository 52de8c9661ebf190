/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated guest memory.
 */
#include "ports/sim/sim_mem.h"

/* SplitMix64: any state is a good one. */
static uint64_t roll(struct bh_sim_mem *sim)
{
    uint64_t z = sim->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const struct bh_mem_region *find(const struct bh_mem_table *table, uint64_t addr, unsigned access)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct bh_mem_region *r = &table->regions[i];

        if (addr >= r->base.raw && addr - r->base.raw < r->size)
            return (r->access & access) == access ? r : NULL;
    }
    return NULL;
}

/* Are all pages of a piece here? Those that are not are asked for. */
static bool resident(struct bh_sim_mem *sim, uint64_t addr, uint64_t len)
{
    uint64_t first = (addr - sim->base) / BH_SIM_MEM_PAGE,
             last = (addr - sim->base + len - 1) / BH_SIM_MEM_PAGE;
    bool all = true;

    for (uint64_t page = first; page <= last && page < BH_SIM_MEM_PAGES; page++) {
        if (sim->here[page / 32] >> page % 32 & 1u)
            continue;
        sim->asked[page / 32] |= 1u << page % 32;
        sim->asked_count++;
        all = false;
    }
    return all;
}

static enum bh_mem_result translate(struct bh_mem *mem, const struct bh_mem_table *table, bh_daddr_t addr,
                                    uint64_t len, unsigned access, struct bh_mem_span *span)
{
    struct bh_sim_mem *sim = BH_CONTAINER(mem, struct bh_sim_mem, mem);
    const struct bh_mem_region *r = find(table, addr.raw, access);
    uint64_t offset, left;

    sim->translations++;
    if (!r || sim->translations == sim->fault_after) {
        sim->faults++;
        return BH_MEM_FAULT;
    }
    offset = addr.raw - r->base.raw;
    len = len < r->size - offset ? len : r->size - offset;
    left = BH_SIM_MEM_SPLIT - addr.raw % BH_SIM_MEM_SPLIT;
    if (addr.raw >= sim->split_from && len > left)
        len = left;
    if (!resident(sim, addr.raw, len)) {
        sim->pendings++;
        return BH_MEM_PENDING;
    }
    *span = (struct bh_mem_span){r->host + offset, len, r->slot};
    return BH_MEM_HERE;
}

static void release(struct bh_mem *mem, const struct bh_seg *segs, unsigned count)
{
    struct bh_sim_mem *sim = BH_CONTAINER(mem, struct bh_sim_mem, mem);

    (void)segs;
    sim->released += count;
}

static const struct bh_mem_ops sim_mem_ops = {.translate = translate, .release = release};

void bh_sim_mem_init(struct bh_sim_mem *sim, uint64_t base, uint64_t seed)
{
    memset(sim, 0, sizeof(*sim));
    bh_mem_init(&sim->mem, &sim_mem_ops);
    sim->random = seed;
    sim->base = base;
    sim->split_from = UINT64_MAX;
}

bool bh_sim_mem_arrive(struct bh_sim_mem *sim)
{
    bool any = sim->asked_count != 0;

    for (unsigned w = 0; w < BH_COUNT(sim->here); w++) {
        /* First somebody goes, then the new ones come: who was just asked for is here at the next try. */
        if (any && sim->evict_one_in && sim->here[w] && roll(sim) % sim->evict_one_in == 0)
            sim->here[w] &= (uint32_t)roll(sim);
        sim->here[w] |= sim->asked[w];
        sim->asked[w] = 0;
    }
    sim->asked_count = 0;
    return any;
}
