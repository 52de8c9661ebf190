/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-switch: an Ethernet switch as a process of its own. Each port is a link, whose other end is a net's device
 * process, or a tap. docs/switch.md is its page. What it calls has its tags in devices/net and ports/linux.
 */
#include "devices/net/switch.h"
#include "devices/net/capture.h"
#include "devices/net/ports.h"
#include "programs/device.h"

#include <bulkhead/impl/accept.h>
#include <bulkhead/impl/notify.h>
#include <bulkhead/impl/sandbox.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };
enum { STAT_BYTES = 65536, BACKLOG = 4 };

struct switch_values {
    struct bh_option_list ports;
    uint64_t age_s, mtu, capture_limit;
    char *capture, *stat;
    bool sandbox, help;
};
#define AT(member) offsetof(struct switch_values, member)

static const struct bh_option options[] = {
    {.name = "port",
     .type = BH_OPT_LIST,
     .offset = AT(ports),
     .arg = "link:PATH|tap:NAME[,vlan=N][,trunk=N+N...][,rate=N]",
     .help = "A port: its VLAN without a tag, its VLANs with one, bytes a second that it may send (K, M, G)"},
    {.name = "age",
     .type = BH_OPT_UINT,
     .offset = AT(age_s),
     .def = "300",
     .unit = "s",
     .min = 1,
     .max = 1000000,
     .help = "Forget addresses that were not seen for so long"},
    {.name = "mtu",
     .type = BH_OPT_UINT,
     .offset = AT(mtu),
     .def = "1500",
     .unit = "bytes",
     .min = 576,
     .max = 65500,
     .help = "Largest packet"},
    {.name = "capture",
     .type = BH_OPT_PATH,
     .offset = AT(capture),
     .help = "Write all frames that come in to this file, as pcap"},
    {.name = "capture-limit",
     .type = BH_OPT_SIZE,
     .offset = AT(capture_limit),
     .def = "64M",
     .help = "Size of that file at most"},
    {.name = "stat",
     .type = BH_OPT_PATH,
     .offset = AT(stat),
     .help = "Unix socket: whoever connects is told the ports' counters, as JSON"},
    {.name = "sandbox",
     .type = BH_OPT_BOOL,
     .offset = AT(sandbox),
     .def = "on",
     .help = "Give up what is not needed before the first frame; off is for debugging"},
    {.name = "help", .type = BH_OPT_BOOL, .offset = AT(help), .help = "Print this and exit"},
    {.name = NULL},
};

struct port {
    struct bh_switch_port port;
    char *text; /* "link:PATH", as given */
    bool is_tap;
};

struct process {
    struct switch_values values;
    struct bh_loop *loop;
    struct bh_switch sw;
    struct port ports[BH_SWITCH_PORTS_MAX];
    unsigned port_count;
    struct bh_capture capture;
    struct bh_loop_fd stat; /* fd -1: none */
    struct bh_accept accept;
    struct bh_loop_signal term, interrupt;
};

/* --- ports ------------------------------------------------------------------------------------------------- */

static bool read_vlan(const char *text, char **end, unsigned *vlan)
{
    const unsigned long number = strtoul(text, end, 10);
    *vlan = (unsigned)number;
    return *end != text && number >= 1 && number <= 4094;
}

static bool read_trunk(const char *text, struct bh_switch_port *port)
{
    char *end;
    unsigned vlan;

    do {
        if (!read_vlan(text, &end, &vlan))
            return false;
        bh_switch_trunk(port, vlan);
        text = end + 1;
    } while (*end == '+');
    return *end == '\0';
}

static bool read_rate(const char *text, uint64_t *rate)
{
    static const char units[] = "KMG";
    char *end;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;

    *rate = number;
    for (const char *u = units; unit && u <= unit; u++)
        *rate *= 1000u;
    return end != text && number >= 1 && number <= 1000000000u && (!*end || (unit && !end[1]));
}

static bool read_word(struct bh_switch_port *port, const char *word)
{
    char *end;
    unsigned vlan;

    if (!strncmp(word, "vlan=", 5) && read_vlan(word + 5, &end, &vlan) && !*end) {
        port->vlan = (uint16_t)vlan;
        return true;
    }
    if (!strncmp(word, "trunk=", 6))
        return read_trunk(word + 6, port);
    return !strncmp(word, "rate=", 5) && read_rate(word + 5, &port->rate);
}

static int open_port(struct process *process, struct port *port)
{
    const uint32_t mtu = (uint32_t)process->values.mtu;
    const struct bh_port_tap_setup tap = {.name = port->text + 4, .pair_count = 1, .mtu = mtu};

    port->is_tap = !strncmp(port->text, "tap:", 4);
    if (port->is_tap)
        return bh_port_tap_create(process->loop, &tap, NULL, &port->port.port);
    if (!strncmp(port->text, "link:", 5))
        return bh_port_link_create(process->loop, port->text + 5, -1, mtu, NULL, &port->port.port);
    bh_error(NULL, NULL, "it begins with link: or tap:", "port: cannot read \"%s\"", port->text);
    return BH_ERR_INVAL;
}

static int add_port(struct process *process, const char *text)
{
    struct port *port = &process->ports[process->port_count];
    char *rest, *word;
    int err;

    if (process->port_count == BH_SWITCH_PORTS_MAX) {
        bh_error(NULL, NULL, NULL, "a switch has %u ports at most", BH_SWITCH_PORTS_MAX);
        return BH_ERR_RANGE;
    }
    port->text = rest = strdup(text);
    if (!rest)
        return BH_ERR_NOMEM;
    port->port.vlan = 1;
    (void)strsep(&rest, ",");
    while ((word = strsep(&rest, ","))) {
        if (!read_word(&port->port, word)) {
            bh_error(NULL, NULL, "words are vlan=N, trunk=N+N..., rate=N with K, M or G; VLANs are 1 to 4094",
                     "port: cannot read \"%s\" of \"%s\"", word, text);
            free(port->text);
            return BH_ERR_INVAL;
        }
    }
    err = open_port(process, port);
    if (!err)
        err = bh_switch_add(&process->sw, &port->port);
    if (err)
        free(port->text);
    else
        process->port_count++;
    return err;
}

static void close_ports(struct process *process)
{
    bh_switch_fini(&process->sw);
    for (unsigned i = 0; i < process->port_count; i++) {
        struct port *port = &process->ports[i];
        if (port->is_tap)
            bh_port_tap_destroy(port->port.port);
        else
            bh_port_link_destroy(port->port.port);
        free(port->text);
    }
}

static void capture_frame(struct bh_switch *sw, const struct bh_net_arrival *arrival)
{
    const struct bh_seg seg = {(void *)(uintptr_t)arrival->bytes, arrival->len};
    bh_capture_frame(sw->owner, &seg, 1, arrival->len);
}

/* --- counters ---------------------------------------------------------------------------------------------- */

#define COUNTER(member)                                                                                      \
    {                                                                                                        \
#member, offsetof(struct bh_switch_counters, member)                                                 \
    }
static const struct {
    const char *name;
    size_t offset;
} counters[] = {COUNTER(frames_in), COUNTER(bytes_in),   COUNTER(frames_out), COUNTER(bytes_out),
                COUNTER(flooded),   COUNTER(wrong_vlan), COUNTER(malformed),  COUNTER(full),
                COUNTER(waited),    COUNTER(slowed),     COUNTER(moved),      COUNTER(not_learned)};

static size_t spell(const struct process *process, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "{\"v\": 1, \"ports\": [");

    for (unsigned i = 0; i < process->port_count && used < size; i++) {
        const struct bh_switch_port *port = &process->ports[i].port;
        used +=
            (size_t)snprintf(text + used, size - used, "%s{\"index\": %u, \"link_up\": %s, \"addresses\": %u",
                             i ? ", " : "", i, port->port->link_up ? "true" : "false", port->addresses);
        for (size_t k = 0; k < BH_COUNT(counters) && used < size; k++) {
            uint64_t value;
            memcpy(&value, (const char *)&port->counters + counters[k].offset, sizeof(value));
            used += (size_t)snprintf(text + used, size - used, ", \"%s\": %llu", counters[k].name,
                                     (unsigned long long)value);
        }
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "}");
    }
    if (used < size)
        used += (size_t)snprintf(text + used, size - used, "]}\n");
    return used < size ? used : 0;
}

static void asked(struct bh_loop_fd *watch, uint32_t events)
{
    static char text[STAT_BYTES];
    struct process *process = BH_LOOP_OWNER(watch, struct process, stat);
    const int fd = bh_accept(&process->accept, watch, NULL, "stat");

    if (fd < 0)
        return;
    (void)!send(fd, text, spell(process, text, sizeof(text)), MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void terminated(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    struct process *process = source->signo == SIGTERM ? BH_LOOP_OWNER(source, struct process, term)
                                                       : BH_LOOP_OWNER(source, struct process, interrupt);
    bh_loop_stop(process->loop, EXIT_OK);
}

static int confine(const struct process *process)
{
    struct bh_sandbox sandbox = {.syscalls = bh_program_syscalls};

    if (!process->values.sandbox)
        return BH_OK;
    for (unsigned i = 0; i < process->port_count; i++) {
        if (!process->ports[i].is_tap)
            bh_sandbox_folder(&sandbox, process->ports[i].text + 5);
    }
    bh_sandbox_folder(&sandbox, process->values.stat);
    return bh_sandbox_enter(&sandbox, NULL);
}

static int open_all(struct process *process)
{
    int fd, err = BH_OK;

    for (size_t i = 0; i < process->values.ports.count && !err; i++)
        err = add_port(process, process->values.ports.items[i]);
    if (!err && process->values.capture) {
        err =
            bh_capture_open(&process->capture, process->values.capture, process->values.capture_limit, NULL);
        process->sw.tap = capture_frame;
        process->sw.owner = &process->capture;
    }
    if (!err && process->values.stat) {
        fd = bh_unix_listen(process->values.stat, SOCK_STREAM | SOCK_NONBLOCK, BACKLOG,
                            BH_UNIX_REPLACE_STALE | BH_UNIX_OURS_ALONE);
        err = fd < 0 ? bh_unix_complain(process->values.stat, errno, NULL, NULL)
                     : bh_loop_fd_add(process->loop, &process->stat, fd, BH_LOOP_READ, asked);
    }
    if (!err)
        err = bh_loop_signal_add(process->loop, &process->term, SIGTERM, terminated);
    if (!err)
        err = bh_loop_signal_add(process->loop, &process->interrupt, SIGINT, terminated);
    return err;
}

static int serve(struct process *process)
{
    uint32_t secret;
    int status = EXIT_FAILED;

    if (getrandom(&secret, sizeof(secret), 0) != (ssize_t)sizeof(secret) || bh_loop_create(&process->loop)) {
        bh_error(NULL, NULL, NULL, "no event loop: too many open files?");
        return EXIT_FAILED;
    }
    process->capture.fd = process->stat.fd = -1;
    bh_switch_init(&process->sw, process->loop, (uint32_t)process->values.age_s, secret);
    if (!open_all(process) && !confine(process)) {
        (void)bh_notify("READY=1");
        status = bh_loop_run(process->loop);
    }
    bh_loop_signal_remove(&process->term);
    bh_loop_signal_remove(&process->interrupt);
    bh_accept_cancel(&process->accept);
    bh_loop_fd_remove(&process->stat);
    if (process->stat.fd >= 0) {
        (void)unlink(process->values.stat);
        close(process->stat.fd);
    }
    close_ports(process);
    bh_capture_close(&process->capture);
    bh_loop_destroy(process->loop);
    return status;
}

int main(int argc, char **argv)
{
    static struct process process;
    const struct bh_option_set sets[] = {{options, &process.values, NULL}, {NULL, NULL, NULL}};
    struct bh_diag_text text;
    int next, status = EXIT_USAGE;

    bh_diag_text_init(&text, STDERR_FILENO, "bulkhead-switch");
    bh_diag_set_default(&text.sink);
    (void)signal(SIGPIPE, SIG_IGN);
    if (bh_options_init(options, &process.values))
        return EXIT_FAILED;
    if (bh_options_parse(sets, argc, argv, &next, NULL) == BH_OK) {
        if (process.values.help) {
            dprintf(STDOUT_FILENO, "usage: bulkhead-switch --port=... --port=... [--option=value...]\n\n");
            bh_options_help(sets, STDOUT_FILENO);
            status = EXIT_OK;
        } else if (next < argc || process.values.ports.count < 2) {
            bh_error(NULL, NULL, "give --port= twice or more; --help tells more", "a switch needs two ports");
        } else {
            status = serve(&process);
        }
    }
    bh_options_fini(options, &process.values);
    bh_diag_set_default(NULL);
    return status;
}
