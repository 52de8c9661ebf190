/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user sets of a net.
 *
 * Threading: a table is const.   Ownership: as impl/option.h.   May block: no.
 */
#ifndef DEVICES_NET_NET_OPTIONS_H
#define DEVICES_NET_NET_OPTIONS_H

#include <bulkhead/impl/option.h>

enum bh_net_port_kind {
    BH_NET_AUTO,
    BH_NET_USER,
    BH_NET_LINK,
    BH_NET_NULL,
    BH_NET_TAP,
    BH_NET_STREAM,
    BH_NET_DGRAM
};

struct bh_net_values {
    int port; /* enum bh_net_port_kind */
    uint8_t mac[6];
    uint64_t mtu;
    bool offer_mtu;
    struct bh_option_list forward;
    char *subnet;
    char *hostname;
    bool restricted, dhcp, dns, ipv6;
    char *link_path;
    uint64_t link_fd; /* BH_NET_NO_FD: none */
    char *tap;
    struct bh_option_list tap_fds;
    char *stream_path;
    bool stream_listens;
    uint64_t stream_fd; /* BH_NET_NO_FD: none */
    char *dgram_path, *dgram_local;
    uint64_t pairs;
    bool hash_report, rss;
    char *capture;
    uint64_t capture_limit;
    uint64_t queue_size;
};
#define BH_NET_NO_FD 65535u

extern const struct bh_option bh_net_options[];

#endif
