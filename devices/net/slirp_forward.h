/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text form of a port forward and of a subnet, as the net class's options have them.
 *
 * Threading: pure.   Ownership: by value.   May block: no.
 */
#ifndef DEVICES_NET_SLIRP_FORWARD_H
#define DEVICES_NET_SLIRP_FORWARD_H

#include <bulkhead/err.h>
#include <netinet/in.h>
#include <stdbool.h>

struct bh_forward {
    bool udp;
    struct in_addr host;
    unsigned host_port;
    struct in_addr guest; /* 0.0.0.0: the first address that DHCP gives */
    unsigned guest_port;
};

/*
 * "PROTO:[ADDRESS:]PORT:[GUEST-ADDRESS:]GUEST-PORT", PROTO tcp or udp; without ADDRESS it is 127.0.0.1.
 * BH_ERR_SYNTAX.
 */
int bh_forward_parse(const char *text, struct bh_forward *forward) BH_MUST_USE;
/* "10.0.2.0/24", 8 to 28 bits, no host bits. BH_ERR_SYNTAX. */
int bh_subnet_parse(const char *text, struct in_addr *net, struct in_addr *mask) BH_MUST_USE;

#endif
