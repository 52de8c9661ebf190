/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-switch: an Ethernet switch as a process of its own. Each port is a link, whose other end is a net's device
 * process, or a tap. docs/switch.md is its page. What it calls has its tags in devices/net and ports/linux.
 */
#include "devices/net/capture.h"
#include "devices/net/ports.h"
#include "devices/net/switch_options.h"
#include "programs/device.h"
#include "programs/device_control.h"
#include "programs/witness.h"

#include <bulkhead/impl/exit_status.h>
#include <bulkhead/impl/notify.h>
#include <bulkhead/impl/sandbox.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { BACKLOG = 4 };

struct port {
    struct bh_switch_port port;
    struct bh_switch_place place;
    bool is_tap;
};

struct process {
    struct bh_hosted hosted; /* for the control socket: there is no virtio device */
    struct bh_device_process_values own;
    struct bh_switch_values values;
    struct bh_loop *loop;
    struct bh_switch sw;
    struct port ports[BH_SWITCH_PORTS_MAX];
    unsigned port_count;
    struct bh_capture capture;
    struct bh_control_subject subject;
    struct bh_control_socket *control;
    struct bh_loop_signal term, interrupt;
    struct bh_witness witness;
};

/* --- ports ------------------------------------------------------------------------------------------------- */

static int open_port(struct process *process, struct port *port)
{
    const uint32_t mtu = (uint32_t)process->values.mtu;
    const char *place = port->place.place;
    const struct bh_port_tap_setup tap = {.name = place + 4, .pair_count = 1, .mtu = mtu};

    port->is_tap = !strncmp(place, "tap:", 4);
    if (port->is_tap)
        return bh_port_tap_create(process->loop, &tap, NULL, &port->port.port);
    return bh_port_link_create(process->loop, place + 5, -1, mtu, NULL, &port->port.port);
}

static int add_port(struct process *process, const char *text)
{
    struct port *port = &process->ports[process->port_count];
    int err;

    if (process->port_count == BH_SWITCH_PORTS_MAX) {
        bh_error(NULL, NULL, NULL, "a switch has %u ports at most", BH_SWITCH_PORTS_MAX);
        return BH_ERR_RANGE;
    }
    err = bh_switch_place_read(&port->place, text, NULL, NULL);
    if (!err) {
        bh_switch_words_apply(&port->place.words, &port->port);
        err = open_port(process, port);
    }
    if (!err)
        err = bh_switch_add(&process->sw, &port->port);
    if (err)
        bh_switch_place_fini(&port->place);
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
        bh_switch_place_fini(&port->place);
    }
}

static void capture_frame(struct bh_switch *sw, const struct bh_net_arrival *arrival)
{
    const struct process *process = BH_CONTAINER(sw, struct process, sw);
    const struct bh_seg seg = {(void *)(uintptr_t)arrival->bytes, arrival->len};
    bh_capture_frame((struct bh_capture *)(uintptr_t)&process->capture, &seg, 1, arrival->len);
}

static void say_status(struct bh_switch *sw)
{
    unsigned up = 0;

    for (unsigned i = 0; i < sw->port_count; i++)
        up += sw->ports[i]->port->link_up;
    (void)bh_notify("STATUS=%u of %u ports are up", up, sw->port_count);
}

/* --- the control socket ------------------------------------------------------------------------------------ */

#define COUNTER(member)                                                                                      \
    {                                                                                                        \
#member, offsetof(struct bh_switch_counters, member)                                                 \
    }
static const struct {
    const char *name;
    size_t offset;
} counters[] = {COUNTER(frames_in),  COUNTER(bytes_in),   COUNTER(frames_out),  COUNTER(bytes_out),
                COUNTER(flooded),    COUNTER(wrong_vlan), COUNTER(foreign_mac), COUNTER(malformed),
                COUNTER(full),       COUNTER(waited),     COUNTER(slowed),      COUNTER(moved),
                COUNTER(not_learned)};

static json_t *new_port(const struct process *process, unsigned index)
{
    const struct port *port = &process->ports[index];
    const char *name = port->place.words.name ? port->place.words.name : port->place.place;

    return json_pack("{s:i, s:s+, s:s}", "index", (int)index, "name", name, "", "place", port->place.place);
}

static int tell_counters(struct bh_hosted *hosted, json_t *answer)
{
    const struct process *process = BH_CONTAINER(hosted, struct process, hosted);
    json_t *ports = json_array();

    for (unsigned i = 0; i < process->port_count; i++) {
        json_t *port = new_port(process, i);
        for (size_t k = 0; k < BH_COUNT(counters); k++) {
            uint64_t value;
            memcpy(&value, (const char *)&process->ports[i].port.counters + counters[k].offset,
                   sizeof(value));
            json_object_set_new(port, counters[k].name, json_integer((json_int_t)value));
        }
        json_array_append_new(ports, port);
    }
    json_object_set_new(answer, "ports", ports);
    return BH_OK;
}

static json_t *vlans(const struct bh_switch_port *port)
{
    json_t *array = json_array();

    for (unsigned vlan = 1; vlan < BH_SWITCH_VLANS; vlan++)
        if (port->trunk[vlan / 32u] >> vlan % 32u & 1u)
            json_array_append_new(array, json_integer(vlan));
    return array;
}

static json_t *own_macs(const struct bh_switch_port *port)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < port->mac_count; i++) {
        const uint8_t *mac = port->macs[i];
        json_array_append_new(array, json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                                                  mac[3], mac[4], mac[5]));
    }
    return array;
}

static int tell_status(struct bh_hosted *hosted, json_t *answer)
{
    const struct process *process = BH_CONTAINER(hosted, struct process, hosted);
    json_t *ports = json_array();

    for (unsigned i = 0; i < process->port_count; i++) {
        const struct bh_switch_port *of = &process->ports[i].port;
        json_t *port = new_port(process, i);
        json_object_set_new(port, "link_up", json_boolean(of->port->link_up));
        json_object_set_new(port, "addresses", json_integer(of->addresses));
        json_object_set_new(port, "vlan", json_integer(of->vlan));
        json_object_set_new(port, "trunk", vlans(of));
        json_object_set_new(port, "rate", json_integer((json_int_t)of->rate));
        json_object_set_new(port, "mac", own_macs(of));
        json_array_append_new(ports, port);
    }
    json_object_set_new(answer, "ports", ports);
    return BH_OK;
}

static const struct bh_control_teller teller = {tell_status, tell_counters};

static int run_capture(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    return bh_capture_set(&BH_CONTAINER(hosted, struct process, hosted)->capture, values, sink);
}

static const struct bh_class_verb verbs[] = {
    {.name = "capture",
     .summary = "pause the capture, or go on with it",
     .arguments = bh_capture_arguments,
     .values_size = sizeof(struct bh_capture_values),
     .run = run_capture},
    {.name = NULL},
};
static const struct bh_hosted_class switch_class = {
    .name = "switch",
    .summary = "a switch that nets and taps plug into",
    .options = bh_switch_options,
    .values_size = sizeof(struct bh_switch_values),
    .verbs = verbs,
};

static int open_control(struct process *process)
{
    const char *path = process->own.control;
    const int fd = path ? bh_unix_listen(path, SOCK_STREAM | SOCK_NONBLOCK, BACKLOG,
                                         BH_UNIX_REPLACE_STALE | BH_UNIX_OURS_ALONE)
                        : (int)process->own.control_fd;

    if (fd < 0)
        return bh_unix_complain(path, errno, NULL, NULL);
    if (fd == 0)
        return BH_OK;
    const int err = bh_control_open(process->loop, fd, &process->subject, &process->control);
    if (err)
        bh_error(NULL, NULL, "it must be a Unix stream socket that listens",
                 "nobody can be served on the control socket: %s", bh_err_text(err));
    return err;
}

/* --- life -------------------------------------------------------------------------------------------------- */

static void terminated(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    struct process *process = source->signo == SIGTERM ? BH_LOOP_OWNER(source, struct process, term)
                                                       : BH_LOOP_OWNER(source, struct process, interrupt);
    bh_loop_stop(process->loop, BH_DEVICE_EXIT_OK);
}

static int confine(const struct process *process)
{
    struct bh_sandbox sandbox = {.syscalls = bh_program_syscalls,
                                 .required = process->own.sandbox == BH_DEVICE_SANDBOX_REQUIRED};

    if (process->own.sandbox == BH_DEVICE_SANDBOX_OFF) {
        bh_warn(NULL, NULL, "for debugging only: what a guest breaks has the host before it",
                "the sandbox is off");
        return BH_OK;
    }
    for (unsigned i = 0; i < process->port_count; i++) {
        if (!process->ports[i].is_tap)
            bh_sandbox_folder(&sandbox, process->ports[i].place.place + 5);
    }
    bh_sandbox_folder(&sandbox, process->own.control);
    bh_sandbox_path(&sandbox, getenv("NOTIFY_SOCKET"), false);
    return bh_sandbox_enter(&sandbox, NULL);
}

static int open_all(struct process *process)
{
    int err = BH_OK;

    for (size_t i = 0; i < process->values.ports.count && !err; i++)
        err = add_port(process, process->values.ports.items[i]);
    if (!err && process->values.capture) {
        err =
            bh_capture_open(&process->capture, process->values.capture, process->values.capture_limit, NULL);
        process->sw.tap = capture_frame;
    }
    if (!err)
        err = open_control(process);
    if (!err)
        err = bh_loop_signal_add(process->loop, &process->term, SIGTERM, terminated);
    if (!err)
        err = bh_loop_signal_add(process->loop, &process->interrupt, SIGINT, terminated);
    return err;
}

static int serve(struct process *process)
{
    uint32_t secret;
    int status;

    if (getrandom(&secret, sizeof(secret), 0) != (ssize_t)sizeof(secret) || bh_loop_create(&process->loop)) {
        bh_error(NULL, NULL, NULL, "no event loop: too many open files?");
        return BH_DEVICE_EXIT_FAILED;
    }
    process->capture.fd = -1;
    bh_switch_init(&process->sw, process->loop, (uint32_t)process->values.age_s, secret);
    process->sw.link_changed = say_status;
    int err = open_all(process);
    if (!err)
        err = confine(process);
    status = bh_device_exit_of(err);
    if (!err) {
        bh_witness_serves(&process->witness);
        say_status(&process->sw);
        (void)bh_notify("READY=1");
        status = bh_loop_run(process->loop);
    }
    bh_loop_signal_remove(&process->term);
    bh_loop_signal_remove(&process->interrupt);
    if (process->control && process->own.control)
        (void)unlink(process->own.control);
    bh_control_close(process->control);
    close_ports(process);
    bh_capture_close(&process->capture);
    bh_loop_destroy(process->loop);
    return status;
}

static void show_help(const struct bh_option_set *sets)
{
    dprintf(STDOUT_FILENO, "usage: bulkhead-switch --port=... --port=... [--option=value...]\n\n");
    bh_options_help(sets, STDOUT_FILENO);
    dprintf(STDOUT_FILENO, "\nWords of a port:\n");
    bh_option_words_help(bh_switch_words, STDOUT_FILENO);
}

int main(int argc, char **argv)
{
    static struct process process;
    const struct bh_option_set sets[] = {{bh_switch_process_options, &process.own, "Process"},
                                         {bh_switch_options, &process.values, "Switch"},
                                         {NULL, NULL, NULL}};
    struct bh_diag_text text;
    int next, status = BH_DEVICE_EXIT_USAGE;

    process.hosted.class = &switch_class;
    process.subject = (struct bh_control_subject){
        .hosted = &process.hosted, .teller = &teller, .options = sets, .version = BULKHEAD_VERSION};
    bh_diag_text_init(&text, STDERR_FILENO, "bulkhead-switch");
    bh_witness_begin(&process.witness, &text.sink);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE fails alone */
    (void)signal(SIGPIPE, SIG_IGN);
    if (bh_options_init(bh_switch_process_options, &process.own) ||
        bh_options_init(bh_switch_options, &process.values))
        return BH_DEVICE_EXIT_FAILED;
    if (bh_options_parse(sets, argc, argv, &next, NULL) == BH_OK) {
        if (process.own.help) {
            show_help(sets);
            status = BH_DEVICE_EXIT_OK;
        } else if (process.own.version) {
            dprintf(STDOUT_FILENO, "bulkhead-switch %s\n", BULKHEAD_VERSION);
            status = BH_DEVICE_EXIT_OK;
        } else if (next < argc || process.values.ports.count < 2) {
            bh_error(NULL, NULL, "give --port= twice or more; --help tells more", "a switch needs two ports");
        } else {
            status = serve(&process);
        }
    }
    bh_options_fini(bh_switch_process_options, &process.own);
    bh_options_fini(bh_switch_options, &process.values);
    bh_witness_end(&process.witness);
    return status;
}
