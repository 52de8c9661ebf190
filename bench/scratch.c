/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See scratch.h.
 */
#include "bench/scratch.h"

#include <bulkhead/impl/diag.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (1u << 20)

/* A file without holes, whose blocks are not all alike: neither the file system nor a disk can cut it short. */
static int write_store(char *path, uint64_t bytes)
{
    uint64_t *piece = malloc(PIECE), done = 0;
    const int fd = mkstemp(path);
    int err = fd >= 0 && piece ? BH_OK : BH_ERR_IO;

    while (!err && done < bytes && !bench_stopped) {
        for (size_t i = 0; i < PIECE / sizeof(*piece); i++)
            piece[i] = (done + i) * 0x9e3779b97f4a7c15ull;
        if (write(fd, piece, PIECE) != PIECE)
            err = errno == ENOSPC ? BH_ERR_NOSPC : BH_ERR_IO;
        done += PIECE;
    }
    if (!err && fsync(fd))
        err = BH_ERR_IO;
    if (err)
        bh_error(NULL, &(struct bh_diag_where){.file = path},
                 "--store chooses the stores, --store-size their size", "a store's file cannot be made: %s",
                 strerror(errno));
    if (err && fd >= 0)
        unlink(path);
    if (err)
        path[0] = '\0';
    if (fd >= 0)
        close(fd);
    free(piece);
    return err;
}

static int make_disk(char *path, size_t size, const char *folder, uint64_t bytes)
{
    if ((size_t)snprintf(path, size, "%s/bulkhead-bench-XXXXXX", folder) < size)
        return write_store(path, bytes);
    path[0] = '\0';
    bh_error(NULL, NULL, NULL, "--disk-folder: the path is too long");
    return BH_ERR_RANGE;
}

int bench_scratch_make(struct bench_place *place, const struct bench_options *options, uint32_t stores,
                       size_t contestants)
{
    int err = BH_OK;

    place->store_bytes = options->store_bytes / PIECE * PIECE;
    snprintf(place->folder, sizeof(place->folder),
             "/tmp/bulkhead-bench-XXXXXX"); /* short, for sockets' names */
    if (!mkdtemp(place->folder)) {
        bh_error(NULL, NULL, NULL, "no folder can be made in /tmp: %s", strerror(errno));
        place->folder[0] = '\0';
        return BH_ERR_IO;
    }
    for (size_t i = 0; i < contestants && !err; i++) {
        if (stores >> BENCH_STORE_FILE & 1u) {
            snprintf(place->file[i], sizeof(place->file[i]), "/dev/shm/bulkhead-bench-%d-XXXXXX",
                     (int)getpid());
            err = write_store(place->file[i], place->store_bytes);
        }
        if (!err && (stores >> BENCH_STORE_DISK & 1u))
            err = make_disk(place->disk[i], sizeof(place->disk[i]), options->disk_folder, place->store_bytes);
    }
    return err;
}

void bench_scratch_remove(struct bench_place *place)
{
    DIR *folder = place->folder[0] ? opendir(place->folder) : NULL;
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    if (place->folder[0])
        (void)rmdir(place->folder);
    for (size_t i = 0; i < BENCH_RECIPES; i++) {
        if (place->file[i][0])
            (void)unlink(place->file[i]);
        if (place->disk[i][0])
            (void)unlink(place->disk[i]);
    }
}
