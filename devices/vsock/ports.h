/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's port of a socket device: its guest's connections as sockets of this process.
 *
 * Threading: the loop's thread.   Ownership: what create made is its owner's until destroy.
 * May block: create may (it opens sockets).
 */
#ifndef DEVICES_VSOCK_PORTS_H
#define DEVICES_VSOCK_PORTS_H

#include "devices/vsock/port.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>

struct bh_vsock_host_counters {
    uint64_t accepted;    /* sockets that came in */
    uint64_t bad_hello;   /* of those, closed as they said something else, or nothing in time */
    uint64_t no_room;     /* turned away: too many */
    uint64_t forgotten;   /* dropped with something undelivered, to make room */
    uint64_t dials;       /* sockets made for the guest */
    uint64_t not_allowed; /* the guest asked for a CID that is no peer */
};

/* What is pointed at outlives the port. */
struct bh_vsock_host_setup {
    /*
     * PATH: programs of the host connect to it, say CONNECT and a port, and are led to the guest; PATH.seqpacket likewise
     * for SOCK_SEQPACKET. The guest's connections to CID 2, port P, go to PATH_P. NULL: no such thing.
     */
    const char *path;
    bool seqpacket;
    /*
     * FOLDER/PAIR/A-B, where B's device listens for connections of the guest with CID A. The name alone says who asks:
     * who may open it is the file system's business. Each pair has a folder of its own, named by bh_vsock_pair_name
     * and made by who comes first, so that nobody else needs sight of it. NULL: no siblings.
     */
    const char *sibling_dir;
    const uint32_t *peers; /* CIDs of the siblings that may be reached and may reach us */
    size_t peer_count;
    uint32_t guest_cid;
    uint32_t conn_max; /* sockets at most, those that wait for something too */
    /* AF_VSOCK: connections of the guest to CID 2 go to this CID, same port; 0: no. */
    uint32_t forward_cid;
    const uint32_t *forward_ports; /* of the host's: they lead to the guest's port of that number */
    size_t forward_port_count;
    struct bh_vsock_host_counters *counters; /* the port counts there */
};

enum { BH_VSOCK_PEERS_MAX = 256, BH_VSOCK_PAIR_MAX = 24 }; /* siblings of a device; bytes of a pair's name */
/* "LOWER-HIGHER", the same on both sides. */
void bh_vsock_pair_name(uint32_t a, uint32_t b, char name[BH_VSOCK_PAIR_MAX]);

/* What is wrong was said on `sink`: BH_ERR_RANGE: a path is too long; BH_ERR_NOENT, _ACCESS, _BUSY, _IO: a socket
 * cannot be made; BH_ERR_UNSUPPORTED: no AF_VSOCK; BH_ERR_NOMEM. */
int bh_vsock_port_host_create(struct bh_loop *loop, const struct bh_vsock_host_setup *setup,
                              struct bh_diag_sink *sink, struct bh_vsock_port **port) BH_MUST_USE;
/* The device is quiet. */
void bh_vsock_port_host_destroy(struct bh_vsock_port *port);

#endif
