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
 *   Input waits in a smaller ring, and beyond it in the peer's own socket: we read only what fits. When the
 * peer hangs up, what it typed before is still read and delivered, then it is forgotten.
 *
 * #syscalls read sendto
 */
#include "devices/console/terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct bh_terminal *terminal_of(struct bh_console_port *port)
{
    return BH_CONTAINER(port, struct bh_terminal, port);
}

static void hang_up(struct bh_terminal *terminal);

/* --- watches ---------------------------------------------------------------------------------------------
 */

static void want(struct bh_terminal *terminal)
{
    uint32_t in = terminal->in_fd >= 0 && terminal->in_len < BH_TERMINAL_IN ? BH_LOOP_READ : 0;
    uint32_t out = terminal->out_len > 0 ? BH_LOOP_WRITE : 0;

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
static ssize_t put_bytes(int fd, const void *from, size_t len)
{
    ssize_t put = send(fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return put < 0 && errno == ENOTSOCK ? write(fd, from, len) : put;
}

/* True when the peer is still there. */
static bool flush(struct bh_terminal *terminal)
{
    while (terminal->out_len > 0) {
        size_t part = BH_TERMINAL_OUT - terminal->out_head;
        if (part > terminal->out_len)
            part = terminal->out_len;
        ssize_t put = put_bytes(terminal->out_fd, &terminal->out[terminal->out_head], part);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return true;
        if (put < 0)
            return false;
        terminal->out_head = (terminal->out_head + (size_t)put) % BH_TERMINAL_OUT;
        terminal->out_len -= (size_t)put;
    }
    return true;
}

static void offer_room(struct bh_terminal *terminal)
{
    if (terminal->guest_waits && terminal->out_len < BH_TERMINAL_OUT) {
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
    size_t done = 0;

    while (done < len && terminal->out_len < BH_TERMINAL_OUT) {
        size_t tail = (terminal->out_head + terminal->out_len) % BH_TERMINAL_OUT;
        size_t part = BH_TERMINAL_OUT - (tail >= terminal->out_head ? tail : terminal->out_len);
        if (part > len - done)
            part = len - done;
        memcpy(&terminal->out[tail], from + done, part);
        if (terminal->log)
            bh_console_log_write(terminal->log, &terminal->out[tail], part);
        terminal->out_len += part;
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
                terminal->out_head = terminal->out_len = 0;
                done = put_out(terminal, (const uint8_t *)segs[i].base + all, segs[i].len - all);
                all += done;
            } while (done > 0);
            terminal->out_head = terminal->out_len = 0;
            terminal->unseen += all;
            done = all;
        }
        taken += done;
        if (done < segs[i].len) {
            terminal->guest_waits = true;
            break;
        }
    }
    if (terminal->out_len > 0)
        bh_loop_defer(terminal->loop, &terminal->flush_work, flush_later);
    return taken;
}

/* --- input -----------------------------------------------------------------------------------------------
 */

/* Read what fits. False when there is no more to come. */
static bool take_input(struct bh_terminal *terminal)
{
    while (terminal->in_fd >= 0 && terminal->in_len < BH_TERMINAL_IN) {
        size_t tail = (terminal->in_head + terminal->in_len) % BH_TERMINAL_IN;
        size_t part = BH_TERMINAL_IN - (tail >= terminal->in_head ? tail : terminal->in_len);
        ssize_t got = read(terminal->in_fd, &terminal->in[tail], part);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        size_t kept = (size_t)got;
        if (terminal->end->typed)
            kept = terminal->end->typed(terminal->end, &terminal->in[tail], kept);
        terminal->in_len += kept;
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
    size_t given = 0;
    bool was_full = terminal->in_len == BH_TERMINAL_IN;

    for (unsigned i = 0; i < count && terminal->in_len > 0; i++) {
        size_t done = 0;
        while (done < segs[i].len && terminal->in_len > 0) {
            size_t part = BH_TERMINAL_IN - terminal->in_head;
            if (part > terminal->in_len)
                part = terminal->in_len;
            if (part > segs[i].len - done)
                part = segs[i].len - done;
            memcpy((uint8_t *)segs[i].base + done, &terminal->in[terminal->in_head], part);
            terminal->in_head = (terminal->in_head + part) % BH_TERMINAL_IN;
            terminal->in_len -= part;
            done += part;
        }
        given += done;
    }
    if (terminal->end && given > 0) {
        if (terminal->hung && !take_input(terminal))
            hang_up(terminal);
        else if (was_full && !terminal->hung && !terminal->in_watch.loop && !take_input(terminal))
            input_ended(terminal); /* a file that cannot be watched */
        else
            want(terminal);
    }
    return given;
}

/* --- the peer --------------------------------------------------------------------------------------------
 */

static void in_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_terminal *terminal = BH_LOOP_OWNER(watch, struct bh_terminal, in_watch);
    bool more = true;

    if (events & (BH_LOOP_READ | BH_LOOP_HUP | BH_LOOP_ERR)) {
        size_t before = terminal->in_len;
        more = take_input(terminal);
        if (terminal->in_len > before && terminal->port.readable)
            terminal->port.readable(&terminal->port);
        if (!terminal->end)
            return; /* `typed` detached */
    }
    if (events & (BH_LOOP_HUP | BH_LOOP_ERR)) {
        if (!more || terminal->in_fd < 0) {
            hang_up(terminal);
            return;
        }
        if (terminal->in_len == BH_TERMINAL_IN) { /* more is to be read, when the guest made room */
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
    terminal->unseen += terminal->out_len;
    terminal->out_head = terminal->out_len = 0;
    offer_room(terminal);
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

static const struct bh_console_port_ops port_ops = {.write = port_write, .read = port_read};

void bh_terminal_init(struct bh_terminal *terminal, struct bh_loop *loop, struct bh_console_log *log)
{
    memset(terminal, 0, sizeof(*terminal));
    terminal->port.ops = &port_ops;
    terminal->loop = loop;
    terminal->log = log;
    terminal->in_fd = terminal->out_fd = -1;
}

void bh_terminal_fini(struct bh_terminal *terminal)
{
    bh_terminal_detach(terminal);
    bh_loop_work_cancel(&terminal->flush_work);
}
