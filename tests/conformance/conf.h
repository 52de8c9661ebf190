/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance: cases that judge a device by what the virtio specification says, and by nothing else, from the
 * driver's side. The same cases run over every transport, ring layout and feature set; what differs between
 * transports stands behind `struct conf_side`.
 *
 * Theory of operation
 *   Each case gets a fresh device and a fresh guest memory. It brings the device up with the feature set of this
 * run (conf_up), lays buffers, and waits for them with a limit, so that a device that hangs fails a case and not
 * the run. CONF_CHECK leaves the case by longjmp; the runner cleans up.
 *
 * Threading: one thread.   Ownership: the runner's.   May block: waits end after conf->patience_ms.
 */
#ifndef TESTS_CONFORMANCE_CONF_H
#define TESTS_CONFORMANCE_CONF_H

#include "driver/guest.h"

#include <bulkhead/device.h>
#include <bulkhead/impl/hosted_class.h>
#include <setjmp.h>

#define CONF_QUEUES     8u
#define CONF_CONFIG_MAX 128u

struct conf_side;

/* What a transport does for the driver. Codes as enum bh_err. */
struct conf_side_ops {
    const char *name;
    /* Features that this side never offers since its transport cannot carry them. */
    struct bh_features (*offered)(struct conf_side *side);
    /* Accept features and end negotiation: BH_OK when the device granted FEATURES_OK, BH_ERR_INVAL if not. */
    int (*negotiate)(struct conf_side *side, const struct bh_features *features);
    /* BH_ERR_UNSUPPORTED: the transport shows no status. */
    int (*get_status)(struct conf_side *side, uint8_t *status);
    int (*set_status)(struct conf_side *side, uint8_t status);
    int (*config_read)(struct conf_side *side, uint32_t offset, void *to, uint32_t len);
    int (*config_write)(struct conf_side *side, uint32_t offset, const void *from, uint32_t len);
    int (*queue_start)(struct conf_side *side, unsigned index, const struct bh_virtq_setup *setup);
    int (*queue_stop)(struct conf_side *side, unsigned index, struct bh_virtq_state *state);
    /* All queues were started: DRIVER_OK where there is a status. */
    int (*driver_ok)(struct conf_side *side);
    /* Reset and wait for its end. */
    int (*reset)(struct conf_side *side);
    void (*kick)(struct conf_side *side, unsigned index);
    /* Let the device work, up to `timeout_ms` or until it has told something. */
    int (*wait)(struct conf_side *side, int timeout_ms);
    uint32_t (*notifications)(struct conf_side *side, unsigned index);
    uint32_t (*errors)(struct conf_side *side, unsigned index);
    void (*close)(struct conf_side *side);
};

struct conf_side {
    const struct conf_side_ops *ops;
    struct bh_drv_guest *guest;
    unsigned queue_count;
    bool packed; /* of what was negotiated */
};

/* How a run makes its devices. */
struct conf_plan {
    const struct bh_hosted_class *hosted;
    const void *values;     /* of the class's options */
    char *const *arguments; /* the same as words; NULL-terminated */
    uint64_t sim_seed;      /* pipe only: guest memory is simulated; 0: simply mapped */
    const char *scratch;    /* a file that an option of the class names; NULL: none */
    const char *connect;    /* vhost-user: where a device process listens; NULL: `program` is started */
    const char *host_path;  /* vsock: the host's side; NULL: not known */
    unsigned queue_min;     /* what a class has at least, where the transport does not tell */
    int reconnect_ms;       /* how long the process may take to listen again */
    const char *program;    /* the device program to be executed; vhost-user only */
    bool in_band;           /* kicks and calls are messages; vhost-user only */
};
int conf_open_pipe(const struct conf_plan *plan, struct bh_drv_guest *guest, struct conf_side **side);
int conf_open_vhost(const struct conf_plan *plan, struct bh_drv_guest *guest, struct conf_side **side);

struct conf {
    const struct conf_plan *plan;
    const struct conf_class *class;
    struct conf_side *side;
    struct bh_drv_guest guest;
    struct bh_features wanted;   /* ring features of this run */
    struct bh_features features; /* negotiated */
    struct bh_drv_queue queue[CONF_QUEUES];
    unsigned queue_count;
    uint64_t scratch; /* guest.used after the queues were laid */
    int patience_ms;
    jmp_buf leave;
    bool skipped;
    bool may_close; /* a stranger may end the connection now, and the case with it */
    char why[256];
};

struct conf_case {
    const char *name;
    const char *section; /* of virtio 1.4, or of the class */
    void (*run)(struct conf *conf);
};

struct conf_class {
    const char *name;
    const struct bh_hosted_class *hosted;
    const char *const *arguments;    /* options when the command line gives none; NULL-terminated */
    void (*ping)(struct conf *conf); /* one good request from end to end */
    uint16_t ping_descs;             /* descriptors that it takes without indirect tables */
    unsigned ping_queue;
    unsigned queues; /* it has at least */
    uint32_t
        config_bytes; /* what a driver may read of config space, at most CONF_CONFIG_MAX; 0: there is none */
    const struct conf_case *cases; /* ends with a NULL name */
};

extern const struct conf_class conf_rng, conf_blk, conf_console, conf_net, conf_vsock;
extern const struct conf_case conf_common_cases[], conf_ring_cases[];

_Noreturn void conf_fail(struct conf *conf, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void conf_skip(struct conf *conf, const char *why);
#define CONF_CHECK(conf, x) ((x) ? (void)0 : conf_fail((conf), "%s:%d: %s", __FILE__, __LINE__, #x))
/* Two numbers must be equal. */
#define CONF_SAME(conf, found, wanted)                                                                       \
    do {                                                                                                     \
        long long found_ = (long long)(found), wanted_ = (long long)(wanted);                                \
        if (found_ != wanted_)                                                                               \
            conf_fail((conf), "%s:%d: %s is %lld, must be %lld", __FILE__, __LINE__, #found, found_,         \
                      wanted_);                                                                              \
    } while (0)

/* Negotiate the run's features and those of `extra` that are offered (NULL: none), lay every queue, go live. */
void conf_up(struct conf *conf, uint16_t queue_size, const struct bh_features *extra);
/* The same in steps. */
void conf_negotiate(struct conf *conf, const struct bh_features *extra);
void conf_start_queues(struct conf *conf, uint16_t queue_size);
/* Reset, forget the queues. */
void conf_reset(struct conf *conf);

/* The device's config space; the case is skipped where the transport does not carry it. */
void conf_config_read(struct conf *conf, uint32_t offset, void *to, uint32_t len);

/* Guest memory for buffers, gone with conf_recycle. */
void *conf_alloc(struct conf *conf, size_t size);
void conf_recycle(struct conf *conf);
struct bh_drv_buf conf_buf(struct conf *conf, const void *host, uint32_t len);
/* Lay a buffer and notify if the device wants it. */
void conf_submit(struct conf *conf, unsigned index, const struct bh_drv_buf *bufs, unsigned out_count,
                 unsigned in_count, void *token);
/* The next used buffer of a queue: its token, its used length. Fails when none comes. */
void *conf_wait(struct conf *conf, unsigned index, uint32_t *len);
/* The same where it may be that none comes within `ms`. */
bool conf_comes(struct conf *conf, unsigned index, int ms, void **token, uint32_t *len);
/* Nothing must be used within `ms`. */
void conf_quiet(struct conf *conf, unsigned index, int ms);
/*
 * The device must give the queue up: NEEDS_RESET or an error signal, within patience. The specification leaves open what
 * becomes of a malformed ring: a stranger may close the connection, or put up with it, which is told.
 */
void conf_wait_broken(struct conf *conf, unsigned index);

#endif
