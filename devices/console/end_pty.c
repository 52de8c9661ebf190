/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on a pseudo terminal.
 *
 * Theory of operation
 *   Somebody is attached while the other side of the pty is open. The kernel tells of the end of that by HUP,
 * but not of its begin: a timer looks. So that HUP is there from the start, the other side is opened and
 * closed once, and set to raw mode on that occasion: nothing the guest prints may be echoed back to it.
 *
 * #syscalls ioctl poll ppoll unlink unlinkat
 */
#include "devices/console/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LOOK_MS 100u

static void look(struct bh_loop_timer *timer);

static void take_size(struct bh_end_pty *pty)
{
    struct winsize size;
    if (ioctl(pty->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        bh_terminal_resize(pty->terminal, size.ws_col, size.ws_row);
}

static void hung_up(struct bh_terminal_end *end)
{
    struct bh_end_pty *pty = BH_CONTAINER(end, struct bh_end_pty, end);
    bh_loop_timer_set(pty->terminal->loop, &pty->look, LOOK_MS, look);
}

static size_t typed(struct bh_terminal_end *end, const uint8_t *bytes, size_t count)
{
    take_size(BH_CONTAINER(end, struct bh_end_pty, end));
    return count;
}

static void look(struct bh_loop_timer *timer)
{
    struct bh_end_pty *pty = BH_LOOP_OWNER(timer, struct bh_end_pty, look);
    struct pollfd p = {.fd = pty->fd, .events = POLLOUT};

    if (poll(&p, 1, 0) == 1 && !(p.revents & POLLHUP) &&
        bh_terminal_attach(pty->terminal, &pty->end, pty->fd, pty->fd) == BH_OK)
        take_size(pty);
    else
        bh_loop_timer_set(pty->terminal->loop, &pty->look, LOOK_MS, look);
}

static int set_link(const struct bh_end_pty *pty, const char *name)
{
    char old[64];
    ssize_t len = readlink(pty->link, old, sizeof(old));

    /* A link that a killed program left behind is ours to replace; anything else is not. */
    if (len > 9 && memcmp(old, "/dev/pts/", 9) == 0)
        unlink(pty->link);
    if (symlink(name, pty->link) == 0)
        return BH_OK;
    int err = errno;
    bh_error(pty->sink, NULL, "give a path in a folder that exists and that nothing has yet",
             "pty-link: cannot make %s: %s", pty->link, strerror(err));
    return err == EEXIST ? BH_ERR_EXIST : err == ENOENT ? BH_ERR_NOENT : BH_ERR_IO;
}

static int open_pty(char *name, size_t size)
{
    struct termios raw;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -1;
    if (grantpt(fd) == 0 && unlockpt(fd) == 0 && ptsname_r(fd, name, size) == 0) {
        int other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (other >= 0 && tcgetattr(other, &raw) == 0) {
            cfmakeraw(&raw);
            tcsetattr(other, TCSANOW, &raw);
            close(other);
            return fd;
        }
    }
    close(fd);
    return -1;
}

int bh_end_pty_start(struct bh_end_pty *pty, struct bh_terminal *terminal, const char *link,
                     struct bh_diag_sink *sink)
{
    char name[64];

    *pty = (struct bh_end_pty){
        .end = {.hung_up = hung_up, .typed = typed}, .terminal = terminal, .link = link, .sink = sink};
    pty->fd = open_pty(name, sizeof(name));
    if (pty->fd < 0) {
        bh_error(sink, NULL, "is /dev/pts mounted? choose another port otherwise: --port=socket",
                 "cannot make a pseudo terminal: %s", strerror(errno));
        return BH_ERR_IO;
    }
    int err = link ? set_link(pty, name) : BH_OK;
    if (err) {
        close(pty->fd);
        return err;
    }
    bh_note(sink, "the console is on %s", name);
    bh_loop_timer_set(terminal->loop, &pty->look, LOOK_MS, look);
    return BH_OK;
}

void bh_end_pty_stop(struct bh_end_pty *pty)
{
    if (pty->terminal->end == &pty->end)
        bh_terminal_detach(pty->terminal);
    bh_loop_timer_cancel(&pty->look);
    if (pty->link)
        unlink(pty->link);
    close(pty->fd);
}
