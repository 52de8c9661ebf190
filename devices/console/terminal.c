/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a console port.
 *
 * Theory of operation
 *   Output is copied once from guest memory into a ring: the log and the attached peer must see the same
 * bytes, whatever the guest does to its buffer meanwhile. The log takes them at once. The peer takes what it
 * can; a full ring refuses the guest's next bytes, which is the flow control. With nobody attached the ring
 * is emptied: a guest must not stop because nobody watches.
 *
 *   Killed at any moment: `taken` moves when printed bytes are in the ring (and in the log, which may therefore get
 * some twice), and what the peer took or typed is counted by the kernel where it is a socket. On other files a few bytes
 * may be written twice, or be lost when they were typed: read() and write() leave no trace.
 *
 *   Input waits in a smaller ring, and beyond it in the peer's own socket: we read only what fits. When the
 * peer hangs up, what it typed before is still read and delivered, then it is forgotten.
 *
 * #syscalls read write sendmmsg recvmmsg
 */
#include "devices/console/terminal.h"
#include <bulkhead/impl/class.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct bh_terminal *terminal_of(struct bh_console_port *port)
{
    return BH_CONTAINER(port, struct bh_terminal, port);
}

static void hang_up(struct bh_terminal *terminal);

#define LASTING_MAGIC 0x4d524554u /* "TERM" */

/* --- counts ----------------------------------------------------------------------------------------------
 */

static uint64_t moved(const struct bh_terminal_moves *moves)
{
    return moves->move[moves->current & 1u].before + moves->move[moves->current & 1u].made.call.msg_len;
}

/* Prepare a system call that moves up to `len` bytes; `more` were moved without a trace since the last one. */
static struct mmsghdr *next_move(struct bh_terminal_moves *moves, void *bytes, size_t len, uint64_t more)
{
    const uint32_t next = bh_moves_next(moves->current);

    moves->move[next].before = moved(moves) + more;
    bh_move_init(&moves->move[next].made, bytes, len);
    bh_moves_go(&moves->current, next);
    return &moves->move[next].made.call;
}

static size_t out_len(const struct bh_terminal *terminal)
{
    return (size_t)(terminal->last->progress.taken - moved(&terminal->last->out_moves));
}

size_t bh_terminal_typed(const struct bh_terminal *terminal)
{
    return (size_t)(moved(&terminal->last->in_moves) - terminal->in_next);
}

static size_t in_room(const struct bh_terminal *terminal)
{
    return BH_TERMINAL_IN - (size_t)(moved(&terminal->last->in_moves) - terminal->last->progress.given);
}

/* Nobody is to see what is in the ring. */
static void drop_out(struct bh_terminal *terminal)
{
    if (out_len(terminal))
        next_move(&terminal->last->out_moves, NULL, 0, out_len(terminal));
}

/* --- watches ---------------------------------------------------------------------------------------------
 */

static void want(struct bh_terminal *terminal)
{
    uint32_t in = terminal->in_fd >= 0 && in_room(terminal) > 0 ? BH_LOOP_READ : 0;
    uint32_t out = out_len(terminal) > 0 ? BH_LOOP_WRITE : 0;

    if (terminal->in_watch.loop && terminal->in_watch.fd == terminal->out_fd)
        in |= out;
    if (terminal->in_watch.loop)
        bh_loop_fd_want(&terminal->in_watch, in);
    if (terminal->out_watch.loop)
        bh_loop_fd_want(&terminal->out_watch, out);
}

/* --- output ----------------------------------------------------------------------------------------------
 */

/* A socket whose other end is gone says EPIPE and raises no signal; for a pipe, programs ignore SIGPIPE. */
static int put_bytes(struct bh_terminal_moves *moves, int fd, uint8_t *from, size_t len)
{
    ssize_t put = sendmmsg(fd, next_move(moves, from, len, 0), 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put == 1 || errno != ENOTSOCK)
        return (int)put;
    put = write(fd, from, len);
    if (put > 0)
        next_move(moves, NULL, 0, (uint64_t)put);
    return put < 0 ? -1 : 1;
}

/* True when the peer is still there. */
static bool flush(struct bh_terminal *terminal)
{
    struct bh_terminal_lasting *last = terminal->last;

    while (out_len(terminal) > 0) {
        size_t head = moved(&last->out_moves) % BH_TERMINAL_OUT, part = BH_TERMINAL_OUT - head;
        if (part > out_len(terminal))
            part = out_len(terminal);
        int put = put_bytes(&last->out_moves, terminal->out_fd, &last->out[head], part);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return true;
        if (put < 0)
            return false;
    }
    return true;
}

static void offer_room(struct bh_terminal *terminal)
{
    if (terminal->guest_waits && out_len(terminal) < BH_TERMINAL_OUT) {
        terminal->guest_waits = false;
        if (terminal->port.writable)
            terminal->port.writable(&terminal->port);
    }
}

static void flush_or_hang_up(struct bh_terminal *terminal)
{
    if (terminal->end && !flush(terminal)) {
        hang_up(terminal);
        return;
    }
    want(terminal);
    offer_room(terminal);
}

/* All that was printed in this round of the loop goes out with one write. */
static void flush_later(struct bh_loop_work *work)
{
    flush_or_hang_up(BH_LOOP_OWNER(work, struct bh_terminal, flush_work));
}

static size_t put_out(struct bh_terminal *terminal, const uint8_t *from, size_t len)
{
    struct bh_terminal_lasting *last = terminal->last;
    size_t done = 0;

    while (done < len && out_len(terminal) < BH_TERMINAL_OUT) {
        size_t tail = last->progress.taken % BH_TERMINAL_OUT, part = BH_TERMINAL_OUT - tail;
        if (part > BH_TERMINAL_OUT - out_len(terminal))
            part = BH_TERMINAL_OUT - out_len(terminal);
        if (part > len - done)
            part = len - done;
        memcpy(&last->out[tail], from + done, part);
        if (terminal->log)
            bh_console_log_write(terminal->log, &last->out[tail], part);
        bh_lasting_order();
        last->progress.taken += part;
        done += part;
    }
    return done;
}

static size_t port_write(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct bh_terminal *terminal = terminal_of(port);
    size_t taken = 0;

    for (unsigned i = 0; i < count; i++) {
        size_t done = put_out(terminal, segs[i].base, segs[i].len);
        if (!terminal->end) {
            size_t all = done;
            do { /* nobody watches: what was copied is logged, and gone */
                drop_out(terminal);
                done = put_out(terminal, (const uint8_t *)segs[i].base + all, segs[i].len - all);
                all += done;
            } while (done > 0);
            drop_out(terminal);
            terminal->unseen += all;
            done = all;
        }
        taken += done;
        if (done < segs[i].len) {
            terminal->guest_waits = true;
            break;
        }
    }
    if (out_len(terminal) > 0)
        bh_loop_defer(terminal->loop, &terminal->flush_work, flush_later);
    return taken;
}

/* --- input -----------------------------------------------------------------------------------------------
 */

/* Take what the peer typed: bytes, 0 at the end, or -1 with errno. Where it is a socket they are counted already. */
static ssize_t get_bytes(struct bh_terminal_moves *moves, int fd, uint8_t *to, size_t len, bool *counted)
{
    struct mmsghdr *call = next_move(moves, to, len, 0);

    *counted = recvmmsg(fd, call, 1, MSG_DONTWAIT, NULL) == 1;
    if (*counted)
        return (ssize_t)call->msg_len;
    return errno == ENOTSOCK ? read(fd, to, len) : -1;
}

/* Read what fits. False when there is no more to come. */
static bool take_input(struct bh_terminal *terminal)
{
    struct bh_terminal_moves *moves = &terminal->last->in_moves;

    while (terminal->in_fd >= 0 && in_room(terminal) > 0) {
        size_t tail = moved(moves) % BH_TERMINAL_IN, part = BH_TERMINAL_IN - tail;
        bool counted;
        if (part > in_room(terminal))
            part = in_room(terminal);
        ssize_t got = get_bytes(moves, terminal->in_fd, &terminal->last->in[tail], part, &counted);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        size_t kept = (size_t)got;
        if (terminal->end->typed) /* a terminal's, no socket's, when it keeps less */
            kept = terminal->end->typed(terminal->end, &terminal->last->in[tail], kept);
        if (!counted)
            next_move(moves, NULL, 0, kept);
    }
    return true;
}

/* Input has ended; the peer may still listen (half a socket closed, stdin at its end). */
static void input_ended(struct bh_terminal *terminal)
{
    if (terminal->hung) {
        hang_up(terminal);
        return;
    }
    if (terminal->in_fd != terminal->out_fd)
        bh_loop_fd_remove(&terminal->in_watch);
    terminal->in_fd = -1;
    want(terminal);
}

static size_t port_read(struct bh_console_port *port, const struct bh_seg *segs, unsigned count)
{
    struct bh_terminal *terminal = terminal_of(port);
    size_t put = 0;

    for (unsigned i = 0; i < count && bh_terminal_typed(terminal) > 0; i++) {
        size_t done = 0;
        while (done < segs[i].len && bh_terminal_typed(terminal) > 0) {
            size_t head = terminal->in_next % BH_TERMINAL_IN, part = BH_TERMINAL_IN - head;
            if (part > bh_terminal_typed(terminal))
                part = bh_terminal_typed(terminal);
            if (part > segs[i].len - done)
                part = segs[i].len - done;
            memcpy((uint8_t *)segs[i].base + done, &terminal->last->in[head], part);
            terminal->in_next += part;
            done += part;
        }
        put += done;
    }
    return put;
}

static void port_given(struct bh_console_port *port, uint64_t given)
{
    struct bh_terminal *terminal = terminal_of(port);
    bool was_full = in_room(terminal) == 0;

    if (given < terminal->last->progress.given || given > moved(&terminal->last->in_moves))
        return; /* a former process's word, and not a true one */
    terminal->last->progress.given = given;
    if (terminal->in_next < given)
        terminal->in_next = given;
    if (!terminal->end)
        return;
    /* When the peer has gone, what could be read was all: a pty that was opened again has no end to tell of. */
    if (terminal->hung && (!take_input(terminal) || in_room(terminal) > 0))
        hang_up(terminal);
    else if (was_full && !terminal->hung && !terminal->in_watch.loop && !take_input(terminal))
        input_ended(terminal); /* a file that cannot be watched */
    else
        want(terminal);
    if (bh_terminal_typed(terminal) > 0 && terminal->port.readable)
        terminal->port.readable(&terminal->port);
}

/* --- the peer --------------------------------------------------------------------------------------------
 */

static void in_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_terminal *terminal = BH_LOOP_OWNER(watch, struct bh_terminal, in_watch);
    bool more = true;

    if (events & (BH_LOOP_READ | BH_LOOP_HUP | BH_LOOP_ERR)) {
        size_t before = bh_terminal_typed(terminal);
        more = take_input(terminal);
        if (bh_terminal_typed(terminal) > before && terminal->port.readable)
            terminal->port.readable(&terminal->port);
        if (!terminal->end)
            return; /* `typed` detached */
    }
    if (events & (BH_LOOP_HUP | BH_LOOP_ERR)) {
        if (!more || terminal->in_fd < 0) {
            hang_up(terminal);
            return;
        }
        if (in_room(terminal) == 0) { /* more is to be read, when the guest made room */
            terminal->hung = true;
            bh_loop_fd_remove(&terminal->in_watch);
            return;
        }
        hang_up(terminal);
        return;
    }
    if (!more)
        input_ended(terminal);
    flush_or_hang_up(terminal);
}

static void out_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_terminal *terminal = BH_LOOP_OWNER(watch, struct bh_terminal, out_watch);

    if (events & (BH_LOOP_HUP | BH_LOOP_ERR))
        hang_up(terminal);
    else
        flush_or_hang_up(terminal);
}

int bh_terminal_attach(struct bh_terminal *terminal, struct bh_terminal_end *end, int in_fd, int out_fd)
{
    int err;

    BH_ASSERT(!terminal->end);
    terminal->in_fd = in_fd;
    terminal->out_fd = out_fd;
    terminal->hung = false;
    terminal->end = end;
    err = in_fd < 0 ? BH_OK : bh_loop_fd_add(terminal->loop, &terminal->in_watch, in_fd, 0, in_ready);
    if ((err == BH_OK || err == BH_ERR_UNSUPPORTED) && out_fd != in_fd)
        err = bh_loop_fd_add(terminal->loop, &terminal->out_watch, out_fd, 0, out_ready);
    if (err != BH_OK && err != BH_ERR_UNSUPPORTED) {
        bh_loop_fd_remove(&terminal->in_watch);
        terminal->end = NULL;
        return err;
    }
    if (in_fd >= 0 && !terminal->in_watch.loop && !take_input(terminal))
        terminal->in_fd = -1;
    want(terminal);
    if (terminal->port.attached)
        terminal->port.attached(&terminal->port, true);
    return BH_OK;
}

void bh_terminal_detach(struct bh_terminal *terminal)
{
    if (!terminal->end)
        return;
    if (!terminal->hung)
        flush(terminal);
    bh_loop_fd_remove(&terminal->in_watch);
    bh_loop_fd_remove(&terminal->out_watch);
    terminal->end = NULL;
    terminal->in_fd = terminal->out_fd = -1;
    terminal->hung = false;
    terminal->unseen += out_len(terminal);
    drop_out(terminal);
    offer_room(terminal);
    if (terminal->port.attached)
        terminal->port.attached(&terminal->port, false);
}

static void hang_up(struct bh_terminal *terminal)
{
    struct bh_terminal_end *end = terminal->end;

    terminal->hung = true; /* nothing can be written any more */
    bh_terminal_detach(terminal);
    end->hung_up(end);
}

void bh_terminal_resize(struct bh_terminal *terminal, uint16_t cols, uint16_t rows)
{
    if (terminal->port.resized)
        terminal->port.resized(&terminal->port, cols, rows);
}

/* --- what lasts ------------------------------------------------------------------------------------------
 */

static size_t lasting_size(const struct bh_console_port *port)
{
    return sizeof(struct bh_terminal_lasting);
}

static bool makes_sense(const struct bh_terminal_lasting *last)
{
    return last->magic == LASTING_MAGIC &&
           last->progress.taken - moved(&last->out_moves) <= BH_TERMINAL_OUT &&
           moved(&last->in_moves) - last->progress.given <= BH_TERMINAL_IN;
}

static void lasting(struct bh_console_port *port, void *area, bool left)
{
    struct bh_terminal *terminal = terminal_of(port);
    struct bh_terminal_lasting *last = area ? area : &terminal->own;
    const uint64_t in_guest = terminal->in_next - terminal->last->progress.given;

    if (!area || !left || !makes_sense(last)) {
        *last = *terminal->last;
        terminal->in_next = last->progress.given + in_guest;
    } else {
        terminal->in_next = last->progress.given;
    }
    last->magic = LASTING_MAGIC;
    terminal->last = last;
    terminal->port.progress = &last->progress;
    if (out_len(terminal) > 0)
        bh_loop_defer(terminal->loop, &terminal->flush_work, flush_later);
    if (terminal->end)
        want(terminal);
}

static const struct bh_console_port_ops port_ops = {
    .write = port_write,
    .read = port_read,
    .given = port_given,
    .lasting_size = lasting_size,
    .lasting = lasting,
};

void bh_terminal_init(struct bh_terminal *terminal, struct bh_loop *loop, struct bh_console_log *log)
{
    memset(terminal, 0, sizeof(*terminal));
    terminal->port.ops = &port_ops;
    terminal->loop = loop;
    terminal->log = log;
    terminal->in_fd = terminal->out_fd = -1;
    terminal->last = &terminal->own;
    terminal->port.progress = &terminal->own.progress;
}

void bh_terminal_fini(struct bh_terminal *terminal)
{
    bh_terminal_detach(terminal);
    bh_loop_work_cancel(&terminal->flush_work);
}
