/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-flight records [vhost-user, "Inflight I/O tracking"]: what was popped and not yet pushed, kept where it
 * survives this process.
 *
 * Theory of operation
 *   A process can be killed between any two stores. Stores that it retired are in the shared memory, later
 * ones never happened, and whoever reads does so after its death: so the order of the stores in the program
 * is all that counts. Every access is volatile, which keeps that order; no barrier is needed.
 *
 *   Split. Before the used index moves, the batch's heads are linked from last_batch_head; after it, their
 * inflight bytes are cleared and the index is noted in used_idx. A successor that finds used_idx behind the
 * ring's index knows that the batch was published, and how many of the list belong to it.
 *
 *   Packed. A used descriptor overwrites what the driver wrote, so each chain's descriptors are copied into
 * entries taken from a free list. free_head and used_idx move before the used descriptor's flags are written,
 * their old_ twins after. A successor that finds them apart looks at those flags: still available, and it
 * rolls back; used, and it goes forward. Entries in the free list are not in flight, whatever they say.
 *
 *   The memory is a peer's as well: indices read from it are checked where they are used, so wrong records
 * give a wrong order or a broken queue, never an access outside the area.
 */
#include "core/inflight_records.h"

#include "abi/vhost_user_inflight.h"
#include "core/virtq_packed.h"

typedef volatile struct vhost_user_queue_region_split split_region;
typedef volatile struct vhost_user_queue_region_packed packed_region;

size_t bh_inflight_bytes(uint16_t size, bool packed)
{
    return packed ? sizeof(struct vhost_user_queue_region_packed) +
                        (size_t)size * sizeof(struct vhost_user_desc_state_packed)
                  : sizeof(struct vhost_user_queue_region_split) +
                        (size_t)size * sizeof(struct vhost_user_desc_state_split);
}

static int open_area(struct bh_inflight *inflight, void *area, size_t area_size, uint16_t size, bool packed)
{
    BH_ASSERT((uintptr_t)area % 8 == 0);
    if (size == 0 || size > BH_VIRTQ_SIZE_MAX || area_size < bh_inflight_bytes(size, packed))
        return BH_ERR_RANGE;
    *inflight = (struct bh_inflight){.area = area, .size = size, .packed = packed};
    return BH_OK;
}

/* What stood between link and done is so. */
static void keep(packed_region *region)
{
    region->old_free_head = region->free_head;
    region->old_used_idx = region->used_idx;
    region->old_used_wrap_counter = region->used_wrap_counter;
}

int bh_inflight_init(struct bh_inflight *inflight, void *area, size_t area_size, uint16_t size, bool packed)
{
    int result = open_area(inflight, area, area_size, size, packed);

    if (result != BH_OK)
        return result;
    memset(area, 0, bh_inflight_bytes(size, packed));
    if (packed) {
        packed_region *region = area;

        for (unsigned i = 0; i < size; i++)
            region->desc[i].next = (uint16_t)(i + 1); /* the last one's is no entry: the list ends */
        region->desc_num = size;
        region->used_wrap_counter = 1;
        keep(region);
        region->version = VHOST_USER_INFLIGHT_VERSION;
    } else {
        split_region *region = area;

        region->desc_num = size;
        region->version = VHOST_USER_INFLIGHT_VERSION;
    }
    return BH_OK;
}

void bh_records_start(struct bh_inflight *records, const struct bh_virtq_state *state)
{
    if (records->packed) {
        packed_region *region = records->area;

        region->used_idx = state->used;
        region->used_wrap_counter = state->used_wrap;
        keep(region);
    } else {
        ((split_region *)records->area)->used_idx = state->used;
    }
}

/* --- Split --- */

void bh_records_split_taken(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count)
{
    split_region *region = records->area;

    for (unsigned i = 0; i < count; i++) {
        region->desc[chains[i]->id].counter = records->counter++;
        region->desc[chains[i]->id].inflight = 1;
    }
}

void bh_records_split_untaken(struct bh_inflight *records, uint16_t head)
{
    ((split_region *)records->area)->desc[head].inflight = 0;
}

void bh_records_split_link(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count)
{
    split_region *region = records->area;

    for (unsigned i = 0; i < count; i++) {
        region->desc[chains[i]->id].next = region->last_batch_head;
        region->last_batch_head = chains[i]->id;
    }
}

void bh_records_split_done(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count,
                           uint16_t used)
{
    split_region *region = records->area;

    for (unsigned i = 0; i < count; i++)
        region->desc[chains[i]->id].inflight = 0;
    region->used_idx = used;
}

/* --- Packed --- */

/* An index that a peer may have changed, as one that is inside the area. */
static inline uint16_t inside(const struct bh_inflight *records, uint16_t index)
{
    return index < records->size ? index : 0;
}

void bh_records_packed_desc(struct bh_inflight *records, const struct ring_desc *desc, bool first)
{
    packed_region *region = records->area;
    uint16_t head = inside(records, region->old_free_head);
    uint16_t entry = inside(records, region->free_head);

    if (first) {
        region->desc[head].num = 0;
        region->desc[head].counter = records->counter++;
        region->desc[head].inflight = 1;
    }
    region->desc[head].last = entry; /* until another one comes */
    region->desc[head].num++;
    region->desc[entry].addr = desc->addr;
    region->desc[entry].len = desc->len;
    region->desc[entry].flags = desc->fourth;
    region->desc[entry].id = desc->third;
    region->free_head = region->desc[entry].next;
}

void bh_records_packed_end(struct bh_inflight *records, struct bh_chain *chain, bool keep_it)
{
    packed_region *region = records->area;

    chain->record = inside(records, region->old_free_head);
    if (keep_it) {
        region->old_free_head = region->free_head;
    } else {
        region->desc[chain->record].inflight = 0;
        region->free_head = region->old_free_head;
    }
}

/* Give the chain's entries back to the free list. */
static void free_entries(struct bh_inflight *records, uint16_t record)
{
    packed_region *region = records->area;

    region->desc[inside(records, region->desc[record].last)].next = region->free_head;
    region->free_head = record;
}

void bh_records_packed_untaken(struct bh_inflight *records, uint16_t record)
{
    packed_region *region = records->area;

    free_entries(records, record);
    region->old_free_head = region->free_head;
    region->desc[record].inflight = 0;
}

void bh_records_packed_link(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count,
                            uint16_t used, bool wrap)
{
    packed_region *region = records->area;

    for (unsigned i = 0; i < count; i++)
        free_entries(records, chains[i]->record);
    region->used_idx = used;
    region->used_wrap_counter = wrap;
}

void bh_records_packed_done(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count)
{
    packed_region *region = records->area;

    for (unsigned i = 0; i < count; i++)
        region->desc[chains[i]->record].inflight = 0;
    keep(region);
}

uint16_t bh_records_packed_read(struct bh_inflight *records, uint16_t entry, struct ring_desc *desc)
{
    packed_region *region = records->area;

    desc->addr = region->desc[entry].addr;
    desc->len = region->desc[entry].len;
    desc->third = region->desc[entry].id;
    desc->fourth = region->desc[entry].flags;
    return inside(records, region->desc[entry].next);
}

uint16_t bh_records_id(const struct bh_inflight *records, uint16_t record)
{
    const packed_region *region = records->area;

    return records->packed ? region->desc[inside(records, region->desc[record].last)].id : record;
}

/* --- Load --- */

static uint64_t counter_of(const struct bh_inflight *inflight, uint16_t record)
{
    return inflight->packed ? ((packed_region *)inflight->area)->desc[record].counter
                            : ((split_region *)inflight->area)->desc[record].counter;
}

/* Shell's sort with Knuth's gaps: no recursion, bounded, and no harm when the keys change meanwhile. */
static void sort_oldest_first(struct bh_inflight *inflight)
{
    uint16_t *list = inflight->resubmit;
    unsigned count = inflight->resubmit_count, gap = 1;

    while (gap < count / 3)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3) {
        for (unsigned i = gap; i < count; i++) {
            uint16_t record = list[i];
            uint64_t counter = counter_of(inflight, record);
            unsigned at = i;

            for (; at >= gap && counter_of(inflight, list[at - gap]) > counter; at -= gap)
                list[at] = list[at - gap];
            list[at] = record;
        }
    }
    if (count > 0)
        inflight->counter = counter_of(inflight, list[count - 1]) + 1;
}

static void add_resubmit(struct bh_inflight *inflight, unsigned record)
{
    inflight->resubmit[inflight->resubmit_count++] = (uint16_t)record;
}

static int load_split(struct bh_inflight *inflight, const struct virtq_used *used,
                      struct bh_virtq_state *state)
{
    split_region *region = inflight->area;
    uint16_t used_idx = ring_load16(&used->idx);
    uint16_t batch = (uint16_t)(used_idx - region->used_idx);
    uint16_t head = region->last_batch_head;

    if (region->desc_num != inflight->size || batch > inflight->size)
        return BH_ERR_PROTO;
    for (; batch > 0; batch--) { /* published, and then the process died */
        if (head >= inflight->size)
            return BH_ERR_PROTO;
        region->desc[head].inflight = 0;
        head = region->desc[head].next;
    }
    region->used_idx = used_idx;
    for (unsigned i = 0; i < inflight->size; i++)
        if (region->desc[i].inflight)
            add_resubmit(inflight, i);
    *state = BH_VIRTQ_STATE_INITIAL;
    state->used = used_idx;
    state->avail = (uint16_t)(used_idx + inflight->resubmit_count);
    return BH_OK;
}

/* Go forward or back where the process died between link and done. */
static void settle_packed(packed_region *region, const struct pvirtq_desc *ring, uint16_t old_used)
{
    if (region->used_idx != old_used &&
        !packed_available(ring_load16(&ring[old_used].flags), region->old_used_wrap_counter)) {
        keep(region);
    } else {
        region->free_head = region->old_free_head;
        region->used_idx = region->old_used_idx;
        region->used_wrap_counter = region->old_used_wrap_counter;
    }
}

static int load_packed(struct bh_inflight *inflight, const struct pvirtq_desc *ring,
                       struct bh_virtq_state *state)
{
    packed_region *region = inflight->area;
    uint16_t old_used = region->old_used_idx, used, entry;
    unsigned slots = 0;
    bool wrap;

    if (region->desc_num != inflight->size || old_used >= inflight->size)
        return BH_ERR_PROTO;
    settle_packed(region, ring, old_used);
    used = region->used_idx;
    wrap = region->used_wrap_counter;
    if (used >= inflight->size)
        return BH_ERR_PROTO;
    entry = region->free_head;
    for (unsigned i = 0; i < inflight->size && entry < inflight->size; i++) {
        region->desc[entry].inflight = 0;
        entry = region->desc[entry].next;
    }
    for (unsigned i = 0; i < inflight->size; i++) {
        unsigned num = region->desc[i].num;

        if (!region->desc[i].inflight)
            continue;
        slots += num;
        if (num == 0 || slots > inflight->size)
            return BH_ERR_PROTO;
        add_resubmit(inflight, i);
    }
    *state = (struct bh_virtq_state){.avail = used, .used = used, .avail_wrap = wrap, .used_wrap = wrap};
    slots += used; /* below twice the size */
    if (slots >= inflight->size) {
        slots -= inflight->size;
        state->avail_wrap = !wrap;
    }
    state->avail = (uint16_t)slots;
    return BH_OK;
}

int bh_inflight_load(struct bh_inflight *inflight, void *area, size_t area_size, uint16_t size, bool packed,
                     const void *ring, uint16_t *resubmit, struct bh_virtq_state *state)
{
    int result = open_area(inflight, area, area_size, size, packed);
    uint16_t version;

    if (result != BH_OK)
        return result;
    version = packed ? ((packed_region *)area)->version : ((split_region *)area)->version;
    if (version != VHOST_USER_INFLIGHT_VERSION)
        return version == 0 ? BH_ERR_NOENT : BH_ERR_PROTO;
    inflight->resubmit = resubmit;
    result = packed ? load_packed(inflight, ring, state) : load_split(inflight, ring, state);
    if (result != BH_OK)
        return result;
    sort_oldest_first(inflight);
    return BH_OK;
}
