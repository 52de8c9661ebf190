/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervision: what runs when. A freestanding state machine over a constant table of units (a device process, a
 * domain); it starts them in order, restarts what its policy says, stops them in reverse order, and takes the rest
 * to its safe state when a critical unit is lost. It starts no process itself: events go in, actions come out, and
 * time is a number that its owner gives. The host's daemon and the safety island use the same code.
 *
 * Theory of operation. Each unit has a state and a goal (up or down), and is joined to earlier units of the table by
 * needs: it starts when all of them have been ready. A need may bind: then the unit cannot outlive the other one
 * (a domain and the device processes that it is connected to): it is stopped with it and started again behind it.
 * After each event one pass down the table finds what must stop (last first) and one pass up what may start; that the
 * table's needs point only backwards makes one pass of each enough, and a cycle impossible.
 *
 * A unit that was ready may be *cut off*: it is gone, but its owner has kept enough for it to go on. It is then started
 * again by BH_ACTION_RESUME, by the same policy, and what is bound to it lives on and does not notice. When it says
 * that it cannot go on, or is not ready in time, it is a failed unit like any other.
 *
 *   WAITING -> STARTING -> RUNNING -> READY        every state of these four can lead to
 *      ^                                 |         STOPPING (asked to), BACKOFF, FAILED or STOPPED (ended)
 *      +---- BACKOFF, STOPPING <---------+
 *
 * Threading: one thread per struct bh_supervisor.   Ownership: the table and the memory are the caller's.
 * May block: never.
 */
#ifndef SUPERVISE_SUPERVISE_H
#define SUPERVISE_SUPERVISE_H

#include <bulkhead/base.h>
#include <bulkhead/err.h>

enum bh_unit_restart { BH_UNIT_NEVER, BH_UNIT_ON_FAILURE, BH_UNIT_ALWAYS };

/* One unit, constant. Times are in milliseconds. */
struct bh_unit {
    uint32_t need_first; /* its needs: table->needs[need_first], need_count of them */
    uint16_t need_count;
    uint8_t restart; /* enum bh_unit_restart */
    bool critical;   /* its loss for good takes the system to its safe state */
    bool keep;       /* goes on in the safe state; so must what it needs */
    uint32_t restart_limit,
        restart_window_ms;     /* at most so many restarts in such a time, which the first begins */
    uint32_t backoff_ms;       /* before the first restart; doubled up to 32 times that */
    uint32_t ready_timeout_ms; /* from STARTED (from START for the start itself); 0: none */
    uint32_t stop_timeout_ms;  /* from STOP to KILL */
};

/*
 * What a unit needs: an earlier unit. It starts when that one is ready (or has been, and ended in good order). If the
 * need binds, it is also stopped when that one is not ready any more.
 */
struct bh_unit_need {
    uint16_t unit;
    bool binds;
};

struct bh_unit_table {
    const struct bh_unit *units;
    const struct bh_unit_need *needs;
    uint16_t unit_count;
    uint32_t need_count;
};

enum bh_unit_state {
    BH_UNIT_WAITING,  /* for its needs, or to be wanted */
    BH_UNIT_STARTING, /* the start was asked for */
    BH_UNIT_RUNNING,  /* it runs, and is not ready yet */
    BH_UNIT_READY,
    BH_UNIT_STOPPING, /* the stop was asked for */
    BH_UNIT_BACKOFF,  /* failed; starts again after a while */
    BH_UNIT_STOPPED,  /* ended, and stays so */
    BH_UNIT_FAILED,   /* ended badly, and stays so */
};
enum { BH_UNIT_STATES = BH_UNIT_FAILED + 1 };

/* Why a unit is in BACKOFF or FAILED, or on its way there. */
enum bh_unit_cause {
    BH_CAUSE_NONE,
    BH_CAUSE_EXITED,    /* it ended by itself, badly */
    BH_CAUSE_REFUSED,   /* it ended since another try would end the same */
    BH_CAUSE_NOT_READY, /* not ready in time */
    BH_CAUSE_REBOOTS,   /* it began anew by itself more often than its limit allows */
    BH_CAUSE_NEED,      /* a unit that it needs has failed, or ended before it was ready */
};

enum bh_unit_event {
    BH_EVENT_STARTED, /* it runs (a device process was forked, a domain's CPUs run) */
    BH_EVENT_READY,
    BH_EVENT_REBOOTED, /* it began anew by itself: not ready any more; counts as a restart */
    BH_EVENT_ENDED,    /* it is gone, in good order (a domain powered itself off) */
    BH_EVENT_FAILED,   /* it is gone, badly; or it could not be started */
    BH_EVENT_REFUSED,  /* the same, and another try would end so again: what it needs is not to be had */
    BH_EVENT_CUT,      /* it is gone, badly, and can go on from what was kept of it */
};

enum bh_unit_action {
    BH_ACTION_START,  /* anew: nothing of an earlier run is used */
    BH_ACTION_RESUME, /* from what was kept of it */
    BH_ACTION_STOP,   /* kindly: SIGTERM, power button */
    BH_ACTION_KILL,
};

/* A unit's live part: the caller's memory, the machine's own fields; readers use state, cause, restarts and resuming. */
struct bh_unit_live {
    uint8_t state;         /* enum bh_unit_state */
    uint8_t cause;         /* enum bh_unit_cause */
    uint32_t restarts;     /* since the beginning, the reader's */
    uint32_t window_used;  /* restarts in this window */
    uint64_t window_since; /* its beginning */
    uint64_t deadline;     /* 0: none */
    uint8_t pending;       /* the action that was not fetched yet, plus one; 0: none */
    bool wanted;           /* the goal is up */
    bool was_ready;        /* since it was last started on request */
    bool again;            /* stopping in order to start */
    bool failing;          /* stopping because of a failure: `cause` says which */
    bool resuming;         /* not ready, but what is bound to it waits for it, alive */
    bool leaving, held;    /* scratch of the pass */
};

struct bh_supervisor {
    const struct bh_unit_table *table;
    struct bh_unit_live *live; /* table->unit_count of them */
    uint64_t now;              /* of the last event */
    uint16_t cursor;           /* where the next action is looked for */
    bool safe;                 /* a critical unit was lost */
};

/*
 * Start with everything down and unwanted. BH_ERR_INVAL: the table is wrong (a need that points forwards, a slice
 * outside, a unit kept that needs one which is not).
 */
int bh_supervisor_init(struct bh_supervisor *sup, const struct bh_unit_table *table,
                       struct bh_unit_live *live) BH_MUST_USE;

/* Want every unit up, or down. `now` is a time in ms that never goes back, 1 or more. */
void bh_supervisor_up(struct bh_supervisor *sup, uint64_t now);
void bh_supervisor_down(struct bh_supervisor *sup, uint64_t now);
/* Down without order or patience: all that lives is killed. */
void bh_supervisor_kill(struct bh_supervisor *sup, uint64_t now);
/* Stop and start one unit, with what is bound to it; a failed or ended one just starts. Its count begins anew. */
void bh_supervisor_restart(struct bh_supervisor *sup, uint16_t unit, uint64_t now);

/*
 * Stop one unit at once (BH_ACTION_KILL: a kind stop would let go of what it serves) and start it again from what was
 * kept of it, what is bound to it living on. Its count begins anew. A unit that is not ready is restarted instead.
 */
void bh_supervisor_resume(struct bh_supervisor *sup, uint16_t unit, uint64_t now);

/* An event that makes no sense in the unit's state (READY of one that is stopping) changes nothing. */
void bh_supervisor_event(struct bh_supervisor *sup, uint16_t unit, enum bh_unit_event event, uint64_t now);

/* The earliest time at which bh_supervisor_tick has something to do; 0: none. */
uint64_t bh_supervisor_deadline(const struct bh_supervisor *sup);
void bh_supervisor_tick(struct bh_supervisor *sup, uint64_t now);

/*
 * Fetch the next action, until there is none. Carrying one out may end in an event at once; fetching goes on
 * behind it. A unit's later action replaces an earlier one that was not fetched.
 */
bool bh_supervisor_next(struct bh_supervisor *sup, uint16_t *unit, enum bh_unit_action *action);

/* All units that are wanted are ready, or ended in good order after having been. */
bool bh_supervisor_all_ready(const struct bh_supervisor *sup);
/* Nothing lives and nothing will start by itself. */
bool bh_supervisor_all_down(const struct bh_supervisor *sup);
/* A unit that has failed for good: its index, or unit_count. The first cause comes before what it drew along. */
uint16_t bh_supervisor_failed(const struct bh_supervisor *sup);

/* A unit that has a process, or whatever it is made of, by what the machine knows. */
bool bh_unit_lives(const struct bh_unit_live *live);
/* Words for people and JSON: "ready", "not ready in time". Static. */
const char *bh_unit_state_text(enum bh_unit_state state);
const char *bh_unit_cause_text(enum bh_unit_cause cause);

#endif
