/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks: what must hold between the things of a description, after each property has been read and found to
 * be of its kind. One small function a check, in files by subject; the table in checks.c runs them all.
 *
 * Threading: one thread.   Ownership: as draft.h.   May block: the image checks open files.
 */
#ifndef PLAN_CHECKS_H
#define PLAN_CHECKS_H

#include "plan/draft.h"

void bh_check_ids(struct bh_draft *draft);
void bh_check_names(struct bh_draft *draft);
void bh_check_sockets(struct bh_draft *draft);
void bh_check_cores_exist(struct bh_draft *draft);
void bh_check_cores_exclusive(struct bh_draft *draft);
void bh_check_memory_inside(struct bh_draft *draft);
void bh_check_memory_exclusive(struct bh_draft *draft);
void bh_check_kernels(struct bh_draft *draft);
void bh_check_ramdisks(struct bh_draft *draft);
void bh_check_disks(struct bh_draft *draft);
void bh_check_writers(struct bh_draft *draft);
void bh_check_slots(struct bh_draft *draft);
void bh_check_macs(struct bh_draft *draft);
void bh_check_cids(struct bh_draft *draft);
void bh_check_peers(struct bh_draft *draft);
void bh_check_ports(struct bh_draft *draft);
void bh_check_links(struct bh_draft *draft);
void bh_check_switches(struct bh_draft *draft);
void bh_check_ready_consoles(struct bh_draft *draft);
void bh_check_cycles(struct bh_draft *draft);

/* May the device, whose class is known, plug into the link or switch that it names? False: reported. */
bool bh_check_may_plug(struct bh_draft *draft, uint32_t index);

/* Zeroed scratch of the draft's; NULL: memory ran out, which is noted, and the check may just be left out. */
void *bh_check_room(struct bh_draft *draft, size_t count, size_t size);

/*
 * A claim on something that only one may have. Collisions are reported at the later claim, with the first one as
 * the other culprit. Used by every check of the form "two have the same ...".
 */
struct bh_claim {
    const char *key; /* what is claimed, as it is to be printed */
    const char *owner;
    const struct bh_diag_where *where;
    uint32_t order;
};

/* Sorts `claims`. `what` is the kind of thing: "MAC address". */
void bh_check_claims(struct bh_draft *draft, struct bh_claim *claims, size_t count, const char *what,
                     const char *hint);

#endif
