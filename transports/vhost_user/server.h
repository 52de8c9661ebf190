/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user server's inside: one device, at most one connection, its rings. These files share it: server.c (life
 * of connections and what the device tells), request.c, request_ring.c (what each message does), channel.c (what we say
 * unasked), ring.c (rings and their fds), inband.c (rings without), memory.c, log.c, iommu.c, device_state.c, inflight.c,
 * and journal.c with resume.c (what outlives the process); wire.c moves bytes.
 *
 * Theory of operation
 *   Messages are handled one at a time and answered in order. One that must wait for the device (memory is released,
 * a queue is quiet, a reset is done) becomes the `pending` one: until bh_transport.control_done ends it, nothing more
 * is read from the socket. The same holds while an answer waits for room in the socket. So nothing blocks, and a
 * front-end cannot make us queue up work.
 *
 *   A connection ends by a close at once, then a reset of the device, then a change to an empty memory: both are
 * started and completed like any control operation. Only then is memory unmapped and the next connection accepted.
 *
 *   All of it can be taken from a process that dies, and gone on with: journal.h tells how.
 *
 * Threading: the loop's thread.   Ownership: as vhost_user.h says.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_SERVER_H
#define TRANSPORTS_VHOST_USER_SERVER_H

#include "transports/vhost_user/codec.h"
#include "transports/vhost_user/journal.h"
#include "transports/vhost_user/memory.h"
#include "transports/vhost_user/vhost_user.h"
#include <bulkhead/impl/accept.h>
#include <bulkhead/impl/inflight.h>
#include <bulkhead/impl/transport.h>

/*
 * stopped: not to be processed. It can start when the front-end gave it a size, addresses and a kick (fd or the
 * polling flag) and it is enabled; GET_VRING_BASE, a disable or a reset stop it ["Ring states"].
 *
 * The specification lets a ring start with the first kick. We start with SET_VRING_KICK, as libvhost-user does: after
 * a front-end's stop and continue the driver's buffers are there already, and no kick will come for them.
 */
struct bh_vu_ring {
    struct bh_vhost_user *server;
    uint16_t index;
    uint32_t size; /* SET_VRING_NUM; 0: not told */
    uint32_t base; /* as SET_VRING_BASE and GET_VRING_BASE have it */
    struct vhost_user_vring_addr addr;
    bool has_addr;
    bool has_kick;          /* SET_VRING_KICK came, with an fd or for polling, or VRING_KICK */
    bool kick_in_band;      /* it was VRING_KICK: there is nothing to poll for */
    bool call_polled;       /* SET_VRING_CALL came without an fd: the front-end looks by itself */
    bool call_due, err_due; /* to be told by a message (inband.c) */
    bool enabled;
    bool started;
    bool packed;            /* as it was started: a reset forgets the features */
    bool left;              /* its next start takes over the in-flight records that it finds (inflight.c) */
    bool call_missed;       /* a notification came while there was no call fd */
    struct bh_loop_fd kick; /* .fd -1: none */
    struct bh_loop_timer poll; /* set while the ring runs without a kick fd */
    struct bh_loop_work run;
    int call_fd, err_fd; /* -1: none */
    uint32_t kick_id, call_id,
        err_id; /* as the journal keeps them; they mean something where there is an fd */
    bool kick_is_socket, call_is_socket, err_is_socket;
};

/* Of a queue, beside its ring: they are in use until the queue is quiet, whatever the front-end does meanwhile. */
struct bh_vu_records {
    struct bh_inflight inflight;
    uint16_t *resubmit; /* as many as the queue's largest size */
};

/* The front-end's place for in-flight records (inflight.c). */
struct bh_vu_inflight {
    void *map; /* NULL: none was told */
    size_t map_length;
    unsigned guard;
    uint8_t *areas; /* queue i's: at i * stride */
    uint64_t stride;
    struct vhost_user_inflight told;
    uint32_t id;
};

enum bh_vu_phase {
    BH_VU_IDLE,          /* no connection */
    BH_VU_SERVING,       /* a connection is open */
    BH_VU_CLOSING_RESET, /* it is closed; the device's reset is under way */
    BH_VU_CLOSING_MEM,   /* and now its memory is let go */
};

/* The front-end's dirty log (log.c). */
struct bh_vu_log {
    struct bh_mem_log bits;
    void *map; /* NULL: none was told */
    size_t map_length;
    unsigned guard;
    struct vhost_user_log told;
    uint32_t map_id, fd_id; /* as the journal keeps them */
    bool wanted;            /* SET_FEATURES holds VHOST_F_LOG_ALL */
    int fd;                 /* of SET_LOG_FD; -1: none */
};

/* A transfer of the device's state (device_state.c). */
struct bh_vu_state {
    int fd;      /* where the front-end writes it; -1: none is being loaded */
    uint32_t id; /* as the journal keeps it */
    bool saved;  /* it was saved, and handed over whole */
};

/* What the pending message waits for. */
enum bh_vu_wait {
    BH_VU_WAIT_NONE,
    BH_VU_WAIT_MEM,
    BH_VU_WAIT_BASE,        /* GET_VRING_BASE: the queue is quiet */
    BH_VU_WAIT_DISABLE,     /* SET_VRING_ENABLE 0: likewise */
    BH_VU_WAIT_DISABLE_ALL, /* RESET_OWNER: ring after ring */
    BH_VU_WAIT_RESET,       /* RESET_DEVICE, SET_STATUS 0 */
    BH_VU_WAIT_FEATURES,    /* SET_FEATURES with another set than before: the device is reset first */
};

/* The message that comes in (its bytes are in the journal) and the reply that is made for it. */
struct bh_vu_wire {
    struct vhost_user_header head;
    int fds[BH_VU_FDS_MAX];
    uint32_t fd_ids[BH_VU_FDS_MAX];
    unsigned fd_count;
    uint8_t reply[BH_VU_MESSAGE_MAX];
    uint32_t reply_size; /* 0: none was made, or the journal has it */
    int reply_fd;        /* goes along; -1: none. Ours until it is sent */
    uint32_t reply_fd_id;
};

struct bh_vhost_user {
    struct bh_loop *loop;
    struct bh_device *dev;
    const char *name;
    struct bh_diag_sink *sink;
    const struct bh_vhost_user_owner *owner_ops;
    void *owner;

    struct bh_loop_fd listen;    /* .fd -1: serves a connected socket */
    struct bh_accept accept;     /* beside `listen` */
    struct bh_loop_fd conn;      /* .fd -1: none */
    struct bh_loop_fd backend;   /* the channel of BACKEND_REQ; .fd -1: none */
    struct bh_loop_fd lost;      /* eventfd: a SIGBUS took memory away */
    struct bh_loop_work hang_up; /* a close that waits for a clean stack */
    bool hanging_up;             /* it does: nothing more is read or said */
    bool
        in_control; /* the device tells of a control operation: its class is perhaps in the middle of a push */
    struct bh_loop_work settled; /* between connections: accept, end, or stop */
    struct bh_loop_work resumed; /* a message that a former process has taken in is to be handled */
    enum bh_vu_phase phase;
    bool stopping, stopped;

    struct bh_vu_journal journal;
    uint32_t conn_id, backend_id;
    struct bh_vu_wire wire;
    enum bh_vu_wait waiting;
    struct bh_vu_message pending;
    unsigned pending_ring; /* the ring whose stop is awaited */

    uint64_t protocol_features;  /* as SET_PROTOCOL_FEATURES chose */
    bool protocol_negotiated;    /* SET_FEATURES brought bit 30 */
    struct bh_features withheld; /* of the device, as the user wants it: put back between connections */
    uint8_t answer[64];          /* what came on the back-end channel and is not whole yet */
    size_t answer_used;
    unsigned in_band_next;   /* the ring whose turn it is to notify */
    bool in_band_unanswered; /* a VRING_CALL or VRING_ERR was sent on it, and the answer is to come */
    bool is_resumed;         /* this connection was a former process's */
    bool config_change_due;  /* CONFIG_CHANGE_MSG waits for room in the channel */
    struct bh_vu_memory memory;
    struct bh_vu_log log;
    struct bh_vu_state state;
    struct bh_vu_iotlb *iotlb; /* NULL: no translation was needed yet (iommu.c) */
    struct bh_vu_inflight inflight;
    struct bh_vu_ring *rings;      /* dev->queue_count */
    struct bh_vu_records *records; /* dev->queue_count */
    struct bh_diag_limit limit;
    struct bh_vhost_user_counters counters;
};

/* Bits of SET_FEATURES that are vhost-user's own: offered always, never the device's to know. */
#define BH_VU_OWN_FEATURES (UINT64_C(1) << VHOST_F_LOG_ALL | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)

static inline bool bh_vu_has(const struct bh_vhost_user *server, unsigned protocol_feature)
{
    return server->protocol_features >> protocol_feature & 1u;
}

/* One line for a person, rate-limited: a front-end must not fill a disk with its mistakes. */
void bh_vu_say(struct bh_vhost_user *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Send what waits for it, and wait for what can be done next. */
void bh_vu_flush(struct bh_vhost_user *server);
/* End the connection at once; `why` NULL: it ended as it should. */
void bh_vu_close(struct bh_vhost_user *server, const char *why);

/* --- wire.c ---------------------------------------------------------------------------------------------- */

/*
 * Read until a whole message is there. BH_OK: `message` and wire->fds are it; BH_ERR_AGAIN; BH_ERR_CLOSED: the peer
 * is gone (*why set when in mid-message); BH_ERR_PROTO with *why.
 */
int bh_vu_wire_receive(struct bh_vhost_user *server, struct bh_vu_message *message,
                       const char **why) BH_MUST_USE;
void bh_vu_wire_init(struct bh_vu_wire *wire);
/* The fds of the message and the reply in the current image. BH_ERR_NOENT: one was not kept. */
int bh_vu_wire_restore(struct bh_vhost_user *server) BH_MUST_USE;
/* Close the fds of the last message that nobody took. */
void bh_vu_wire_close_fds(struct bh_vu_wire *wire);
/* Take fd `at` of the message; the caller owns it. The journal keeps it under wire->fd_ids[at]. */
int bh_vu_wire_take_fd(struct bh_vu_wire *wire, unsigned at);
/* Make the reply. It is sent when the journal has it; at most one is under way. */
void bh_vu_wire_reply(struct bh_vu_wire *wire, uint32_t request, const void *payload, uint32_t size);
/* An fd to go with the reply that was just made; it is ours now. */
void bh_vu_wire_reply_fd(struct bh_vhost_user *server, int fd);
void bh_vu_wire_drop_reply_fd(struct bh_vu_wire *wire);
/* BH_OK: all is sent; BH_ERR_AGAIN: wait for room; BH_ERR_CLOSED. */
int bh_vu_wire_send(struct bh_vhost_user *server) BH_MUST_USE;
bool bh_vu_wire_sending(const struct bh_vhost_user *server);

/* --- request.c ------------------------------------------------------------------------------------------- */

/* Do what the message in server->pending says. It is answered now, or the server waits (server->waiting). */
void bh_vu_handle(struct bh_vhost_user *server);
/* A control operation is done: when it is the one that server->waiting stands for, go on with the message. */
void bh_vu_waited(struct bh_vhost_user *server, enum bh_control control, unsigned index);

/* --- channel.c ------------------------------------------------------------------------------------------- */

/* The device's config changed: tell the front-end, where it gave us a channel. */
void bh_vu_config_changed(struct bh_vhost_user *server);
void bh_vu_close_backend(struct bh_vhost_user *server);
/* The channel is `fd`, ours now, kept under `id`. BH_ERR_INVAL: one that cannot be waited for. */
int bh_vu_adopt_backend(struct bh_vhost_user *server, int fd, uint32_t id) BH_MUST_USE;

/*
 * Send what is not to be answered with more than an acknowledgement. `size` at most an IOTLB message's. BH_OK;
 * BH_ERR_AGAIN: no room; BH_ERR_CLOSED.
 */
int bh_vu_channel_say(struct bh_vhost_user *server, uint32_t request, uint32_t flags, const void *payload,
                      uint32_t size) BH_MUST_USE;
/* Say what is to be said on the back-end channel, as far as there is room. */
void bh_vu_channel_flush(struct bh_vhost_user *server);

/* --- inband.c -------------------------------------------------------------------------------------------- */

/* The ring notifies, or is broken, and has no fd for that: true when a message will tell it. */
bool bh_vu_in_band_call(struct bh_vu_ring *ring);
bool bh_vu_in_band_error(struct bh_vu_ring *ring);
/* For channel.c: send what is due. As bh_vu_channel_say. */
int bh_vu_in_band_say(struct bh_vhost_user *server) BH_MUST_USE;
/* The answer came. */
void bh_vu_in_band_answered(struct bh_vhost_user *server);
/* The channel is gone, and an answer with it. */
void bh_vu_in_band_cut(struct bh_vhost_user *server);

/* --- log.c ----------------------------------------------------------------------------------------------- */

/* Log, or log no more, as log.map and log.wanted now say. */
void bh_vu_log_apply(struct bh_vhost_user *server);
/* The connection ended: the log is the front-end's no more. */
void bh_vu_log_forget(struct bh_vhost_user *server);
/* The map that a former process had. BH_ERR_PROTO with *why. */
int bh_vu_log_restore(struct bh_vhost_user *server, const struct vhost_user_log *told, uint32_t id,
                      const char **why) BH_MUST_USE;

/* --- inflight.c ------------------------------------------------------------------------------------------ */

/* No queue runs any more: the records are the front-end's no more. */
void bh_vu_inflight_forget(struct bh_vhost_user *server);
/* The place that a former process had. BH_ERR_PROTO with *why. */
int bh_vu_inflight_restore(struct bh_vhost_user *server, const struct vhost_user_inflight *told, uint32_t id,
                           const char **why) BH_MUST_USE;
/*
 * A ring is about to start: lay its records, or take over those that are there, *taken_over, and setup->state is where
 * they say. BH_ERR_PROTO: they make no sense; BH_ERR_RANGE: there is too little room; BH_ERR_FAULT, BH_ERR_PENDING.
 */
int bh_vu_ring_lay_records(struct bh_vu_ring *ring, struct bh_virtq_setup *setup,
                           bool *taken_over) BH_MUST_USE;

/* --- device_state.c -------------------------------------------------------------------------------------- */

/* The connection ended: so has a transfer that was under way. */
void bh_vu_state_forget(struct bh_vhost_user *server);

/* --- iommu.c --------------------------------------------------------------------------------------------- */

/* Before a ring starts: translate as the features say. BH_ERR_NOMEM. */
int bh_vu_iommu_apply(struct bh_vhost_user *server) BH_MUST_USE;
/* Rings begin anew. A front-end does not tell what became invalid meanwhile. */
void bh_vu_iommu_flush(struct bh_vhost_user *server);
/* Translations came, or it is known that none will: what waited for them goes on. */
void bh_vu_iommu_wake(struct bh_vhost_user *server);
/* No queue of the connection runs any more: no IOMMU, until the next one has it. */
void bh_vu_iommu_detach(struct bh_vhost_user *server);

/* --- ring.c ---------------------------------------------------------------------------------------------- */

/* A foreign fd must not stop us when it is full or empty: set O_NONBLOCK on what it refers to. */
void bh_vu_never_block(int fd);
void bh_vu_ring_init(struct bh_vu_ring *ring, struct bh_vhost_user *server, uint16_t index);
/* Start it when all that it needs is there. A ring that cannot be started breaks the device. */
void bh_vu_ring_try_start(struct bh_vu_ring *ring);
/* The queue is quiet: remember where it stands. */
void bh_vu_ring_stopped(struct bh_vu_ring *ring);
/* Nothing of the front-end's is used any more; the device resets the queue itself. `forget`: its fds and settings too. */
void bh_vu_ring_clear(struct bh_vu_ring *ring, bool forget);
/* The new fd (or -1), kept under `id`, becomes the ring's. BH_ERR_INVAL: one that cannot be waited for. */
int bh_vu_ring_set_kick(struct bh_vu_ring *ring, int fd, uint32_t id) BH_MUST_USE;
/* VRING_KICK: as a kick by an fd; one that comes first starts the ring. */
void bh_vu_ring_kick_in_band(struct bh_vu_ring *ring);
/* GET_VRING_BASE or a reset: no start until SET_VRING_KICK or VRING_KICK comes again. */
void bh_vu_ring_drop_kick(struct bh_vu_ring *ring);
void bh_vu_ring_set_call(struct bh_vu_ring *ring, int fd, uint32_t id);
void bh_vu_ring_set_err(struct bh_vu_ring *ring, int fd, uint32_t id);
void bh_vu_ring_notify(struct bh_vu_ring *ring);
void bh_vu_ring_wake(struct bh_vu_ring *ring);
void bh_vu_ring_error(struct bh_vu_ring *ring);

#endif
