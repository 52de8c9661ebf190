/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Description files: small JSON objects with "type" and "binary", one a program, which any package may lay down.
 */
#include "plan/backend.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MOST (64u << 10)

struct wish {
    const char *type, *name; /* name NULL: the type alone decides */
    char *path;
    size_t size;
};

static bool take(const struct wish *wish, const char *path)
{
    const int length = access(path, X_OK) == 0 ? snprintf(wish->path, wish->size, "%s", path) : -1;

    return length > 0 && (size_t)length < wish->size && path[0] == '/';
}

static bool fits(const struct wish *wish, const char *file)
{
    char text[FILE_MOST];
    const char *type, *binary;
    bool found = false;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text));

    if (fd >= 0)
        close(fd);
    json_t *object = got < 0 ? NULL : json_loadb(text, (size_t)got, 0, NULL);
    if (json_unpack(object, "{s:s, s:s}", "type", &type, "binary", &binary) == 0) {
        const char *base = strrchr(binary, '/');
        const bool is =
            wish->name ? strcmp(base ? base + 1 : binary, wish->name) == 0 : !strcmp(type, wish->type);
        found = is && take(wish, binary);
    }
    json_decref(object);
    return found;
}

static int is_description(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static bool look_in(const struct wish *wish, const char *folder)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, is_description, alphasort);
    bool found = false;

    for (int i = 0; i < count; i++) {
        char file[4096];
        const int length = snprintf(file, sizeof(file), "%s/%s", folder, entries[i]->d_name);
        found = found || (length < (int)sizeof(file) && fits(wish, file));
        free(entries[i]);
    }
    free(entries);
    return found;
}

static bool look_in_path(const struct wish *wish)
{
    for (const char *search = getenv("PATH"); search && *search;) {
        const size_t step = strcspn(search, ":");
        char file[4096];
        const int length = snprintf(file, sizeof(file), "%.*s/%s", (int)step, search, wish->name);
        if (step && length < (int)sizeof(file) && take(wish, file))
            return true;
        search += step + (search[step] == ':');
    }
    return false;
}

int bh_backend_find(const char *type, const char *name, char *path, size_t size)
{
    const struct wish wish = {type, name, path, size};
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char own[4096] = "";

    if (name && strchr(name, '/'))
        return take(&wish, name) ? BH_OK : BH_ERR_NOENT;
    if (config || home)
        snprintf(own, sizeof(own), "%s%s/qemu/vhost-user", config ? config : home, config ? "" : "/.config");
    if ((own[0] && look_in(&wish, own)) || look_in(&wish, "/etc/qemu/vhost-user") ||
        look_in(&wish, "/usr/share/qemu/vhost-user") || (name && look_in_path(&wish)))
        return BH_OK;
    return BH_ERR_NOENT;
}
