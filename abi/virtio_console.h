/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device [virtio-1.4 5.3]: feature bits, queue numbers, config space.
 */
#ifndef ABI_VIRTIO_CONSOLE_H
#define ABI_VIRTIO_CONSOLE_H

#include <bulkhead/base.h>

#define VIRTIO_ID_CONSOLE 3u /* [virtio-1.4 5.3.1] */

/* [virtio-1.4 5.3.2]: port 0's queues; the control queues and further ports follow with MULTIPORT. */
#define VIRTIO_CONSOLE_RECEIVEQ  0u
#define VIRTIO_CONSOLE_TRANSMITQ 1u

/* [virtio-1.4 5.3.3] */
#define VIRTIO_CONSOLE_F_SIZE        0u
#define VIRTIO_CONSOLE_F_MULTIPORT   1u
#define VIRTIO_CONSOLE_F_EMERG_WRITE 2u

/* [virtio-1.4 5.3.4] */
struct virtio_console_config {
    bh_le16 cols;
    bh_le16 rows;
    bh_le32 max_nr_ports;
    bh_le32 emerg_wr;
};
_Static_assert(sizeof(struct virtio_console_config) == 12, "[virtio-1.4 5.3.4]");
_Static_assert(offsetof(struct virtio_console_config, emerg_wr) == 8, "[virtio-1.4 5.3.4]");

#endif
