/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user sets of a vsock.
 *
 * Threading: a table is const.   Ownership: as impl/option.h.   May block: no.
 */
#ifndef DEVICES_VSOCK_VSOCK_OPTIONS_H
#define DEVICES_VSOCK_VSOCK_OPTIONS_H

#include <bulkhead/impl/option.h>

struct bh_vsock_values {
    uint64_t guest_cid;
    char *host_path;
    char *sibling_dir;
    struct bh_option_list peer;
    uint64_t forward_cid;
    struct bh_option_list forward_listen;
    bool seqpacket;
    uint64_t connections_max;
    uint64_t buffer_size;
    uint64_t queue_size;
};

extern const struct bh_option bh_vsock_options[];

#endif
