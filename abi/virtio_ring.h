/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two virtqueue layouts as they lie in guest memory: split [virtio-1.4 2.7] and packed [virtio-1.4 2.8].
 * Only what both sides agree on: no code.
 *
 * Threading: none.   Ownership: none.   May block: no.
 */
#ifndef ABI_VIRTIO_RING_H
#define ABI_VIRTIO_RING_H

#include <bulkhead/base.h>

/* Descriptor flags [virtio-1.4 2.7.5, 2.8.1, 2.8.6, 2.8.7]. */
#define VIRTQ_DESC_F_NEXT     0x0001u
#define VIRTQ_DESC_F_WRITE    0x0002u
#define VIRTQ_DESC_F_INDIRECT 0x0004u
#define VIRTQ_DESC_F_AVAIL    0x0080u /* packed only */
#define VIRTQ_DESC_F_USED     0x8000u /* packed only */

/* --- Split [virtio-1.4 2.7] --- */

#define VIRTQ_DESC_ALIGN  16u
#define VIRTQ_AVAIL_ALIGN 2u
#define VIRTQ_USED_ALIGN  4u

struct virtq_desc {
    bh_le64 addr;
    bh_le32 len;
    bh_le16 flags;
    bh_le16 next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "[virtio-1.4 2.7.5]");

#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u
struct virtq_avail {
    bh_le16 flags;
    bh_le16 idx;
    bh_le16 ring[]; /* queue size entries, then used_event */
};
_Static_assert(offsetof(struct virtq_avail, ring) == 4, "[virtio-1.4 2.7.6]");

struct virtq_used_elem {
    bh_le32 id;
    bh_le32 len;
};
_Static_assert(sizeof(struct virtq_used_elem) == 8, "[virtio-1.4 2.7.8]");

#define VIRTQ_USED_F_NO_NOTIFY 1u
struct virtq_used {
    bh_le16 flags;
    bh_le16 idx;
    struct virtq_used_elem ring[]; /* queue size entries, then avail_event */
};
_Static_assert(offsetof(struct virtq_used, ring) == 4, "[virtio-1.4 2.7.8]");

/* Bytes of the available and used ring, with the event field after the entries [virtio-1.4 2.7]. */
#define VIRTQ_AVAIL_BYTES(size) (6u + 2u * (size))
#define VIRTQ_USED_BYTES(size)  (6u + 8u * (size))

/* --- Packed [virtio-1.4 2.8] --- */

#define PVIRTQ_DESC_ALIGN  16u
#define PVIRTQ_EVENT_ALIGN 4u

struct pvirtq_desc {
    bh_le64 addr;
    bh_le32 len;
    bh_le16 id;
    bh_le16 flags;
};
_Static_assert(sizeof(struct pvirtq_desc) == 16, "[virtio-1.4 2.8.13]");

/* Driver or device event suppression [virtio-1.4 2.8.14]. */
struct pvirtq_event_suppress {
    bh_le16 desc; /* offset in the ring, PVIRTQ_EVENT_WRAP */
    bh_le16 flags;
};
_Static_assert(sizeof(struct pvirtq_event_suppress) == 4, "[virtio-1.4 2.8.14]");

#define PVIRTQ_EVENT_WRAP        0x8000u
#define PVIRTQ_EVENT_FLAGS       0x0003u
#define RING_EVENT_FLAGS_ENABLE  0x0u
#define RING_EVENT_FLAGS_DISABLE 0x1u
#define RING_EVENT_FLAGS_DESC    0x2u

#endif
