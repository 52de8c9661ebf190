/* SPDX-License-Identifier: Apache-2.0 */
/* See witness.h. */
#include "programs/witness.h"

#include <bulkhead/base.h>
#include <bulkhead/impl/notify.h>
#include <stdio.h>

static void emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct bh_witness *witness = BH_CONTAINER(sink, struct bh_witness, sink);
    const char *file = diag->where.file;
    if (witness->listens && !witness->first[0] && diag->level == BH_DIAG_ERROR)
        snprintf(witness->first, sizeof(witness->first), "%s%s%s%s%s", file ? file : "", file ? ": " : "",
                 diag->what, diag->hint ? "; " : "", diag->hint ? diag->hint : "");
    bh_diag_emit(witness->text, diag);
}

void bh_witness_begin(struct bh_witness *witness, struct bh_diag_sink *text)
{
    *witness = (struct bh_witness){.sink.emit = emit, .text = text, .listens = true};
    bh_diag_set_default(&witness->sink);
}

void bh_witness_serves(struct bh_witness *witness)
{
    witness->first[0] = '\0';
    witness->listens = false;
}

void bh_witness_end(struct bh_witness *witness)
{
    if (witness->first[0])
        (void)bh_notify("STATUS=%s", witness->first);
    bh_diag_set_default(NULL);
}
