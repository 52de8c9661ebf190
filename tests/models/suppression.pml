/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake that suppresses notifications, in both directions, as a model for Spin.
 *
 * One side writes its position and then looks whether the other wants to hear of it; the other writes from where
 * on it wants to hear and then looks once more whether something came. Positions count modulo twice the queue's
 * size: the split ring's free-running indices and the packed ring's slot and wrap counter are both that.
 *
 * Checked: no run ends (everybody asleep) while something is there that nobody looked at.
 * -DPACKED: asking is switched off while working (RING_EVENT_FLAGS_DISABLE), not only left behind.
 * -DNO_RECHECK: the looking once more is left out; the check must then find a lost notification.
 * Spin runs the processes' steps one after another, which stands for the full barriers between write and look.
 */
#define SIZE  2
#define LAP   (2 * SIZE)
#define COUNT 5 /* chains that the driver sends */

#ifndef PACKED
#define PACKED 0
#endif
#ifndef NO_RECHECK
#define NO_RECHECK 0
#endif

byte avail, used;           /* positions, modulo LAP */
byte avail_event, used_event;
bool avail_off, used_off;   /* packed: notifications are switched off */
bool kick, call;            /* notifications on their way */
byte sent, returned;

/* Was `event` among the positions from `old` to before `new`? */
#define PASSED(event, new, old) (((new) - (event) - 1 + 2 * LAP) % LAP < ((new) - (old) + LAP) % LAP)

active proctype driver()
{
    byte seen, batch, old, event;
    bool off;

work:
    used_off = PACKED;
    do
    :: seen != used -> atomic { seen = (seen + 1) % LAP; returned++ }
    :: seen == used -> break
    od;
    if
    :: sent < COUNT && (avail - seen + LAP) % LAP < SIZE ->
        old = avail;
        batch = 1;
        if
        :: sent + 1 < COUNT && (avail - seen + LAP) % LAP + 1 < SIZE -> batch = 2
        :: true
        fi;
        atomic { avail = (avail + batch) % LAP; sent = sent + batch };
        atomic { off = avail_off; event = avail_event }; /* one load of both fields */
        if
        :: !off && PASSED(event, avail, old) -> kick = true
        :: else
        fi;
        goto work
    :: sent == COUNT || (avail - seen + LAP) % LAP == SIZE
    fi;
    atomic { used_event = seen; used_off = false }; /* one store of both fields */
    if
    :: !NO_RECHECK && seen != used -> goto work
    :: else
    fi;
end:
    atomic { call -> call = false };
    goto work
}

active proctype device()
{
    byte seen, old, event, count;
    bool off;

work:
    avail_off = PACKED;
    do
    :: seen != avail && count < SIZE -> atomic { seen = (seen + 1) % LAP; count++ }
    :: seen == avail || count == SIZE -> break
    od;
    if
    :: count > 0 ->
        old = used;
        used = (used + count) % LAP;
        atomic { off = used_off; event = used_event };
        if
        :: !off && PASSED(event, used, old) -> call = true
        :: else
        fi;
        count = 0;
        goto work
    :: else
    fi;
    atomic { avail_event = seen; avail_off = false };
    if
    :: !NO_RECHECK && seen != avail -> goto work
    :: else
    fi;
end:
    atomic { kick -> kick = false };
    goto work
}

active proctype judge()
{
    /* Nobody can move any more: then all that was sent must have come back. */
    timeout -> assert(returned == COUNT)
}
