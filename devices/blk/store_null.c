/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null store: answers everything and moves nothing, so that what is measured is the ring, the class and
 * the transport. The requests still take the store's whole road.
 */
#include "devices/blk/store_ram.h"

static void submit(struct bh_store *store, struct bh_store_req *first)
{
    struct bh_store_null *null = BH_CONTAINER(store, struct bh_store_null, store);

    bh_store_list_append(&null->queued, first);
}

static unsigned poll(struct bh_store *store, struct bh_store_req **done, unsigned max)
{
    struct bh_store_null *null = BH_CONTAINER(store, struct bh_store_null, store);
    struct bh_store_req *req = null->queued.head;
    unsigned count;

    for (count = 0; count < max && req; count++, req = req->next) {
        req->result = BH_OK;
        done[count] = req;
    }
    null->queued.head = req;
    return count;
}

/* Everything that is held is done at the next poll already. */
static void cancel(struct bh_store *store)
{
    (void)store;
}

static const struct bh_store_ops null_ops = {.submit = submit, .poll = poll, .cancel = cancel};

void bh_store_null_init(struct bh_store_null *null, uint64_t capacity, bool read_only)
{
    BH_ASSERT(capacity % 512 == 0);
    memset(null, 0, sizeof(*null));
    null->store.ops = &null_ops;
    null->store.polled = true;
    null->store.info = (struct bh_store_info){
        .capacity = capacity,
        .block_size = 512,
        .read_only = read_only,
        .can_discard = !read_only,
        .can_write_zeroes = !read_only,
    };
}
