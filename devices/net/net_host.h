/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class as a host's program serves it.
 *
 * Threading, Ownership, May block: as impl/hosted_class.h.
 */
#ifndef DEVICES_NET_NET_HOST_H
#define DEVICES_NET_NET_HOST_H

#include <bulkhead/impl/hosted_class.h>

extern const struct bh_hosted_class bh_net_hosted;

#endif
