/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a description to a plan: reads a System Device Tree (source or blob), checks all of it, places what has no
 * place yet. This is the whole of plan/ for its callers: `bulkhead check` is one call that throws the plan away,
 * `bulkhead plan` and `up` are the same call and keep it.
 *
 * plan/ has no copy of any device's options: its caller hands it the classes' own option tables, and the
 * properties of a device's node are checked against those.
 *
 * Threading: a call uses nothing that another one uses.   Ownership: what is passed in stays the caller's.
 * May block: yes (reads files, runs dtc and waits for it).
 */
#ifndef PLAN_MAKE_H
#define PLAN_MAKE_H

#include "plan/plan.h"
#include <bulkhead/impl/option.h>

/*
 * What the planner must know of a device class beside its options. A role names the option that plays it;
 * NULL: no option of this class does.
 */
struct bh_plan_class {
    const char *name;                /* "blk": a node of compatible "bulkhead,blk" */
    const struct bh_option *options; /* ends with a NULL name */
    const char *image;     /* a file that must exist, or have bulkhead,create-size; it has one writer */
    const char *read_only; /* the bool that makes its user no writer of `image` */
    const char *mac;       /* must be unique in the system; the planner makes one up when there is none */
    const char *cid;       /* the guest's context ID: unique in the system */
    const char *peer;      /* a list of context IDs, of guests that name this one too */
    const char *forward;   /* a list; each item claims one port of the host: "PROTO:[ADDRESS:]PORT:..." */
    const char
        *host_path; /* where programs of the host meet the guest; the planner gives one when there is none */
    const char *sibling_dir;   /* where those that name each other by `peer` meet; the planner's to say */
    const char *const *one_of; /* options of which exactly one must be given; ends with NULL */
    uint32_t virtio_id;        /* [virtio-1.4 5] */
    bool linkable;             /* may be the end of a link */
    bool console;              /* a person may attach to it, and a domain be ready by what it prints */
    bool stranger;             /* we have no program for it */
    /* Options that the engine's front-end takes, also where a stranger serves the device; NULL: none. */
    const char *const *front_end;
};

/* What the planner must know of switches, by the same means. */
struct bh_plan_switching {
    const struct bh_option *options; /* of a switch's node */
    const struct bh_option *words;   /* of one of its ports: "vlan=10" */
    const char *port; /* the list option whose items are ports of other kinds: "KIND:WHERE,word=value,..." */
    const char *name; /* the word that calls a port something */
    const char
        *mac; /* the word that holds a port to addresses: a net's own, where the description does not say */
};

struct bh_plan_settings {
    const struct bh_plan_class *classes; /* ends with a NULL name */
    const struct bh_plan_switching *switching;
    const struct bh_option *common; /* options that every device program takes ("features"); may be NULL */
    const char *cache_dir;          /* what "cache:NAME" means; NULL: ${XDG_CACHE_HOME:-~/.cache}/bulkhead */
    const char
        *state_dir; /* what "state:NAME" means; NULL: ${XDG_STATE_HOME:-~/.local/state}/bulkhead/SYSTEM */
};

/*
 * Read `path`, check it, plan it. Everything that is wrong goes to `sink` (NULL: the default one), sorted by file
 * and line, not only the first. A path that ends in .json names a plan that was made before (bh_plan_to_json), which is
 * read back, and checked as far as it goes without its description. On BH_OK *plan is the plan; `plan` may be NULL, then
 * the call only checks.
 * BH_ERR_NOENT, BH_ERR_ACCESS, BH_ERR_IO: the file cannot be read. BH_ERR_SYNTAX: it is no tree, or no plan.
 * BH_ERR_INVAL: a check failed. BH_ERR_NOMEM. BH_ERR_CHILD: dtc could not be run.
 */
int bh_plan_make(const struct bh_plan_settings *settings, const char *path, struct bh_diag_sink *sink,
                 struct bh_plan **plan) BH_MUST_USE;

#endif
