/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three processes for the recovery tests: a device process that is killed and started again; a front-end that must not
 * notice; and the test itself, which keeps the device process's fds and does the killing.
 *
 * The front-end is made of raw messages and the driver's rings. Its checks end it with a status that the test sees
 * (CHECK below): cmocka's assertions work in the test's own process only.
 */
#ifndef TESTS_UNIT_RECOVERY_RIG_H
#define TESTS_UNIT_RECOVERY_RIG_H

#include "driver/guest.h"
#include <abi/vhost_user.h>
#include <bulkhead/impl/keeper.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    REC_QUEUES = 2,
    REC_SIZE = 32,
    REC_CHAINS = 16,
    REC_BASE = 0x40000000,
    REC_KEPT = 64,
    REC_WAIT_MS = 20000,
};
#define REC_USER UINT64_C(0x7f0000000000)

struct bh_loop;

/* --- the keeper and the device process ------------------------------------------------------------------- */

struct rec {
    int notify[2];    /* puts and drops: the device process writes [1], the test reads [0] */
    int peer, served; /* the connection's ends: the front-end's, the device process's */
    struct bh_kept kept[REC_KEPT];
    size_t kept_count;
    unsigned puts, drops;
    pid_t device, front;
    unsigned starts;
    /* The device; NULL: one that answers numbers (rec_answer). */
    struct bh_device *(*make)(struct rec *rec, struct bh_loop *loop, struct bh_mem *mem);
    bool loses;      /* the keeper never hears that the state is to be dropped */
    unsigned refuse; /* the put with this number, from 1 on, is refused to the device process; 0: none */
    int line[2];     /* what the made device has behind it: the test's or front-end's end, the device's */
    bool alone;      /* nobody keeps anything; `served` listens, at `address` */
    struct sockaddr_un address;
    socklen_t address_size;
};

void rec_open(struct rec *rec);
/* Without a keeper: the front-end connects again after each death. */
void rec_open_alone(struct rec *rec);
int rec_connect(const struct rec *rec);
/* Everything is given back, nothing is kept any more. */
void rec_close(struct rec *rec);
/* Take in what the device process put and dropped. */
void rec_keep(struct rec *rec);
/* Start the device process with what is kept; `traced`: it stops at its first system call, for ptrace. */
void rec_start_device(struct rec *rec, bool traced);
/* SIGKILL, and wait. */
void rec_kill_device(struct rec *rec);
/* Start `front` in a process of its own; it ends with what that returns. */
void rec_start_front(struct rec *rec, int (*front)(struct rec *rec, void *how), void *how);
/* Wait until the device process ended by itself, the front-end being gone: it must have ended well. */
void rec_wait_device(struct rec *rec);

/* What the device makes of a request's number. */
static inline uint64_t rec_answer(uint64_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x5a5a5a5a);
}

/* --- the front-end's side (recovery_front.c), in its own process ----------------------------------------- */

#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "front-end: %s:%d: not so: %s\n", __FILE__, __LINE__, #what);                    \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

struct rec_request {
    bh_daddr_t out, in;
    uint64_t *number, *answer;
    bool in_flight;
};

struct rec_front {
    int fd, channel; /* the connection; our end of the back-end channel */
    struct bh_drv_guest guest;
    struct bh_features features;
    uint64_t ring_bits;
    struct bh_drv_queue queue[REC_QUEUES];
    int kick[REC_QUEUES], call[REC_QUEUES];
    struct rec_request requests[REC_QUEUES][REC_SIZE / 2];
    uint64_t sent[REC_QUEUES], done[REC_QUEUES];
    struct vhost_user_inflight inflight;
    int inflight_fd;         /* -1: GET_INFLIGHT_FD was not asked */
    bool in_band;            /* no kick and call fds: messages */
    bool called[REC_QUEUES]; /* in-band, and not looked at since */
    size_t piece;            /* messages go out in pieces of so many bytes; 0: as a whole */
};

void front_init(struct rec_front *front, int fd, uint64_t ring_bits);
void front_send(struct rec_front *front, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                int with_fd);
/* The next reply, which must be one to `request`, of `size` bytes. *with_fd (may be NULL): the fd that came, or -1. */
void front_reply(struct rec_front *front, uint32_t request, void *payload, uint32_t size, int *with_fd);
uint64_t front_get(struct rec_front *front, uint32_t request);
/* With NEED_REPLY; the answer must be success. */
void front_tell(struct rec_front *front, uint32_t request, const void *payload, uint32_t size, int with_fd);
void front_tell_u64(struct rec_front *front, uint32_t request, uint64_t value);
void front_tell_state(struct rec_front *front, uint32_t request, uint32_t index, uint32_t num);
/* No answer is asked for. */
void front_say_state(struct rec_front *front, uint32_t request, uint32_t index, uint32_t num);
void front_negotiate(struct rec_front *front);
void front_share(struct rec_front *front);
void front_ask_inflight(struct rec_front *front);
void front_start_ring(struct rec_front *front, unsigned index, uint32_t base);
/* The connection is gone. */
bool front_lost(const struct rec_front *front);
/* On a new connection: everything up to the rings again, with the in-flight area that was there before. */
void front_come_back(struct rec_front *front, int fd);
/* The base that GET_VRING_BASE answers. */
uint32_t front_stop_ring(struct rec_front *front, unsigned index);
/* Send as many requests as fit, up to `most`; returns how many. */
unsigned front_add(struct rec_front *front, unsigned index, unsigned most);
/* Take what is used and check it: each request once, with its answer. Returns how many. */
unsigned front_take(struct rec_front *front, unsigned index);
/* Until nothing is in flight. Waits for notifications, as a driver does. */
void front_drain(struct rec_front *front, unsigned index);
unsigned front_in_flight(const struct rec_front *front, unsigned index);
/* Wait up to `ms` for any notification. */
void front_wait(struct rec_front *front, int ms);

#endif
