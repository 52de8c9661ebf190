/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping fds with the service manager. See notify_keeper.h.
 */
#include <bulkhead/impl/notify_keeper.h>

#include <bulkhead/base.h>
#include <bulkhead/impl/diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "kept-";
enum { PREFIX_LENGTH = sizeof(prefix) - 1 };

static int put(struct bh_keeper *keeper, const char *name, int fd)
{
    struct bh_notify_keeper *self = BH_CONTAINER(keeper, struct bh_notify_keeper, keeper);
    return bh_notify_send(self->fd, &fd, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s%s", prefix, name);
}

static void drop(struct bh_keeper *keeper, const char *name)
{
    struct bh_notify_keeper *self = BH_CONTAINER(keeper, struct bh_notify_keeper, keeper);
    const int err = bh_notify_send(self->fd, NULL, "FDSTOREREMOVE=1\nFDNAME=%s%s", prefix, name);
    /* One that is lost leaves a name too many: the manager's bound holds, and our successor drops what is of no use. */
    if (err)
        bh_debug(NULL, "the service manager did not hear that %s is of no use any more", name);
}

static const struct bh_keeper_ops ops = {.put = put, .drop = drop};

static bool was_kept(const struct bh_listen_fd *fd)
{
    const size_t length = strlen(fd->name);
    return fd->fd >= 0 && !strncmp(fd->name, prefix, PREFIX_LENGTH) && length > PREFIX_LENGTH &&
           length - PREFIX_LENGTH < BH_KEEPER_NAME_MAX;
}

int bh_notify_keeper_open(struct bh_notify_keeper *keeper, struct bh_listen_fd *passed, size_t passed_count)
{
    struct bh_kept *kept = passed_count ? calloc(passed_count, sizeof(*kept)) : NULL;
    int err = passed_count && !kept ? BH_ERR_NOMEM : BH_OK;
    keeper->fd = -1;
    if (!err)
        err = bh_notify_open(&keeper->fd);
    keeper->keeper = (struct bh_keeper){.ops = &ops, .kept = kept};
    for (size_t i = 0; i < passed_count; i++) {
        if (!was_kept(&passed[i]))
            continue;
        if (err) {
            close(passed[i].fd);
        } else {
            struct bh_kept *entry = &kept[keeper->keeper.kept_count++];
            entry->fd = passed[i].fd;
            strcpy(entry->name, passed[i].name + PREFIX_LENGTH);
        }
        passed[i].fd = -1;
    }
    if (err)
        free(kept);
    return err;
}

void bh_notify_keeper_close(struct bh_notify_keeper *keeper)
{
    for (size_t i = 0; i < keeper->keeper.kept_count; i++)
        if (keeper->keeper.kept[i].fd >= 0)
            close(keeper->keeper.kept[i].fd);
    free(keeper->keeper.kept);
    close(keeper->fd);
    keeper->fd = -1;
}
