/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines: what runs domains. One const ops table each (engines/qemu/, later kvm and xen), one line each in
 * engines/engines.c. An engine reads a plan and nothing else of the description; it starts the domain's process,
 * tells of what becomes of it, and never touches a device: those are sockets in the run directory by then.
 *
 * Theory of operation. bh_engine_choose finds an engine whose probe says that this machine can run the whole plan.
 * A domain is created once, and then started, stopped and started again as the supervision wants; its owner hears
 * of it through struct bh_engine_events, always from the loop, except that start reports its own failure.
 *
 * Threading: all on the loop's thread.   Ownership: a run is the engine's; site, plan and events outlive it.
 * May block: probe (it runs programs), start (until the process has exec'd).
 */
#ifndef ENGINES_ENGINE_H
#define ENGINES_ENGINE_H

#include "plan/plan.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>
#include <sys/types.h>

/* What an engine works in. */
struct bh_engine_site {
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    const struct bh_plan *plan;
    const char *run_dir; /* absolute; the device sockets are in it */
    int keep_fd; /* every process inherits it: while it is open somewhere, the run directory is in use */
};

struct bh_engine_domain; /* one domain as this engine runs it; the engine's own */

struct bh_engine_events {
    void (*started)(void *owner);  /* its CPUs run */
    void (*rebooted)(void *owner); /* the guest has reset the machine; it goes on from its start */
    void (*gone)(void *owner, bool well,
                 const char *why); /* its process has ended; well: the guest or we wanted it */
};

struct bh_engine {
    const char *name; /* as in --engine= and in bulkhead,exclude-engines */
    const char *summary;
    /*
     * Can this machine run the plan? *state (may be NULL after) is what the probe found, for create; freed by
     * release. On BH_ERR_UNSUPPORTED what is missing was said on `sink`.
     */
    int (*probe)(const struct bh_plan *plan, struct bh_diag_sink *sink, void **state);
    void (*release)(void *state);
    int (*create)(const struct bh_engine_site *site, void *state, uint32_t domain,
                  const struct bh_engine_events *events, void *owner, struct bh_engine_domain **run);
    /* Begin: the domain's early console and the engine's own words go to log_fd (duplicated as needed). */
    int (*start)(struct bh_engine_domain *run, int log_fd);
    void (*stop)(struct bh_engine_domain *run);       /* ask the guest to end in good order */
    void (*kill)(struct bh_engine_domain *run);       /* now */
    pid_t (*pid)(const struct bh_engine_domain *run); /* as the machine's /proc has it; 0: no process */
    void (*destroy)(struct bh_engine_domain *run);    /* kills what is left; NULL is allowed */
};

/* Every engine, the preferred first; ends with NULL. */
extern const struct bh_engine *const bh_engines[];

/*
 * The engine called `name`, or for "auto" the first that can run the plan and is excluded by none of its domains.
 * BH_ERR_NOENT: no engine has that name. BH_ERR_INVAL: a domain excludes it. BH_ERR_UNSUPPORTED: none can.
 */
int bh_engine_choose(const char *name, const struct bh_plan *plan, struct bh_diag_sink *sink,
                     const struct bh_engine **engine, void **state) BH_MUST_USE;

#endif
