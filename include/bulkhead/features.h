/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature bits: 128 of them in 32-bit words, as the registers and messages of every transport carry them
 * [virtio-1.4 2.2]. The reserved bits of the rings and the negotiation stand here; a class's own (0 to 23, 50
 * to 127) in abi/virtio_CLASS.h.
 *
 * Threading: pure.   Ownership: by value.   May block: no.
 */
#ifndef BULKHEAD_FEATURES_H
#define BULKHEAD_FEATURES_H

#include <bulkhead/base.h>

#define BH_FEATURE_WORDS 4u
#define BH_FEATURE_BITS  (32u * BH_FEATURE_WORDS)

/* [virtio-1.4 6] */
enum bh_feature {
    BH_F_INDIRECT_DESC = 28,
    BH_F_EVENT_IDX = 29,
    BH_F_VERSION_1 = 32,
    BH_F_ACCESS_PLATFORM = 33,
    BH_F_RING_PACKED = 34,
    BH_F_IN_ORDER = 35,
    BH_F_ORDER_PLATFORM = 36,
    BH_F_SR_IOV = 37,
    BH_F_NOTIFICATION_DATA = 38,
    BH_F_NOTIF_CONFIG_DATA = 39,
    BH_F_RING_RESET = 40,
    BH_F_ADMIN_VQ = 41,
    BH_F_SUSPEND = 43,
};

struct bh_features {
    uint32_t word[BH_FEATURE_WORDS];
};

static inline bool bh_features_has(const struct bh_features *f, unsigned bit)
{
    return bit < BH_FEATURE_BITS && (f->word[bit / 32] >> (bit % 32) & 1u);
}

static inline void bh_features_set(struct bh_features *f, unsigned bit)
{
    BH_ASSERT(bit < BH_FEATURE_BITS);
    f->word[bit / 32] |= 1u << (bit % 32);
}

static inline void bh_features_clear(struct bh_features *f, unsigned bit)
{
    BH_ASSERT(bit < BH_FEATURE_BITS);
    f->word[bit / 32] &= ~(1u << (bit % 32));
}

/* Bits of `a` that are not in `b`. */
static inline struct bh_features bh_features_minus(struct bh_features a, struct bh_features b)
{
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        a.word[i] &= ~b.word[i];
    return a;
}

static inline bool bh_features_none(const struct bh_features *f)
{
    return (f->word[0] | f->word[1] | f->word[2] | f->word[3]) == 0;
}

/* The first 64 bits, for transports and interfaces that have no more. */
static inline uint64_t bh_features_low64(const struct bh_features *f)
{
    return f->word[0] | (uint64_t)f->word[1] << 32;
}

static inline struct bh_features bh_features_of64(uint64_t bits)
{
    return (struct bh_features){{(uint32_t)bits, (uint32_t)(bits >> 32), 0, 0}};
}

#endif
