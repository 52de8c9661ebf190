/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console class as a host's program serves it.
 *
 * Threading, Ownership, May block: as impl/hosted_class.h.
 */
#ifndef DEVICES_CONSOLE_CONSOLE_HOST_H
#define DEVICES_CONSOLE_CONSOLE_HOST_H

#include <bulkhead/impl/hosted_class.h>

extern const struct bh_hosted_class bh_console_hosted;

#endif
