/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on the program's own stdin and stdout. On a terminal: raw mode, the terminal's size, and one key
 * (Ctrl-]) that ends the program; everything, mode and O_NONBLOCK included, is put back when it stops.
 *
 * #syscalls kill ioctl fcntl
 */
#include "devices/console/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void hung_up(struct bh_terminal_end *end)
{
    /* stdout is gone: the guest's output is only logged from now on. */
}

static size_t typed(struct bh_terminal_end *end, const uint8_t *bytes, size_t count)
{
    struct bh_end_stdio *stdio = BH_CONTAINER(end, struct bh_end_stdio, end);
    const uint8_t *escape = stdio->raw ? memchr(bytes, BH_END_STDIO_ESCAPE, count) : NULL;

    if (!escape)
        return count;
    kill(getpid(), SIGTERM); /* the way that every end of the program takes */
    return (size_t)(escape - bytes);
}

static bool window_size(uint16_t *cols, uint16_t *rows)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return false;
    *cols = size.ws_col;
    *rows = size.ws_row;
    return true;
}

static void resized(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    struct bh_end_stdio *stdio = BH_LOOP_OWNER(source, struct bh_end_stdio, winch);
    uint16_t cols, rows;
    if (window_size(&cols, &rows))
        bh_terminal_resize(stdio->terminal, cols, rows);
}

static void make_raw(struct bh_end_stdio *stdio)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &stdio->former) != 0)
        return; /* not a terminal */
    raw = stdio->former;
    cfmakeraw(&raw);
    stdio->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK))
        return -1;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? flags : -1;
}

int bh_end_stdio_start(struct bh_end_stdio *stdio, struct bh_terminal *terminal, struct bh_diag_sink *sink,
                       uint16_t *cols, uint16_t *rows)
{
    int err;

    *stdio = (struct bh_end_stdio){.end = {.hung_up = hung_up, .typed = typed}, .terminal = terminal};
    stdio->in_flags = set_nonblocking(STDIN_FILENO);
    stdio->out_flags = set_nonblocking(STDOUT_FILENO);
    make_raw(stdio);
    if (window_size(cols, rows))
        stdio->watches_size = bh_loop_signal_add(terminal->loop, &stdio->winch, SIGWINCH, resized) == BH_OK;
    err = bh_terminal_attach(terminal, &stdio->end, STDIN_FILENO, STDOUT_FILENO);
    if (err) {
        bh_error(sink, NULL, "choose another port: --port=pty, --port=socket",
                 "the console cannot use stdin and stdout: %s", bh_err_text(err));
        bh_end_stdio_stop(stdio);
        return err;
    }
    if (stdio->raw)
        bh_note(sink, "the console is here; Ctrl-] ends the program");
    return BH_OK;
}

void bh_end_stdio_stop(struct bh_end_stdio *stdio)
{
    if (stdio->terminal->end == &stdio->end)
        bh_terminal_detach(stdio->terminal);
    if (stdio->watches_size)
        bh_loop_signal_remove(&stdio->winch);
    if (stdio->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &stdio->former);
    if (stdio->out_flags >= 0)
        fcntl(STDOUT_FILENO, F_SETFL, stdio->out_flags);
    if (stdio->in_flags >= 0)
        fcntl(STDIN_FILENO, F_SETFL, stdio->in_flags);
}
