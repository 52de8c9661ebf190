/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a system has before anything runs: its plan in the run directory, and images that the description
 * wants made.
 */
#include "daemon/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_plan(struct system *system)
{
    char *text;
    int err = bh_plan_to_json(system->plan, &text);
    if (err)
        return err;
    const int fd = openat(system->dir.fd, "plan.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const size_t length = strlen(text);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        err = errno == ENOSPC ? BH_ERR_NOSPC : BH_ERR_IO;
    if (fd >= 0)
        close(fd);
    free(text);
    return err;
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755); /* what is wrong shows when the file is made */
        *slash = '/';
    }
}

/* Sparse, and never over something that is there. */
static int make_image(struct system *system, const struct bh_plan_create *create)
{
    const struct bh_diag_where where = {.file = create->path};
    char *path = strdup(create->path);
    if (!path)
        return BH_ERR_NOMEM;
    make_folders(path);
    free(path);
    const int fd = open(create->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return BH_OK;
    if (fd < 0 || ftruncate(fd, (off_t)create->size)) {
        const int error = errno;
        bh_error(&system->sink, &where, NULL, "the image %s cannot be made: %s", create->path,
                 strerror(error));
        if (fd >= 0) {
            unlink(create->path);
            close(fd);
        }
        return error == ENOSPC ? BH_ERR_NOSPC : BH_ERR_IO;
    }
    close(fd);
    return BH_OK;
}

int files_make(struct system *system)
{
    int err = write_plan(system);
    for (size_t i = 0; !err && i < system->plan->create_count; i++)
        err = make_image(system, &system->plan->creates[i]);
    return err;
}
