/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a console port: what the guest prints goes to the log (where there is one) and to
 * whoever is attached; what that one types goes to the guest.
 *
 * Threading: the loop's thread.   Ownership: the caller's memory; fds given to attach stay the giver's.
 * May block: no.
 */
#ifndef DEVICES_CONSOLE_TERMINAL_H
#define DEVICES_CONSOLE_TERMINAL_H

#include "devices/console/log_file.h"
#include "devices/console/port.h"
#include <bulkhead/impl/loop.h>
#include <bulkhead/impl/moves.h>

#define BH_TERMINAL_OUT 65536u
#define BH_TERMINAL_IN  4096u

struct bh_terminal;

/* Who attaches and detaches fds: end_stdio.c, end_pty.c, end_socket.c. */
struct bh_terminal_end {
    /* The peer is gone: close or keep the fds; the terminal has forgotten them. */
    void (*hung_up)(struct bh_terminal_end *end);
    /* May be NULL. Bytes came in, already in our memory; how many of them to keep. */
    size_t (*typed)(struct bh_terminal_end *end, const uint8_t *bytes, size_t count);
};

/* Bytes that were moved from or to an fd: for a socket the kernel itself counts them (moves.h). */
struct bh_terminal_moves {
    struct {
        struct bh_move made;
        uint64_t before; /* bytes moved by the calls before */
    } move[2];
    uint32_t current;
};

/* What must outlive the process: bytes on their way, and how far they are. Outside data, where a former one left it. */
struct bh_terminal_lasting {
    uint32_t magic;
    struct bh_console_progress progress; /* taken: printed; given: typed and in the guest's hands */
    struct bh_terminal_moves out_moves;  /* printed, and taken by the attached one */
    struct bh_terminal_moves in_moves;   /* typed */
    uint8_t out[BH_TERMINAL_OUT];        /* byte i of all stands at i % BH_TERMINAL_OUT */
    uint8_t in[BH_TERMINAL_IN];
};

struct bh_terminal {
    struct bh_console_port port;
    struct bh_loop *loop;
    struct bh_console_log *log;  /* may be NULL */
    struct bh_terminal_end *end; /* NULL: nobody is attached, output is only logged */
    int in_fd, out_fd;           /* perhaps the same; in_fd -1: input has ended */
    bool hung;                   /* the peer is gone, and input of it is still to be read */
    bool guest_waits;            /* write() was refused */
    struct bh_loop_fd in_watch, out_watch;
    struct bh_loop_work flush_work;
    uint64_t unseen;  /* bytes printed while nobody was attached */
    uint64_t in_next; /* bytes of input that were put into the guest's buffers, given or not */
    struct bh_terminal_lasting *last; /* own, or memory that outlives the process */
    struct bh_terminal_lasting own;
};

/* `log` may be NULL. */
void bh_terminal_init(struct bh_terminal *terminal, struct bh_loop *loop, struct bh_console_log *log);
void bh_terminal_fini(struct bh_terminal *terminal);

/*
 * Attach non-blocking fds, one for both directions or two; nobody else is attached. BH_ERR_NOMEM when the
 * host refuses the watch: nothing is attached then. A file that cannot be watched is read and written as it
 * is.
 */
int bh_terminal_attach(struct bh_terminal *terminal, struct bh_terminal_end *end, int in_fd,
                       int out_fd) BH_MUST_USE;
/* Forget the fds; what was not yet written to them is tried once more, then dropped (it is in the log). */
void bh_terminal_detach(struct bh_terminal *terminal);
static inline bool bh_terminal_attached(const struct bh_terminal *terminal)
{
    return terminal->end != NULL;
}
/* Typed, and not yet put into the guest's buffers. */
size_t bh_terminal_typed(const struct bh_terminal *terminal);
/* Tell the guest the size; called by ends. */
void bh_terminal_resize(struct bh_terminal *terminal, uint16_t cols, uint16_t rows);

#endif
