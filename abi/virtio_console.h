/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device [virtio-1.4 5.3]: feature bits, queue numbers, config space, control messages.
 */
#ifndef ABI_VIRTIO_CONSOLE_H
#define ABI_VIRTIO_CONSOLE_H

#include <bulkhead/base.h>

#define VIRTIO_ID_CONSOLE 3u /* [virtio-1.4 5.3.1] */

/* [virtio-1.4 5.3.2]: port 0's queues; with MULTIPORT the control queues, then two for each further port. */
#define VIRTIO_CONSOLE_RECEIVEQ          0u
#define VIRTIO_CONSOLE_TRANSMITQ         1u
#define VIRTIO_CONSOLE_CONTROL_RECEIVEQ  2u
#define VIRTIO_CONSOLE_CONTROL_TRANSMITQ 3u

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

/* [virtio-1.4 5.3.6.2] */
struct virtio_console_control {
    bh_le32 id;
    bh_le16 event;
    bh_le16 value;
};
_Static_assert(sizeof(struct virtio_console_control) == 8, "[virtio-1.4 5.3.6.2]");

enum virtio_console_event {
    VIRTIO_CONSOLE_DEVICE_READY = 0, /* the driver's */
    VIRTIO_CONSOLE_DEVICE_ADD = 1,
    VIRTIO_CONSOLE_DEVICE_REMOVE = 2,
    VIRTIO_CONSOLE_PORT_READY = 3, /* the driver's */
    VIRTIO_CONSOLE_CONSOLE_PORT = 4,
    VIRTIO_CONSOLE_RESIZE = 5,    /* followed by struct virtio_console_resize */
    VIRTIO_CONSOLE_PORT_OPEN = 6, /* both sides' */
    VIRTIO_CONSOLE_PORT_NAME = 7  /* followed by the name, without a NUL */
};

struct virtio_console_resize {
    bh_le16 cols;
    bh_le16 rows;
};
_Static_assert(sizeof(struct virtio_console_resize) == 4, "[virtio-1.4 5.3.6.2]");

#endif
