/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays an input against a virtqueue: the bytes are a little program of guest writes and queue verbs. After each
 * pop it is checked that every segment lies inside guest memory and that the counts agree; the sanitizers watch
 * the rest. The in-flight records are written to as well: they lie in memory that a peer shares.
 */
#include "tests/fuzz/ring_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/impl/inflight.h>

#include "abi/virtio_ring.h"

#define CHECK(x) ((x) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x), abort()))

#define SIZE_MOST 16u
#define SEGS      6u
#define BASE      0x10000u
#define LOW       4096u /* bytes of the first region; rings lie in it */
#define HIGH      256u  /* bytes of the one behind it */
#define DRIVER_AT 512u
#define DEVICE_AT 1024u

struct input {
    const uint8_t *at, *end;
};

struct play {
    struct input in;
    bool packed;
    uint8_t *low, *high;
    struct bh_mem_region regions[2];
    struct bh_mem_table tables[2]; /* both regions; the first only */
    struct bh_mem mem;
    struct bh_virtq q;
    struct bh_virtq_memory memory;
    struct bh_virtq_setup setup;
    struct bh_features features;
    struct bh_inflight records;
    void *area;
    uint16_t resubmit[SIZE_MOST];
    struct bh_chain *open[SIZE_MOST]; /* in the order popped */
    unsigned open_count;
    unsigned quiets, expected_quiets;
    struct bh_mem_log log;
    uint8_t log_bits[4];
};

static unsigned next(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static void on_notify(struct bh_virtq *q)
{
    CHECK(q->broken == BH_BROKEN_NONE);
}

static void on_broken(struct bh_virtq *q, enum bh_broken reason)
{
    CHECK(q->broken == reason);
}

static void on_quiet(struct bh_virtq *q)
{
    CHECK(q->in_flight == 0);
    ((struct play *)q->owner)->quiets++;
}

static const struct bh_virtq_env env = {.notify = on_notify, .broken = on_broken, .quiet = on_quiet};

/* Start, or take over the records that a former life left. */
static void start(struct play *p, bool load)
{
    const void *ring = p->low + (p->packed ? 0 : DEVICE_AT);
    size_t bytes = bh_inflight_bytes(SIZE_MOST, p->packed);
    int result;

    if (p->q.inflight && load) {
        result = bh_inflight_load(&p->records, p->area, bytes, p->setup.size, p->packed, ring, p->resubmit,
                                  &p->setup.state);
        CHECK(result == BH_OK || result == BH_ERR_PROTO || result == BH_ERR_NOENT);
        CHECK(p->records.resubmit_count <= p->setup.size);
        if (result != BH_OK) {
            result = bh_inflight_init(&p->records, p->area, bytes, p->setup.size, p->packed);
            CHECK(result == BH_OK);
        }
    }
    result = bh_virtq_start(&p->q, &p->setup, &p->features);
    CHECK(result == BH_OK || result == BH_ERR_INVAL || result == BH_ERR_FAULT);
}

static bool inside(const struct play *p, const struct bh_seg *seg)
{
    const uint8_t *base = seg->base;

    return seg->len > 0 &&
           ((base >= p->low && seg->len <= LOW && base - p->low <= (long)(LOW - seg->len)) ||
            (base >= p->high && seg->len <= HIGH && base - p->high <= (long)(HIGH - seg->len)));
}

static void pop(struct play *p, unsigned max)
{
    struct bh_chain *chains[SIZE_MOST];
    int count = bh_virtq_pop(&p->q, chains, max < SIZE_MOST ? max : SIZE_MOST);

    CHECK(count >= 0 || count == BH_ERR_BROKEN);
    CHECK(p->q.in_flight <= p->q.size || p->q.size == 0);
    for (int i = 0; i < count; i++) {
        const struct bh_chain *c = chains[i];
        uint64_t out = 0, in = 0;

        CHECK(c->out_count + c->in_count >= 1 && c->out_count + c->in_count <= SEGS);
        for (unsigned s = 0; s < c->out_count; s++)
            out += c->segs[s].len;
        for (unsigned s = 0; s < c->in_count; s++)
            in += c->segs[c->out_count + s].len;
        CHECK(out == c->out_len && in == c->in_len);
        for (unsigned s = 0; s < (unsigned)c->out_count + c->in_count; s++)
            CHECK(inside(p, &c->segs[s]));
        CHECK(p->open_count < SIZE_MOST);
        p->open[p->open_count++] = chains[i];
    }
}

static void push(struct play *p, unsigned at, unsigned written)
{
    struct bh_chain *chain;
    char bytes[64];

    if (p->open_count == 0)
        return;
    at %= p->open_count;
    chain = p->open[at];
    (void)bh_chain_read(chain, written, bytes, sizeof(bytes));
    chain->written = written < chain->in_len ? written : chain->in_len;
    (void)bh_chain_write(chain, 0, bytes, chain->written < sizeof(bytes) ? chain->written : sizeof(bytes));
    p->open_count--;
    memmove(p->open + at, p->open + at + 1, (p->open_count - at) * sizeof(p->open[0]));
    bh_virtq_push(&p->q, &chain, 1);
}

static void stop(struct play *p, bool crash)
{
    bool load = p->open_count > 0 && crash;
    unsigned quiets = p->quiets;

    if (load) { /* the process dies: nothing comes back */
        bh_virtq_init(&p->q, &p->memory, &p->mem, &env, p);
        p->q.inflight = p->area ? &p->records : NULL;
        p->open_count = 0;
    } else {
        bh_virtq_stop(&p->q);
        while (p->open_count > 0)
            push(p, 0, 1);
        CHECK(p->quiets == quiets + 1 && p->q.life == BH_VIRTQ_STOPPED);
        for (unsigned i = 0; i < BH_MEM_SLOTS; i++)
            CHECK(p->q.view.uses[i] == 0);
        p->setup.state = bh_virtq_state(&p->q);
    }
    start(p, load);
}

/* A descriptor that is right but for what the input wants of it. */
static void write_desc(struct play *p)
{
    unsigned at = next(&p->in) % 64u * 16u, addr = next(&p->in) << 4, len = next(&p->in),
             flags = next(&p->in), last = next(&p->in);
    struct virtq_desc split = {{BASE + addr}, {len}, {(uint16_t)(flags & 7)}, {(uint16_t)last}};
    struct pvirtq_desc packed = {
        {BASE + addr}, {len}, {(uint16_t)last}, {(uint16_t)((flags & 7) | (flags & 8 ? 0x8000 : 0x80))}};

    memcpy(p->low + at, p->packed ? (void *)&packed : (void *)&split, 16);
}

static void make_available(struct play *p, unsigned head)
{
    struct virtq_avail *avail = (void *)(p->low + DRIVER_AT);

    if (p->setup.size == 0)
        return;
    avail->ring[avail->idx.raw % p->setup.size].raw = (uint16_t)head;
    avail->idx.raw++;
}

static void step(struct play *p)
{
    unsigned op = next(&p->in), at, count;

    switch (op % 14) {
    case 0: /* any bytes anywhere in the first region */
        at = next(&p->in) | next(&p->in) << 8;
        for (count = next(&p->in) % 32u; count > 0; count--)
            p->low[at++ % LOW] = (uint8_t)next(&p->in);
        break;
    case 1:
    case 2: write_desc(p); break;
    case 3: make_available(p, next(&p->in)); break;
    case 4:
    case 5: pop(p, op >> 4); break;
    case 6: push(p, op >> 4, next(&p->in)); break;
    case 7:
        count = p->open_count ? (op >> 4) % (p->open_count + 1) : 0;
        /* Only the newest can go back, and none of them was pushed. */
        for (; count > 0 &&
               p->open[p->open_count - 1]->slot ==
                   p->memory.order[(p->q.pop_order + p->memory.size_max - 1u) % p->memory.size_max];
             count--, p->open_count--)
            bh_virtq_unpop(&p->q, 1);
        break;
    case 8: (void)bh_virtq_arm(&p->q); break;
    case 9: bh_virtq_disarm(&p->q); break;
    case 10: (void)bh_virtq_has_work(&p->q); break;
    case 11: stop(p, op & 0x40); break;
    case 12: bh_mem_publish(&p->mem, &p->tables[op >> 4 & 1]); break;
    case 13:
        if (p->area)
            ((uint8_t *)p->area)[next(&p->in) * 2 % bh_inflight_bytes(SIZE_MOST, p->packed)] =
                (uint8_t)next(&p->in);
        break;
    }
}

void ring_input_run(const uint8_t *data, size_t size, bool packed)
{
    struct play p = {.in = {data, data + size}, .packed = packed};
    unsigned features = next(&p.in), records = next(&p.in);
    void *block = aligned_alloc(8, bh_virtq_memory_bytes(SIZE_MOST, SIZE_MOST, SEGS));
    int result;

    p.low = aligned_alloc(16, LOW);
    p.high = aligned_alloc(16, HIGH);
    memset(p.low, 0, LOW);
    memset(p.high, 0, HIGH);
    p.regions[0] = (struct bh_mem_region){bh_daddr(BASE), LOW, p.low, bh_uaddr(0), 0, 3};
    p.regions[1] = (struct bh_mem_region){bh_daddr(BASE + LOW), HIGH, p.high, bh_uaddr(0), 40, 3};
    p.tables[0] = (struct bh_mem_table){p.regions, 2};
    p.tables[1] = (struct bh_mem_table){p.regions, 1};
    p.log = (struct bh_mem_log){p.log_bits, sizeof(p.log_bits)};
    bh_mem_init(&p.mem, NULL);
    bh_mem_publish(&p.mem, &p.tables[0]);
    bh_mem_set_log(&p.mem, features & 16 ? &p.log : NULL);
    bh_virtq_memory_place(&p.memory, block, SIZE_MOST, SIZE_MOST, SEGS);
    bh_virtq_init(&p.q, &p.memory, &p.mem, &env, &p);
    p.setup =
        (struct bh_virtq_setup){.size = (uint16_t)(packed ? 1 + (records >> 4) : 1u << (records >> 4) % 5),
                                .desc = bh_daddr(BASE),
                                .driver = bh_daddr(BASE + DRIVER_AT),
                                .device = bh_daddr(BASE + DEVICE_AT),
                                .state = BH_VIRTQ_STATE_INITIAL};
    p.features.word[1] = packed ? 5 : 1;
    if (features & 1)
        bh_features_set(&p.features, BH_F_EVENT_IDX);
    if (features & 2)
        bh_features_set(&p.features, BH_F_INDIRECT_DESC);
    if (features & 4)
        bh_features_set(&p.features, BH_F_IN_ORDER);
    if (records & 1) {
        p.area = aligned_alloc(8, bh_inflight_bytes(SIZE_MOST, packed));
        memset(p.area, 0, bh_inflight_bytes(SIZE_MOST, packed));
        result =
            bh_inflight_init(&p.records, p.area, bh_inflight_bytes(SIZE_MOST, packed), p.setup.size, packed);
        CHECK(result == BH_OK);
        p.q.inflight = &p.records;
    }
    start(&p, false);
    while (p.in.at < p.in.end)
        step(&p);
    bh_virtq_stop(&p.q);
    while (p.open_count > 0)
        push(&p, 0, 0);
    free(block);
    free(p.low);
    free(p.high);
    free(p.area);
}
