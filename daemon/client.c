/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol's client. See client.h.
 */
#include "daemon/client.h"
#include "daemon/run_dir.h"

#include <bulkhead/impl/text.h>
#include <bulkhead/impl/unix_socket.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_ROOM = 64 * 1024, PROTOCOL_VERSION = 1, SYSTEMS_MAX = 64, PLAIN_MAX = 1024 };

int bh_client_take(struct bh_client *client, int fd)
{
    *client = (struct bh_client){.fd = fd, .line = malloc(FIRST_ROOM), .room = FIRST_ROOM};
    return client->line ? BH_OK : BH_ERR_NOMEM;
}

void bh_client_close(struct bh_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->line);
    client->line = NULL;
}

/* A socket whose daemon was killed refuses: such a directory is no running system. */
static int connect_to(const char *base, const char *system)
{
    char path[BH_RUN_PATH_MAX + BH_SYSTEM_NAME_MAX + sizeof("//control.sock")];
    snprintf(path, sizeof(path), "%s/%s/control.sock", base, system);
    return bh_unix_connect(path, SOCK_STREAM);
}

/*
 * Where systems run. The usual place may be in /tmp: one that is not ours alone has whatever daemons others put there. A
 * place that was named is the user's choice. BH_ERR_ACCESS; BH_ERR_RANGE; BH_ERR_INVAL.
 */
static int find_base(const char *run_dir, char *base, size_t size)
{
    struct stat file;
    const int err = bh_run_base(run_dir, base, size);
    if (err || run_dir || lstat(base, &file))
        return err;
    return S_ISDIR(file.st_mode) && file.st_uid == geteuid() && !(file.st_mode & 022) ? BH_OK : BH_ERR_ACCESS;
}

bool bh_client_runs(const char *run_dir, const char *system)
{
    char base[BH_RUN_PATH_MAX];
    const int fd = find_base(run_dir, base, sizeof(base)) ? -1 : connect_to(base, system);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

size_t bh_client_systems(const char *run_dir, char (*names)[BH_SYSTEM_NAME_MAX], size_t room)
{
    char base[BH_RUN_PATH_MAX];
    size_t count = 0;
    struct dirent *entry;
    DIR *list = find_base(run_dir, base, sizeof(base)) ? NULL : opendir(base);
    while (list && count < room && (entry = readdir(list))) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= BH_SYSTEM_NAME_MAX)
            continue;
        const int fd = connect_to(base, entry->d_name);
        if (fd < 0)
            continue;
        close(fd);
        memcpy(names[count++], entry->d_name, strlen(entry->d_name) + 1);
    }
    if (list)
        closedir(list);
    return count;
}

int bh_client_connect(struct bh_client *client, const char *run_dir, const char *system,
                      struct bh_diag_sink *sink)
{
    char names[SYSTEMS_MAX][BH_SYSTEM_NAME_MAX], base[BH_RUN_PATH_MAX];
    client->fd = -1;
    client->line = NULL;
    int err = find_base(run_dir, base, sizeof(base));
    if (err == BH_ERR_ACCESS) {
        const struct bh_diag_where where = {.file = base};
        bh_error(sink, &where, "name another place by --run-dir=",
                 "the directory belongs to somebody else, or others may write to it");
        return err;
    }
    if (!system) {
        const size_t count = bh_client_systems(run_dir, names, SYSTEMS_MAX);
        if (!count) {
            bh_error(sink, NULL, "`bulkhead up FILE` starts one", "no system is running");
            return BH_ERR_NOENT;
        }
        if (count > 1) {
            bh_error(sink, NULL, "name one by --system=", "several systems are running: %s, %s%s", names[0],
                     names[1], count > 2 ? ", ..." : "");
            return BH_ERR_INVAL;
        }
        system = names[0];
    }
    const int fd = err ? -1 : connect_to(base, system);
    if (fd < 0) {
        bh_error(sink, NULL, "`bulkhead ps` shows what runs", "no system \"%s\" is running", system);
        return BH_ERR_NOENT;
    }
    err = bh_client_take(client, fd);
    if (err)
        bh_client_close(client);
    return err;
}

int bh_client_send(struct bh_client *client, const char *op, json_t *request)
{
    json_t *message = request ? request : json_object();
    json_object_set_new(message, "v", json_integer(PROTOCOL_VERSION));
    json_object_set_new(message, "op", json_string(op));
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (!text)
        return BH_ERR_NOMEM;
    const size_t length = strlen(text);
    text[length] = '\n';
    const ssize_t sent = send(client->fd, text, length + 1, MSG_NOSIGNAL);
    free(text);
    return sent == (ssize_t)length + 1 ? BH_OK : BH_ERR_CLOSED;
}

/* BH_OK: a line was taken; BH_ERR_AGAIN: there is no whole one yet. */
static int take_line(struct bh_client *client, json_t **message)
{
    char *end = memchr(client->line, '\n', client->length);
    if (!end)
        return BH_ERR_AGAIN;
    const size_t length = (size_t)(end - client->line) + 1;
    *message = json_loadb(client->line, length, 0, NULL);
    memmove(client->line, client->line + length, client->length - length);
    client->length -= length;
    return *message ? BH_OK : BH_ERR_PROTO;
}

static int make_room(struct bh_client *client)
{
    if (client->length < client->room)
        return BH_OK;
    if (client->room >= BH_CONTROL_ANSWER_MAX)
        return BH_ERR_PROTO;
    char *line = realloc(client->line, client->room * 2);
    if (!line)
        return BH_ERR_NOMEM;
    client->line = line;
    client->room *= 2;
    return BH_OK;
}

int bh_client_read(struct bh_client *client, int timeout_ms, json_t **message)
{
    for (;;) {
        struct pollfd waiting = {client->fd, POLLIN, 0};
        int err = take_line(client, message);
        if (err != BH_ERR_AGAIN)
            return err;
        err = make_room(client);
        if (err)
            return err;
        const int found = poll(&waiting, 1, timeout_ms);
        if (found <= 0)
            return found == 0 ? BH_ERR_TIMEOUT : errno == EINTR ? BH_ERR_CANCELLED : BH_ERR_IO;
        const ssize_t got = recv(client->fd, client->line + client->length, client->room - client->length, 0);
        if (got <= 0)
            return BH_ERR_CLOSED;
        client->length += (size_t)got;
    }
}

/* What an answer's "kind" means here. */
static int refusal(const char *kind)
{
    if (kind && (!strcmp(kind, "unknown-name") || !strcmp(kind, "not-running")))
        return BH_ERR_NOENT;
    return kind && !strcmp(kind, "arguments") ? BH_ERR_RANGE : BH_ERR_INVAL;
}

/* A device process's words may be in it, which a guest took over: no control characters on a terminal. */
static const char *plain(const char *text, char kept[PLAIN_MAX])
{
    snprintf(kept, PLAIN_MAX, "%s", text);
    bh_text_clean(kept, strlen(kept));
    return kept;
}

static void say_refusal(const json_t *message, struct bh_diag_sink *sink)
{
    const char *why = json_string_value(json_object_get(message, "error"));
    const char *hint = json_string_value(json_object_get(message, "hint"));
    char text[PLAIN_MAX], help[PLAIN_MAX];
    bh_error(sink, NULL, hint ? plain(hint, help) : NULL, "%s",
             plain(why ? why : "the daemon refused", text));
}

int bh_client_ask(struct bh_client *client, const char *op, json_t *request, struct bh_diag_sink *sink,
                  json_t **answer)
{
    int err = bh_client_send(client, op, request);
    json_t *message = NULL;
    while (!err) {
        err = bh_client_read(client, -1, &message);
        if (err == BH_ERR_CANCELLED)
            err = BH_OK;
        else if (!err && json_object_get(message, "ok"))
            break;
        else if (!err)
            json_decref(message);
        message = err ? NULL : message;
    }
    if (err && err != BH_ERR_CLOSED)
        bh_error(sink, NULL, NULL, "the system's daemon does not answer: %s", bh_err_text(err));
    if (err)
        return err;
    if (!json_is_true(json_object_get(message, "ok"))) {
        say_refusal(message, sink);
        err = refusal(json_string_value(json_object_get(message, "kind")));
        json_decref(message);
        return err;
    }
    *answer = message;
    return BH_OK;
}
