/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three ways for a person to reach a console: the program's own terminal, a pseudo terminal, a socket.
 * Each attaches itself to a bh_terminal when somebody is there.
 *
 * Threading: the loop's thread.   Ownership: memory and paths are the caller's, fds the end's.
 * May block: start may (it opens files).
 */
#ifndef DEVICES_CONSOLE_ENDS_H
#define DEVICES_CONSOLE_ENDS_H

#include "devices/console/terminal.h"
#include <bulkhead/impl/accept.h>
#include <termios.h>

/* --- stdin and stdout ------------------------------------------------------------------------------------
 */

/* Typed on a terminal, this byte ends the program's loop: Ctrl-]. All others go to the guest. */
#define BH_END_STDIO_ESCAPE 0x1du

struct bh_end_stdio {
    struct bh_terminal_end end;
    struct bh_terminal *terminal;
    struct bh_loop_signal winch;
    struct termios former; /* valid when raw */
    bool raw, watches_size;
    int in_flags, out_flags; /* as they were; -1: not changed */
};
/* Raw mode and O_NONBLOCK are undone by _stop. BH_ERR_IO, _NOMEM, said on `sink`. */
int bh_end_stdio_start(struct bh_end_stdio *stdio, struct bh_terminal *terminal, struct bh_diag_sink *sink,
                       uint16_t *cols, uint16_t *rows) BH_MUST_USE;
void bh_end_stdio_stop(struct bh_end_stdio *stdio);

/* --- a pseudo terminal -----------------------------------------------------------------------------------
 */

struct bh_end_pty {
    struct bh_terminal_end end;
    struct bh_terminal *terminal;
    int fd;
    const char *link; /* NULL: none */
    struct bh_loop_timer look;
    struct bh_diag_sink *sink;
};
/* Says the pty's path on `sink`; `link` (may be NULL) becomes a symlink to it. BH_ERR_IO, _EXIST, _NOENT. */
int bh_end_pty_start(struct bh_end_pty *pty, struct bh_terminal *terminal, const char *link,
                     struct bh_diag_sink *sink) BH_MUST_USE;
void bh_end_pty_stop(struct bh_end_pty *pty);

/* --- a Unix socket ---------------------------------------------------------------------------------------
 */

struct bh_end_socket {
    struct bh_terminal_end end;
    struct bh_terminal *terminal;
    int listener;
    int client;       /* -1: none */
    const char *path; /* NULL: the listener was given as an fd */
    struct bh_loop_fd watch;
    struct bh_accept accept;
    struct bh_diag_sink *sink;
};
/*
 * Listen on `path`, or on `fd` when `path` is NULL. One client at a time: a later one takes over, the former
 * is told so and closed. BH_ERR_BUSY: somebody listens there; BH_ERR_RANGE: the path is too long; _NOENT,
 * _ACCESS, _IO.
 */
int bh_end_socket_start(struct bh_end_socket *socket, struct bh_terminal *terminal, const char *path, int fd,
                        struct bh_diag_sink *sink) BH_MUST_USE;
void bh_end_socket_stop(struct bh_end_socket *socket);

#endif
