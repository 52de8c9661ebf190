/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest or two, whose socket devices stand on the host's sockets in a folder of their own. Failures are cmocka's.
 *
 * Threading: one thread.   Ownership: the bed owns all but the fds that it returns.   May block: no.
 */
#ifndef TESTS_UNIT_VSOCK_HOST_BED_H
#define TESTS_UNIT_VSOCK_HOST_BED_H

#include "devices/vsock/port_host.h"
#include "tests/unit/vsock_rig.h"

#define HOST  VIRTIO_VSOCK_CID_HOST
#define BOTH  VIRTIO_VSOCK_SHUTDOWN_BOTH
#define GUEST 1024u /* a port of the guest's */
#define CONNS 16u

struct bed {
    char dir[64];
    char paths[2][80];
    struct bh_loop *loop;
    struct bh_diag_sink sink;
    struct bh_vsock_port *ports[2];
    struct bh_vsock_host_counters counters[2];
    struct vsock_rig rigs[2];
    bool paired;
    unsigned count;
};

const char *path_in(const struct bed *bed, const char *name);
/* One guest with CID 3 and, when it has peers, a second with CID 4. */
struct bed *bed_new(unsigned count, bool allowed);
/* The same, where a sibling has taken over the place in the pair's folder at which the guest of CID 3 listens: `squatter`. */
struct bed *bed_new_squatted(unsigned count, int *squatter);
void bed_free(struct bed *bed);
void turn(struct bed *bed);
int client(struct bed *bed, const char *name, int type);
/* Of connections, now. */
uint32_t socket_count(const struct bed *bed);
int listen_at(struct bed *bed, const char *name);
void say(int fd, const char *text);
/* What is there to read: text, "" at the end, NULL for nothing. */
const char *hear(int fd);
struct virtio_vsock_hdr header(struct bed *bed, unsigned rig, enum virtio_vsock_op op, uint32_t port,
                               uint32_t peer_cid, uint32_t peer_port, uint16_t type);
void guest_says(struct bed *bed, unsigned rig, struct virtio_vsock_hdr hdr, enum virtio_vsock_op op,
                const char *text);
/* A program of the host asks for GUEST, and the guest takes it. */
int host_connects(struct bed *bed, const char *hello, int type, struct virtio_vsock_hdr *hdr);

#endif
