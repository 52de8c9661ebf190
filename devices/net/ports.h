/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netports of a host: a tap, a user-mode network, a link between two nets, QEMU's sockets.
 *
 * Threading: the loop's thread.   Ownership: what create made is its owner's until destroy.
 * May block: create may (it opens sockets).
 */
#ifndef DEVICES_NET_PORTS_H
#define DEVICES_NET_PORTS_H

#include "devices/net/port.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>
#include <bulkhead/impl/option.h>

struct bh_port_slirp_setup {
    const char *subnet;   /* "10.0.2.0/24" */
    const char *hostname; /* for DHCP; may be NULL */
    bool restricted;      /* the guest reaches nothing but what is forwarded to it */
    bool dhcp, dns, ipv6;
    uint32_t mtu;
    struct bh_option_list forward; /* "PROTO:[ADDRESS:]PORT:[GUEST-ADDRESS:]GUEST-PORT" */
};
/* BH_ERR_INVAL: a value that cannot be read; BH_ERR_BUSY: a host port is taken; both said on `sink`; _NOMEM. */
int bh_port_slirp_create(struct bh_loop *loop, const struct bh_port_slirp_setup *setup,
                         struct bh_diag_sink *sink, struct bh_netport **port) BH_MUST_USE;
void bh_port_slirp_destroy(struct bh_netport *port);

/*
 * A link's end: over `path` (both ends name the same; who comes first listens), or over `fd` when path is NULL,
 * one of a socketpair of SOCK_SEQPACKET, which the port then owns. BH_ERR_RANGE: the path is too long;
 * BH_ERR_NOENT: its folder is not there; BH_ERR_INVAL: the fd is no such socket; said on `sink`; _NOMEM.
 */
int bh_port_link_create(struct bh_loop *loop, const char *path, int fd, uint32_t mtu,
                        struct bh_diag_sink *sink, struct bh_netport **port) BH_MUST_USE;
void bh_port_link_destroy(struct bh_netport *port);

struct bh_port_tap_setup {
    const char *name; /* of the interface; made when it is not there. NULL: `fds` */
    const int *fds;   /* inherited: one a pair; the port owns them from then on */
    unsigned pair_count;
    uint32_t mtu;
};
/*
 * A tap of this network namespace. BH_ERR_ACCESS: no right to it, or no /dev/net/tun; BH_ERR_BUSY: another program
 * has it; BH_ERR_INVAL: a name that cannot be one, an interface or fd that is no tap; said on `sink`; _NOMEM.
 */
int bh_port_tap_create(struct bh_loop *loop, const struct bh_port_tap_setup *setup, struct bh_diag_sink *sink,
                       struct bh_netport **port) BH_MUST_USE;
void bh_port_tap_destroy(struct bh_netport *port);

struct bh_port_stream_setup {
    const char *path; /* of the Unix socket; NULL: `fd` */
    bool listens;     /* on path; else it connects, and again when the other end goes away */
    int fd;           /* a connected stream socket, which the port then owns */
    uint32_t mtu;
};
/*
 * QEMU's `-netdev stream`. BH_ERR_RANGE: the path is too long; BH_ERR_BUSY: another program listens there;
 * BH_ERR_INVAL: the fd is no such socket; BH_ERR_IO; said on `sink`; _NOMEM.
 */
int bh_port_stream_create(struct bh_loop *loop, const struct bh_port_stream_setup *setup,
                          struct bh_diag_sink *sink, struct bh_netport **port) BH_MUST_USE;
void bh_port_stream_destroy(struct bh_netport *port);

/* QEMU's `-netdev dgram` between two Unix sockets. Errors as of a stream. */
int bh_port_dgram_create(struct bh_loop *loop, const char *local, const char *peer, uint32_t mtu,
                         struct bh_diag_sink *sink, struct bh_netport **port) BH_MUST_USE;
void bh_port_dgram_destroy(struct bh_netport *port);

/* Takes every frame and gives none. */
struct bh_netport *bh_port_null(struct bh_netport *memory, uint32_t mtu, unsigned pair_count);

#endif
