/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of the conformance suite.
 *
 * Threading: plain data.   Ownership: bh_options_init and _fini own the strings.   May block: no.
 */
#ifndef TESTS_CONFORMANCE_OPTIONS_H
#define TESTS_CONFORMANCE_OPTIONS_H

#include <bulkhead/impl/option.h>

enum { CONF_CLASS_NONE = -1, CONF_BLK, CONF_CONSOLE, CONF_NET, CONF_RNG, CONF_VSOCK };
enum { CONF_RING_BOTH, CONF_RING_SPLIT, CONF_RING_PACKED };
enum { CONF_PART_ALL, CONF_PART_COMMON, CONF_PART_RING, CONF_PART_CLASS };

struct conf_options {
    int class; /* to be CONF_CLASS_NONE before it is parsed */
    char *socket_path, *host_path, *program;
    bool pipe, in_band;
    uint64_t sim_seed, patience;
    int ring, part;
    char *features, *only_case;
    char *scratch;
    bool tap, json, list, help;
    char *junit;
};

extern const struct bh_option conf_options[];

#endif
