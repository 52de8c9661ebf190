/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first thing that goes wrong before a process serves is why it does not: it is kept for the service manager, which
 * has no other way to tell than by the log.
 *
 * Threading: one thread.   Ownership: the caller's memory; it is pointed at from begin to end.   May block: no.
 */
#ifndef PROGRAMS_WITNESS_H
#define PROGRAMS_WITNESS_H

#include <bulkhead/impl/diag.h>
#include <stdbool.h>

enum { BH_WITNESS_FIRST_MAX = 512 }; /* STATUS is shown as one line */

struct bh_witness {
    struct bh_diag_sink sink, *text;
    bool listens;
    char first[BH_WITNESS_FIRST_MAX];
};

/* Become the default sink; all is passed on to `text`. */
void bh_witness_begin(struct bh_witness *witness, struct bh_diag_sink *text);
/* It serves: what went wrong did not keep it from that, and what will is no reason why it did not start. */
void bh_witness_serves(struct bh_witness *witness);
/* Tell the service manager why it does not serve (STATUS=), if that is so, and be the default sink no more. */
void bh_witness_end(struct bh_witness *witness);

#endif
