/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the device programs are.
 */
#include "daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool there(char *path, size_t size, const char *folder, int folder_length, const char *below,
                  const char *class_name)
{
    const int length = snprintf(path, size, "%.*s%s/bulkhead-%s", folder_length, folder, below, class_name);
    return length > 0 && (size_t)length < size && !access(path, X_OK);
}

int bh_program_find(const char *class_name, char *path, size_t size)
{
    /* Beside us; an installation's; a build folder's. */
    static const char *const below[] = {"", "/../libexec/bulkhead", "/../programs", "/../tests/conformance",
                                        "/../bench"};
    char own[4096];
    const char *named = getenv("BULKHEAD_LIBEXEC"), *search = getenv("PATH");
    if (named && there(path, size, named, (int)strlen(named), "", class_name))
        return BH_OK;
    const ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (length > 0) {
        own[length] = 0;
        const char *end = strrchr(own, '/');
        for (size_t i = 0; end && i < sizeof(below) / sizeof(below[0]); i++)
            if (there(path, size, own, (int)(end - own), below[i], class_name))
                return BH_OK;
    }
    while (search && *search) {
        const size_t step = strcspn(search, ":");
        if (step && there(path, size, search, (int)step, "", class_name))
            return BH_OK;
        search += step + (search[step] == ':');
    }
    return BH_ERR_NOENT;
}
