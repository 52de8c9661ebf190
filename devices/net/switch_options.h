/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user sets of a switch, and of each of its ports. A port is one text, "KIND:WHERE,word=value,...", on a
 * command line and in a description; its words have a table of their own.
 *
 * Threading: a table is const.   Ownership: as impl/option.h.   May block: no.
 */
#ifndef DEVICES_NET_SWITCH_OPTIONS_H
#define DEVICES_NET_SWITCH_OPTIONS_H

#include "devices/net/switch.h"
#include <bulkhead/impl/option.h>

struct bh_switch_values {
    struct bh_option_list ports;
    uint64_t age_s, mtu;
    char *capture;
    uint64_t capture_limit;
};
extern const struct bh_option bh_switch_options[];

struct bh_switch_words {
    char *name; /* NULL: it is called by its place */
    uint64_t vlan;
    char *trunk, *rate, *mac; /* as they were typed; NULL: not given */
};
extern const struct bh_option bh_switch_words[];

/* A port's text, taken apart. */
struct bh_switch_place {
    char *place; /* "link:PATH" or "tap:NAME" */
    struct bh_switch_words words;
};

/*
 * Take `text` apart into `to`, which bh_switch_place_fini lets go of whatever the answer is. BH_ERR_INVAL, _RANGE,
 * _NOENT: said on `sink`; _NOMEM.
 */
int bh_switch_place_read(struct bh_switch_place *to, const char *text, struct bh_diag_sink *sink,
                         const struct bh_diag_where *where) BH_MUST_USE;
void bh_switch_place_fini(struct bh_switch_place *place);
/* The words onto a port that was zeroed. */
void bh_switch_words_apply(const struct bh_switch_words *words, struct bh_switch_port *port);

#endif
