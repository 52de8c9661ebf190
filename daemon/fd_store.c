/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fd store: a short list, searched from its end.
 */
#include "daemon/fd_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void bh_fd_store_close(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger));
    close(fd);
}

static struct bh_fd_store_entry *find(const struct bh_fd_store *store, const char *name)
{
    for (size_t i = store->count; i-- > 0;)
        if (!strcmp(store->entries[i].name, name))
            return &store->entries[i];
    return NULL;
}

static int make_room(struct bh_fd_store *store)
{
    if (store->count >= BH_FD_STORE_MAX)
        return BH_ERR_NOSPC;
    if (store->count < store->room)
        return BH_OK;
    const size_t room = store->room ? 2 * store->room : 16;
    struct bh_fd_store_entry *entries = realloc(store->entries, room * sizeof(*entries));
    if (!entries)
        return BH_ERR_NOMEM;
    store->entries = entries;
    store->room = room;
    return BH_OK;
}

int bh_fd_store_put(struct bh_fd_store *store, const char *name, int fd)
{
    struct bh_fd_store_entry *entry = find(store, name);
    if (entry) {
        bh_fd_store_close(entry->fd);
        entry->fd = fd;
        return BH_OK;
    }
    char *copy = NULL;
    int err = make_room(store);
    if (!err && !(copy = strdup(name)))
        err = BH_ERR_NOMEM;
    if (err) {
        store->refused++;
        bh_fd_store_close(fd);
        return err;
    }
    store->entries[store->count++] = (struct bh_fd_store_entry){.fd = fd, .name = copy};
    return BH_OK;
}

/* The order of what stays is kept. */
bool bh_fd_store_remove(struct bh_fd_store *store, const char *name)
{
    struct bh_fd_store_entry *entry = find(store, name);
    if (!entry)
        return false;
    bh_fd_store_close(entry->fd);
    free(entry->name);
    store->count--;
    memmove(entry, entry + 1, (size_t)(store->entries + store->count - entry) * sizeof(*entry));
    return true;
}

void bh_fd_store_clear(struct bh_fd_store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        bh_fd_store_close(store->entries[i].fd);
        free(store->entries[i].name);
    }
    free(store->entries);
    *store = (struct bh_fd_store){0};
}
