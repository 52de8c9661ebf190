/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of an end share.
 *
 * Threading, Ownership, May block: as end.h.
 */
#ifndef DEVICES_VSOCK_END_IMPL_H
#define DEVICES_VSOCK_END_IMPL_H

#include "devices/vsock/end.h"

/* Wait for what is wanted now. */
void bh_vsock_end_update(struct bh_vsock_end *end);
/* Write what is kept. BH_OK: as far as there was room; BH_ERR_CLOSED, BH_ERR_RANGE, BH_ERR_IO: no more can be. */
int bh_vsock_end_flush(struct bh_vsock_end *end);

#endif
