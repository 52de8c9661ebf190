/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket class as a host's program serves it.
 *
 * Threading, Ownership, May block: as impl/hosted_class.h.
 */
#ifndef DEVICES_VSOCK_VSOCK_HOST_H
#define DEVICES_VSOCK_VSOCK_HOST_H

#include <bulkhead/impl/hosted_class.h>

extern const struct bh_hosted_class bh_vsock_hosted;

#endif
