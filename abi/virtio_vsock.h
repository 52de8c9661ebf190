/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device [virtio-1.4 5.10]: feature bits, queue numbers, config space, the header of each packet, events.
 */
#ifndef ABI_VIRTIO_VSOCK_H
#define ABI_VIRTIO_VSOCK_H

#include <bulkhead/base.h>

#define VIRTIO_ID_VSOCK 19u /* [virtio-1.4 5.10.1] */

/* [virtio-1.4 5.10.2] */
#define VIRTIO_VSOCK_RX    0u
#define VIRTIO_VSOCK_TX    1u
#define VIRTIO_VSOCK_EVENT 2u

/* [virtio-1.4 5.10.3] */
#define VIRTIO_VSOCK_F_STREAM            0u
#define VIRTIO_VSOCK_F_SEQPACKET         1u
#define VIRTIO_VSOCK_F_NO_IMPLIED_STREAM 2u

/* [virtio-1.4 5.10.4] */
struct virtio_vsock_config {
    bh_le64 guest_cid;
};
_Static_assert(sizeof(struct virtio_vsock_config) == 8, "[virtio-1.4 5.10.4]");
#define VIRTIO_VSOCK_CID_HOST 2u
#define VIRTIO_VSOCK_CID_MIN  3u          /* below: reserved, and the host's */
#define VIRTIO_VSOCK_CID_MAX  0xfffffffeu /* above: reserved */

/* [virtio-1.4 5.10.6] */
struct virtio_vsock_hdr {
    bh_le64 src_cid;
    bh_le64 dst_cid;
    bh_le32 src_port;
    bh_le32 dst_port;
    bh_le32 len;
    bh_le16 type;
    bh_le16 op;
    bh_le32 flags;
    bh_le32 buf_alloc;
    bh_le32 fwd_cnt;
};
_Static_assert(offsetof(struct virtio_vsock_hdr, fwd_cnt) == 40, "[virtio-1.4 5.10.6]");
/* The C struct ends with 4 bytes of padding that the wire does not have. */
#define VIRTIO_VSOCK_HDR_BYTES 44u

/* [virtio-1.4 5.10.6] */
enum virtio_vsock_op {
    VIRTIO_VSOCK_OP_INVALID = 0,
    VIRTIO_VSOCK_OP_REQUEST = 1,
    VIRTIO_VSOCK_OP_RESPONSE = 2,
    VIRTIO_VSOCK_OP_RST = 3,
    VIRTIO_VSOCK_OP_SHUTDOWN = 4,
    VIRTIO_VSOCK_OP_RW = 5,
    VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6,
    VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7,
};

/* [virtio-1.4 5.10.6.2] */
#define VIRTIO_VSOCK_TYPE_STREAM    1u
#define VIRTIO_VSOCK_TYPE_SEQPACKET 2u

/* [virtio-1.4 5.10.6.5]: in `flags` of SHUTDOWN, whose sender will do so no more */
#define VIRTIO_VSOCK_SHUTDOWN_RECEIVE 1u
#define VIRTIO_VSOCK_SHUTDOWN_SEND    2u
#define VIRTIO_VSOCK_SHUTDOWN_BOTH    3u

/* [virtio-1.4 5.10.6.6]: in `flags` of RW */
#define VIRTIO_VSOCK_SEQ_EOM 1u
#define VIRTIO_VSOCK_SEQ_EOR 2u

/* [virtio-1.4 5.10.6.7] */
#define VIRTIO_VSOCK_EVENT_TRANSPORT_RESET 0u
struct virtio_vsock_event {
    bh_le32 id;
};
_Static_assert(sizeof(struct virtio_vsock_event) == 4, "[virtio-1.4 5.10.6.7]");

#endif
