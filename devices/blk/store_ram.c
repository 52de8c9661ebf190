/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM store: requests wait in a list and are copied when polled, at most `max` a call, so that a caller
 * that must return soon decides how much is done.
 */
#include "devices/blk/store_ram.h"

static void copy(struct bh_store_ram *ram, struct bh_store_req *req)
{
    uint8_t *at = ram->bytes + req->offset;

    for (uint32_t i = 0; i < req->seg_count; i++) {
        const struct bh_seg *seg = &req->segs[i];
        if (req->op == BH_STORE_READ)
            memcpy(seg->base, at, seg->len);
        else
            memcpy(at, seg->base, seg->len);
        at += seg->len;
    }
}

static int execute(struct bh_store_ram *ram, struct bh_store_req *req)
{
    BH_ASSERT(req->offset <= ram->store.info.capacity && req->len <= ram->store.info.capacity - req->offset);
    switch (req->op) {
    case BH_STORE_READ:
    case BH_STORE_WRITE: copy(ram, req); return BH_OK;
    case BH_STORE_DISCARD:      /* zeros: what the owner may give back is the owner's affair */
    case BH_STORE_SECURE_ERASE: /* there is no other copy */
    case BH_STORE_WRITE_ZEROES: memset(ram->bytes + req->offset, 0, (size_t)req->len); return BH_OK;
    case BH_STORE_FLUSH: return BH_OK;
    default: return BH_ERR_UNSUPPORTED;
    }
}

static void submit(struct bh_store *store, struct bh_store_req *first)
{
    struct bh_store_ram *ram = BH_CONTAINER(store, struct bh_store_ram, store);

    bh_store_list_append(&ram->queued, first);
}

static unsigned poll(struct bh_store *store, struct bh_store_req **done, unsigned max)
{
    struct bh_store_ram *ram = BH_CONTAINER(store, struct bh_store_ram, store);
    unsigned count = 0;

    while (count < max && ram->queued.head) {
        struct bh_store_req *req = bh_store_list_take(&ram->queued);
        req->result = ram->cancelled ? BH_ERR_CANCELLED : execute(ram, req);
        done[count++] = req;
    }
    if (!ram->queued.head)
        ram->cancelled = false;
    return count;
}

static void cancel(struct bh_store *store)
{
    struct bh_store_ram *ram = BH_CONTAINER(store, struct bh_store_ram, store);

    ram->cancelled = ram->queued.head != NULL;
}

static const struct bh_store_ops ram_ops = {.submit = submit, .poll = poll, .cancel = cancel};

void bh_store_ram_init(struct bh_store_ram *ram, void *bytes, uint64_t capacity, bool read_only)
{
    BH_ASSERT(capacity % 512 == 0 && capacity <= SIZE_MAX);
    memset(ram, 0, sizeof(*ram));
    ram->bytes = bytes;
    ram->store.ops = &ram_ops;
    ram->store.polled = true;
    ram->store.info = (struct bh_store_info){
        .capacity = capacity,
        .block_size = 512,
        .read_only = read_only,
        .can_discard = !read_only,
        .can_write_zeroes = !read_only,
        .can_secure_erase = !read_only,
    };
}
