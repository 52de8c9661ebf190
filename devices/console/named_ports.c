/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named ports: a terminal on a socket each, without a log.
 *
 * #syscalls socket bind listen connect fchmod
 */
#include "devices/console/named_ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bh_named_port {
    struct bh_terminal terminal;
    struct bh_end_socket socket;
    char *name;
    char *path;
};

static const char path_mark[] = ",path=";

const char *bh_named_port_path(const char *text)
{
    const char *mark = strstr(text, path_mark);

    return mark ? mark + sizeof(path_mark) - 1 : NULL;
}

static size_t name_length(const char *text)
{
    return strcspn(text, ",");
}

/* Letters that need no escaping in a shell, a path or a udev rule. */
static bool is_name(const char *text, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return len > 0 && len <= BH_CONSOLE_NAME_MAX && strspn(text, letters) >= len && text[0] != '.';
}

int bh_named_port_check(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    const size_t len = name_length(text);
    const char *path = bh_named_port_path(text);

    if (!is_name(text, len)) {
        bh_error(sink, where, "use letters, digits, '.', '_' and '-', as in org.qemu.guest_agent.0",
                 "\"%.*s\" cannot be a port's name", (int)(len < 64 ? len : 64), text);
        return BH_ERR_INVAL;
    }
    if (text[len] != '\0' && (path != text + len + sizeof(path_mark) - 1 || path[0] == '\0')) {
        bh_error(sink, where, "say NAME or NAME,path=SOCKET", "\"%s\" is no named port", text);
        return BH_ERR_INVAL;
    }
    return BH_OK;
}

static void free_port(struct bh_named_port *port)
{
    free(port->name);
    free(port->path);
    free(port);
}

static struct bh_named_port *new_port(const struct bh_named_ports *list, const char *text)
{
    struct bh_named_port *port = calloc(1, sizeof(*port));
    const char *path = bh_named_port_path(text);

    if (!port)
        return NULL;
    port->name = strndup(text, name_length(text));
    if (path)
        port->path = strdup(path);
    else if (port->name && asprintf(&port->path, "%s/%s", list->folder, port->name) < 0)
        port->path = NULL;
    if (!port->name || !port->path) {
        free_port(port);
        return NULL;
    }
    return port;
}

static unsigned find(const struct bh_named_ports *list, const char *name, size_t len)
{
    unsigned i = 0;

    while (i < list->count &&
           (strlen(list->ports[i]->name) != len || memcmp(list->ports[i]->name, name, len) != 0))
        i++;
    return i;
}

/* What can be known before anything is made. */
static int may_add(const struct bh_named_ports *list, const char *text, struct bh_diag_sink *sink)
{
    const size_t len = name_length(text);
    int err = bh_named_port_check(text, sink, NULL);

    if (err)
        return err;
    if (find(list, text, len) < list->count) {
        bh_error(sink, NULL, "give each port a name of its own", "there is a port %.*s already", (int)len,
                 text);
        return BH_ERR_EXIST;
    }
    if (!bh_named_port_path(text) && !list->folder) {
        bh_error(sink, NULL, "say NAME,path=SOCKET, or --ports-folder=DIR at the start",
                 "port %s has no socket", text);
        return BH_ERR_INVAL;
    }
    if (list->count + 1 >= list->console->ports_max) {
        bh_error(sink, NULL, "start the device with a larger --ports-max=", "it has %u ports, and no more",
                 list->console->ports_max);
        return BH_ERR_NOMEM;
    }
    return BH_OK;
}

int bh_named_ports_add(struct bh_named_ports *list, const char *text, struct bh_diag_sink *sink)
{
    struct bh_named_port *port;
    int err = may_add(list, text, sink);

    if (err)
        return err;
    port = new_port(list, text);
    if (!port)
        return BH_ERR_NOMEM;
    bh_terminal_init(&port->terminal, list->loop, NULL);
    err = bh_end_socket_start(&port->socket, &port->terminal, port->path, -1, sink);
    if (err)
        goto forget;
    port->socket.sink = list->sink; /* `sink` may be a question's */
    err = bh_console_add_port(list->console, &port->terminal.port, port->name);
    if (err < 0)
        goto stop;
    list->ports[list->count++] = port;
    return BH_OK;

stop:
    bh_end_socket_stop(&port->socket);
forget:
    bh_terminal_fini(&port->terminal);
    free_port(port);
    return err;
}

static void drop(struct bh_named_ports *list, unsigned index)
{
    struct bh_named_port *port = list->ports[index];

    list->ports[index] = list->ports[--list->count];
    bh_console_remove_port(list->console, &port->terminal.port);
    bh_end_socket_stop(&port->socket);
    bh_terminal_fini(&port->terminal);
    free_port(port);
}

int bh_named_ports_remove(struct bh_named_ports *list, const char *name, struct bh_diag_sink *sink)
{
    const unsigned index = find(list, name, strlen(name));

    if (index == list->count) {
        bh_error(sink, NULL, NULL, "there is no port %s", name);
        return BH_ERR_NOENT;
    }
    drop(list, index);
    return BH_OK;
}

void bh_named_ports_fini(struct bh_named_ports *list)
{
    while (list->count > 0)
        drop(list, list->count - 1);
}
