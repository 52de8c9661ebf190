/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: the checked, fully placed form of a system, as plain C. It is all that engines and the daemon know of
 * the description: no device tree, no option table, nothing left to decide. It is made by bh_plan_make()
 * (plan/make.h) and travels to other processes as one canonical JSON text (bh_plan_to_json, bh_plan_from_json).
 *
 * Things refer to one another by index into the plan's arrays, so that a plan can be copied, written and read
 * back without pointers to mend. BH_PLAN_NONE stands for "no such thing".
 *
 * Threading: a plan is read-only once made; any number of threads may read it.
 * Ownership: bh_plan_free() frees the plan and every string and array in it.   May block: no.
 */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the JSON form and of this struct. A reader refuses every other: the plan is made anew from the description. */
#define BH_PLAN_VERSION 2
#define BH_PLAN_NONE    UINT32_MAX

/* Limits that the checker enforces and that every reader may count on. */
#define BH_PLAN_DOMAINS_MAX 1024
#define BH_PLAN_DEVICES_MAX 16384
#define BH_PLAN_NAME_MAX                                                                                     \
    31 /* bytes of a domain's, device's, link's, switch's or system's name: a node name [DTSpec 2.2.1] */
#define BH_PLAN_NAME_TAKEN   "daemon" /* no domain and no switch has this name: its log is the daemon's own */
#define BH_PLAN_CPUS_MAX     64       /* of one domain */
#define BH_PLAN_PCI_SLOTS    31 /* devices of one domain: slots 1 to 31 of its bus; slot 0 is the host bridge */
#define BH_PLAN_SWITCH_PORTS 64

enum bh_plan_kind { BH_PLAN_VM };       /* what a domain is */
enum bh_plan_arch { BH_PLAN_ARM64 };    /* what its CPUs execute */
enum bh_plan_place { BH_PLAN_PROCESS }; /* where a backend runs: a device process of the host */
enum bh_plan_transport {
    BH_PLAN_VHOST_USER
}; /* how the engine reaches it: a Unix socket in the run directory */
enum bh_plan_ready_kind {
    BH_PLAN_READY_STARTED, /* as soon as its CPUs run */
    BH_PLAN_READY_CONSOLE
}; /* when a text has appeared on a console */
enum bh_plan_restart {
    BH_PLAN_RESTART_NEVER,      /* it stays stopped, however it ended */
    BH_PLAN_RESTART_ON_FAILURE, /* unless it powered itself off */
    BH_PLAN_RESTART_ALWAYS
};

/* One option of a device, as it would be typed: "--name=value". A bool's value is "on" or "off". */
struct bh_plan_option {
    char *name;
    char *value;
};

/*
 * One device of one domain. Its backend is the program of its class, started with `options`, or a stranger's `program`,
 * started with `arguments`; and with a listening socket named `socket` in the run directory; the domain's engine connects there.
 */
struct bh_plan_device {
    char *name;         /* unique in its domain: the node's name */
    char *node;         /* path in the description, for messages */
    uint32_t line;      /* of that node in `source`; 0: unknown (a blob), or it stands in another file */
    char *class_name;   /* "blk", "net", ... */
    uint32_t virtio_id; /* the class's virtio device id */
    uint32_t domain;    /* index into domains: who drives it */
    enum bh_plan_place place;
    enum bh_plan_transport transport;
    char *socket; /* file name in the run directory: "DOMAIN.DEVICE.sock"; unique in the system */
    char *
        folder; /* for more sockets of its own, in the run directory: "CLASS/DOMAIN.DEVICE"; NULL: it has none */
    bool console;      /* its terminal is the daemon's to show, where its options do not lead it elsewhere */
    uint32_t pci_slot; /* 1 to BH_PLAN_PCI_SLOTS, function 0, on the domain's only bus */
    uint32_t link;     /* index into links, or BH_PLAN_NONE ... */
    uint32_t net_switch; /* ... into switches, or BH_PLAN_NONE: it plugs into one of the two at most */
    struct bh_plan_option *options; /* in the order of the description; a list option comes once per item */
    size_t option_count; /* paths are absolute, or begin with `folder`; a net always has its "mac" */
    char *
        program; /* absolute: a stranger serves it, and options are the front-end's; NULL: the class's own program */
    char **arguments; /* the stranger's own, behind --fd=N */
    size_t argument_count;
    char **keeps; /* what the stranger is not denied: as bh_plan_is_keepable says */
    size_t keep_count;
};

struct bh_plan_cpus {
    char *cluster;       /* path of the cluster's node */
    uint32_t mask;       /* bit N: the cluster's core N */
    uint32_t exec_level; /* as in the description [System DT, cpus] */
};

struct bh_plan_memory {
    uint64_t host;  /* physical address on the described machine */
    uint64_t guest; /* where the domain sees it */
    uint64_t size;  /* bytes */
};

struct bh_plan_ready {
    enum bh_plan_ready_kind kind;
    uint32_t console;    /* CONSOLE: index of the console device; BH_PLAN_NONE: the machine's early console */
    char *pattern;       /* CONSOLE: the text, a plain substring of a line; else NULL */
    uint32_t timeout_ms; /* counted from the start of its CPUs */
};

struct bh_plan_domain {
    char *name; /* unique in the system: the node's name */
    char *node;
    uint32_t line;
    uint32_t id; /* unique in the system */
    enum bh_plan_kind kind;
    enum bh_plan_arch arch;
    char *os_type; /* "linux", ...; NULL: not said */

    struct bh_plan_cpus *cpus;
    size_t cpus_count;
    uint32_t cpu_count;            /* cores in all masks: how many virtual CPUs it gets */
    struct bh_plan_memory *memory; /* ascending and adjoining in `guest` */
    size_t memory_count;
    uint64_t memory_size; /* the sum, bytes */

    char *kernel;   /* absolute path */
    char *ramdisk;  /* absolute path, or NULL */
    char *bootargs; /* never NULL, may be empty */

    uint32_t *after; /* indexes of the domains that must be ready before this one starts; ascending */
    size_t after_count;
    struct bh_plan_ready ready;
    enum bh_plan_restart restart;
    uint32_t restart_limit;     /* at most so many restarts ... */
    uint32_t restart_window_ms; /* ... in any such time, then it stays stopped */
    char **excluded_engines;    /* names of engines that must not run it; sorted */
    size_t excluded_engine_count;

    uint32_t device_first; /* its devices are devices[device_first] to [device_first + device_count - 1] */
    uint32_t device_count;
};

/* A network cable: both ends are nets, of one or two domains. */
struct bh_plan_link {
    char *name; /* unique in the system */
    char *node;
    uint32_t line;
    uint32_t device[2]; /* indexes; [0] < [1] */
    char *socket;       /* file name in the run directory at which the two backends meet: "NAME.link" */
};

/* A port of a switch at which a net is. Its taps are among the switch's options. */
struct bh_plan_port {
    uint32_t device; /* index */
    char *words;     /* what is set of it, as behind "--port=link:PATH,"; never empty */
    char *socket;    /* folder in the run directory in which the two meet: "DOMAIN.DEVICE.link" */
};

/* A process of the host that joins its ports; it runs before any domain that has a net at one. */
struct bh_plan_switch {
    char *name; /* unique among switches and domains */
    char *node;
    uint32_t line;
    struct bh_plan_option *options; /* as a device's */
    size_t option_count;
    enum bh_plan_restart restart; /* as a domain's */
    uint32_t restart_limit, restart_window_ms;
    struct bh_plan_port *ports; /* by device */
    size_t port_count;
};

/* A file to make, sparse, where there is none, before anything starts; its folders too. */
struct bh_plan_create {
    char *path; /* absolute */
    uint64_t size;
};

struct bh_plan {
    char *name;                     /* of the system: names its run directory */
    char *source;                   /* the description's path, as given */
    struct bh_plan_domain *domains; /* in the order of the description */
    size_t domain_count;
    struct bh_plan_device *devices; /* by domain, then in the order of the description */
    size_t device_count;
    struct bh_plan_link *links;
    size_t link_count;
    struct bh_plan_switch *switches; /* in the order of the description */
    size_t switch_count;
    struct bh_plan_create *creates; /* by path */
    size_t create_count;
    uint32_t
        *start_order; /* domain_count indexes: each domain after all that it depends on; stop in reverse */
};

/* NULL is allowed. */
void bh_plan_free(struct bh_plan *plan);

/*
 * The canonical form: keys sorted, indented by two, one final newline; the same plan gives the same bytes.
 * The caller frees *text. BH_ERR_NOMEM.
 */
int bh_plan_to_json(const struct bh_plan *plan, char **text) BH_MUST_USE;

/*
 * Read what bh_plan_to_json wrote. The text is not trusted: every type, index, limit and relation that this
 * header promises is checked, and what is wrong goes to `sink` (NULL: the default one) under the name `file`.
 * BH_ERR_SYNTAX: no JSON, or no plan. BH_ERR_UNSUPPORTED: a plan of another version. BH_ERR_NOMEM.
 */
int bh_plan_from_json(const char *text, size_t length, const char *file, struct bh_diag_sink *sink,
                      struct bh_plan **plan) BH_MUST_USE;

/* Look-ups by name; BH_PLAN_NONE or NULL where there is none. */
uint32_t bh_plan_domain_find(const struct bh_plan *plan, const char *name);
uint32_t bh_plan_device_find(const struct bh_plan *plan, uint32_t domain, const char *name);
const char *bh_plan_option_value(const struct bh_plan_device *device,
                                 const char *name); /* the first of that name */

/* Can a stranger be left that? "network" and "privileges" it can. */
bool bh_plan_is_keepable(const char *what);
bool bh_plan_keeps(const struct bh_plan_device *device, const char *what);

/* The folder in the run directory in which a net meets its cable's other end; NULL: it plugs into nothing. */
const char *bh_plan_meeting(const struct bh_plan *plan, uint32_t device);

/* The enums' words in JSON and in messages ("on-failure"). Never NULL for a value of the enum. */
const char *bh_plan_arch_name(enum bh_plan_arch arch);
const char *bh_plan_restart_name(enum bh_plan_restart restart);
const char *bh_plan_ready_name(enum bh_plan_ready_kind kind);

#endif
