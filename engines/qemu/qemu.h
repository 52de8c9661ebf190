/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU engine: its ops table for engines/engines.c, and what its own files share. finder.c asks QEMUs what they
 * can do, command.c makes a command line from a plan, qmp.c talks to a running one, qemu.c is the domain's life.
 *
 * Threading: as engine.h.   Ownership: as said at each.   May block: bh_qemu_find.
 */
#ifndef ENGINES_QEMU_QEMU_H
#define ENGINES_QEMU_QEMU_H

#include "engines/engine.h"

extern const struct bh_engine bh_engine_qemu;

/* A QEMU that was found, and what it can do that another one cannot. */
struct bh_qemu {
    char *program;    /* absolute path */
    bool test_device; /* has vhost-user-test-device-pci: serves every class */
    bool net_vectors; /* its vhost-user net can be started with MSI-X */
};

/*
 * Find one that has a front-end for every class of the plan: $BULKHEAD_QEMU, the PATH's, the cache's, in this
 * order. What each was found to have is kept in the cache by path and time. BH_ERR_UNSUPPORTED: none; said on sink,
 * with what each lacks.
 */
int bh_qemu_find(const struct bh_plan *plan, struct bh_diag_sink *sink, struct bh_qemu *qemu) BH_MUST_USE;
void bh_qemu_fini(struct bh_qemu *qemu);

/* A class's front-end in QEMU: "vhost-user-blk-pci". NULL: only the test device can. */
const char *bh_qemu_front_end(const char *class_name);

/*
 * The command line for one domain; argv ends with NULL and is freed by bh_qemu_argv_free. The process is started in
 * the run directory, with its control socket as fd `qmp_fd`. BH_ERR_NOMEM.
 */
int bh_qemu_argv(const struct bh_qemu *qemu, const struct bh_plan *plan, uint32_t domain, int qmp_fd,
                 char ***argv) BH_MUST_USE;
void bh_qemu_argv_free(char **argv);

#endif
