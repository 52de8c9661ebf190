/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What device processes say of themselves, by sd_notify's protocol: that they are ready, how they are, and which file
 * descriptors are to be kept for their next start. Each has a socket of its own, so that none keeps another from being
 * heard; it is believed only about itself (the kernel tells the sender's pid), and only in the form that
 * notification.c accepts.
 *
 * Datagrams outlive their sender: what a killed process had sent is in the queue when its end is told, and is heard
 * before that end is judged. So a descriptor is safe as soon as its send has returned.
 */
#include "daemon/system.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NOTIFY_MAX = 4096,
    FDS_PER_MESSAGE = 32,
    PER_ROUND = 64,
    PER_DRAIN = 4096, /* more than any queue holds (net.unix.max_dgram_qlen) */
};

/* No longer than the name of its listening socket, for which there was room. */
void notify_name(const struct unit *unit, char name[NOTIFY_NAME_MAX])
{
    snprintf(name, NOTIFY_NAME_MAX, "%s.note", unit->name);
}

/* Was it the unit's process that said it? */
static bool is_its_own(const struct unit *unit, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        struct ucred who;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&who, CMSG_DATA(part), sizeof(who));
        return who.pid > 0 && who.pid == unit->speaker;
    }
    return false;
}

/* At most FDS_PER_MESSAGE; the kernel has closed what was more. */
static size_t passed_fds(struct msghdr *message, int *fds)
{
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds + count, CMSG_DATA(part), here * sizeof(int));
        count += here;
    }
    return count;
}

static void keep(struct unit *unit, const char *name, int fd)
{
    const struct bh_diag_where where = {.node = unit->name};
    const unsigned refused = unit->store.refused;
    const int err = bh_fd_store_put(&unit->store, name, fd);
    if (err && !refused)
        bh_warn(&unit->system->sink, &where, NULL,
                "it leaves more to be kept than there is room for (%s): if it dies, its domain is restarted",
                bh_err_text(err));
}

/* Takes the fds. One name keeps one fd. */
static void one_notification(struct unit *unit, const struct bh_notification *said, const int *fds,
                             size_t count)
{
    const char *name = said->has_name ? said->name : "stored"; /* sd_notify's name for what has none */
    size_t kept = 0;
    if (said->has_status)
        snprintf(unit->status, sizeof(unit->status), "%s", said->status);
    if (said->remove && !said->bad_name)
        bh_fd_store_remove(&unit->store, name);
    if (said->store && !said->bad_name && count)
        keep(unit, name, fds[kept++]);
    while (kept < count)
        bh_fd_store_close(fds[kept++]);
    if (said->ready) {
        unit->goes_on = false;
        system_event(unit, BH_EVENT_READY);
    }
}

/* False: there is none. */
static bool hear_one(struct unit *unit)
{
    char text[NOTIFY_MAX];
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
    int fds[sizeof(control) / sizeof(int)];
    struct bh_notification said;
    struct iovec part = {text, sizeof(text)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    const ssize_t got = recvmsg(unit->notify_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return false;
    size_t count = passed_fds(&message, fds);
    if (is_its_own(unit, &message) && !(message.msg_flags & MSG_TRUNC)) {
        bh_notification_parse(&said, text, (size_t)got);
        one_notification(unit, &said, fds, count);
        return true;
    }
    while (count)
        bh_fd_store_close(fds[--count]);
    return true;
}

static void notified(struct bh_loop_fd *watch, uint32_t events)
{
    struct unit *unit = BH_LOOP_OWNER(watch, struct unit, notify_watch);
    for (int i = 0; i < PER_ROUND && hear_one(unit); i++)
        ;
}

void notify_drain(struct unit *unit)
{
    for (int i = 0; i < PER_DRAIN && hear_one(unit); i++)
        ;
}

int notify_open(struct unit *unit)
{
    const int on = 1;
    char name[NOTIFY_NAME_MAX];
    notify_name(unit, name);
    unit->notify_fd = socket_bind(name, SOCK_DGRAM);
    if (unit->notify_fd < 0)
        return BH_ERR_IO;
    if (setsockopt(unit->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
        return BH_ERR_IO;
    return bh_loop_fd_add(unit->system->loop, &unit->notify_watch, unit->notify_fd, BH_LOOP_READ, notified);
}

void notify_close(struct unit *unit)
{
    bh_loop_fd_remove(&unit->notify_watch);
    if (unit->notify_fd >= 0)
        close(unit->notify_fd);
    unit->notify_fd = -1;
}
