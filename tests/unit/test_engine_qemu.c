/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU engine without a QEMU: the command line that a plan becomes, and the QMP client against a peer that the
 * test plays, friendly and not.
 */
#include "engines/qemu/qemu.h"
#include "engines/qemu/qmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the command line -------------------------------------------------------------------------------------- */

static struct bh_plan_option mac[] = {{(char[]){"mac"}, (char[]){"02:00:00:00:00:01"}}};
static struct bh_plan_device devices[] = {
    {.class_name = (char[]){"blk"},
     .virtio_id = 2,
     .socket = (char[]){"a.disk,1.sock"},
     .pci_slot = 1,
     .link = BH_PLAN_NONE},
    {.class_name = (char[]){"console"},
     .virtio_id = 3,
     .socket = (char[]){"a.con.sock"},
     .pci_slot = 2,
     .link = BH_PLAN_NONE},
    {.class_name = (char[]){"net"},
     .virtio_id = 1,
     .socket = (char[]){"a.net.sock"},
     .pci_slot = 30,
     .link = BH_PLAN_NONE,
     .options = mac,
     .option_count = 1},
    {.class_name = (char[]){"rng"},
     .virtio_id = 4,
     .socket = (char[]){"a.rng.sock"},
     .pci_slot = 31,
     .link = BH_PLAN_NONE},
};
static struct bh_plan_domain domain = {.name = (char[]){"a"},
                                       .cpu_count = 2,
                                       .memory_size = 256u << 20,
                                       .kernel = (char[]){"/k/Image"},
                                       .ramdisk = (char[]){"/k/rd"},
                                       .bootargs = (char[]){"console=ttyAMA0 x=1,2"},
                                       .device_count = 4};
static const struct bh_plan plan = {
    .domains = &domain, .domain_count = 1, .devices = devices, .device_count = 4};

static size_t count_words(char **argv, const char *word)
{
    size_t count = 0;
    for (char **at = argv; *at; at++)
        count += strcmp(*at, word) == 0;
    return count;
}

/* The word behind `option` that begins with `start`. */
static const char *value_of(char **argv, const char *option, const char *start)
{
    for (char **at = argv; at[0] && at[1]; at++)
        if (!strcmp(at[0], option) && !strncmp(at[1], start, strlen(start)))
            return at[1];
    return "";
}

static void command_line_has_our_devices_and_no_others(void **state)
{
    const struct bh_qemu qemu = {.program = (char[]){"/q/qemu"}, .test_device = true, .net_vectors = true};
    char **argv;
    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_string_equal(argv[0], "/q/qemu");
    assert_int_equal(count_words(argv, "-nodefaults"), 1);
    assert_int_equal(count_words(argv, "-no-user-config"), 1);
    assert_int_equal(count_words(argv, "-device"), 4);
    assert_int_equal(count_words(argv, "-drive"), 0);
    assert_int_equal(count_words(argv, "-netdev"), 1);
    assert_string_equal(value_of(argv, "-object", "memory"),
                        "memory-backend-memfd,id=ram,size=268435456,share=on");
    assert_string_equal(value_of(argv, "-m", ""), "256");
    assert_string_equal(value_of(argv, "-smp", ""), "2");
    assert_string_equal(value_of(argv, "-append", ""), "console=ttyAMA0 x=1,2");
    assert_string_equal(value_of(argv, "-chardev", "socket,id=dev0"), "socket,id=dev0,path=a.disk,,1.sock");
    assert_string_equal(value_of(argv, "-chardev", "socket,id=qmp"), "socket,id=qmp,fd=3");
    assert_string_equal(value_of(argv, "-device", "vhost-user-blk"),
                        "vhost-user-blk-pci,chardev=dev0,id=d0,bus=pcie.0,addr=0x1");
    assert_string_equal(value_of(argv, "-device", "vhost-user-test"),
                        "vhost-user-test-device-pci,chardev=dev1,id=d1,bus=pcie.0,addr=0x2,virtio-id=3,num_"
                        "vqs=2,config_size=12");
    assert_string_equal(
        value_of(argv, "-device", "virtio-net"),
        "virtio-net-pci,netdev=net2,id=d2,bus=pcie.0,addr=0x1e,romfile=,mac=02:00:00:00:00:01");
    assert_string_equal(value_of(argv, "-device", "vhost-user-rng"),
                        "vhost-user-rng-pci,chardev=dev3,id=d3,bus=pcie.0,addr=0x1f");
    bh_qemu_argv_free(argv);
}

static void console_gets_queues_for_all_its_ports(void **state)
{
    const struct bh_qemu qemu = {.program = (char[]){"/q/qemu"}, .test_device = true, .net_vectors = true};
    struct bh_plan_option named[] = {{(char[]){"named-port"}, (char[]){"a"}},
                                     {(char[]){"named-port"}, (char[]){"b"}},
                                     {(char[]){"ports-max"}, (char[]){"4"}}};
    struct bh_plan_device *console = &plan.devices[1];
    const struct bh_plan_device former = *console;
    char **argv;

    console->options = named;
    console->option_count = 2;
    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_non_null(strstr(value_of(argv, "-device", "vhost-user-test"), ",num_vqs=8,"));
    bh_qemu_argv_free(argv);
    console->option_count = 3;
    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_non_null(strstr(value_of(argv, "-device", "vhost-user-test"), ",num_vqs=10,"));
    bh_qemu_argv_free(argv);
    *console = former;
}

static void net_gets_as_many_queues_as_its_backend(void **state)
{
    const struct bh_qemu qemu = {.program = (char[]){"/q/qemu"}, .test_device = true, .net_vectors = true};
    const struct bh_qemu old = {.program = (char[]){"qemu"}};
    struct bh_plan_option four[] = {{(char[]){"queue-pairs"}, (char[]){"4"}}};
    struct bh_plan_device *net = &plan.devices[2];
    const struct bh_plan_device former = *net;
    char **argv;

    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_string_equal(value_of(argv, "-netdev", "vhost-user"), "vhost-user,id=net2,chardev=dev2,queues=1");
    bh_qemu_argv_free(argv);
    net->options = four;
    net->option_count = 1;
    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_string_equal(value_of(argv, "-netdev", "vhost-user"), "vhost-user,id=net2,chardev=dev2,queues=4");
    assert_non_null(strstr(value_of(argv, "-device", "virtio-net"), ",mq=on"));
    bh_qemu_argv_free(argv);
    assert_int_equal(bh_qemu_argv(&old, &plan, 0, 3, &argv), BH_OK);
    assert_string_equal(value_of(argv, "-netdev", "vhost-user"), "vhost-user,id=net2,chardev=dev2,queues=4");
    bh_qemu_argv_free(argv);
    *net = former;
}

static void net_of_an_old_qemu_gets_no_vectors(void **state)
{
    const struct bh_qemu qemu = {.program = (char[]){"qemu"}};
    char **argv;
    assert_int_equal(bh_qemu_argv(&qemu, &plan, 0, 3, &argv), BH_OK);
    assert_non_null(strstr(value_of(argv, "-device", "virtio-net"), ",vectors=0"));
    bh_qemu_argv_free(argv);
}

/* --- QMP --------------------------------------------------------------------------------------------------- */

struct peer {
    struct bh_qmp qmp;
    struct bh_loop *loop;
    int fd;
    int ready, resets, guest_resets, errors;
    char reason[32];
    bool quits; /* the client ends itself at its first event */
};

static void on_event(struct bh_qmp *qmp, const char *name, const char *reason, bool guest)
{
    struct peer *peer = BH_LOOP_OWNER(qmp, struct peer, qmp);
    if (!name)
        peer->ready++;
    else if (!strcmp(name, "RESET"))
        guest ? peer->guest_resets++ : peer->resets++;
    if (reason)
        snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
    if (name && peer->quits)
        bh_qmp_fini(qmp);
}

static void on_error(struct bh_qmp *qmp, const char *what)
{
    BH_LOOP_OWNER(qmp, struct peer, qmp)->errors++;
}

static void peer_open(struct peer *peer)
{
    int ends[2];
    *peer = (struct peer){0};
    assert_int_equal(bh_loop_create(&peer->loop), BH_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer->fd = ends[0];
    assert_int_equal(bh_qmp_init(&peer->qmp, peer->loop, ends[1], on_event, on_error), BH_OK);
}

static void say(struct peer *peer, const char *text)
{
    assert_int_equal(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    while (bh_loop_step(peer->loop, 0) > 0)
        ;
}

static void heard(struct peer *peer, const char *text)
{
    char got[256] = "";
    assert_true(recv(peer->fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(got, text);
}

static void peer_close(struct peer *peer)
{
    bh_qmp_fini(&peer->qmp);
    close(peer->fd);
    bh_loop_destroy(peer->loop);
}

static void qmp_negotiates_and_tells_of_events(void **state)
{
    struct peer peer;
    peer_open(&peer);
    say(&peer, "{\"QMP\": {\"version\": {}, \"capab");
    say(&peer, "ilities\": []}}\r\n");
    heard(&peer, "{\"execute\":\"qmp_capabilities\"}\n");
    assert_int_equal(peer.ready, 0);
    say(&peer, "{\"return\": {}}\n{\"return\": {}}\n");
    assert_int_equal(peer.ready, 1);
    say(&peer, "{\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n"
               "{\"event\": \"RESET\", \"data\": {\"guest\": false}}\n");
    assert_int_equal(peer.guest_resets, 1);
    assert_int_equal(peer.resets, 1);
    assert_string_equal(peer.reason, "guest-reset");
    say(&peer, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n");
    assert_int_equal(peer.errors, 1);
    assert_int_equal(bh_qmp_send(&peer.qmp, "chardev-send-break", "{\"id\":\"early\"}"), BH_OK);
    heard(&peer, "{\"execute\":\"chardev-send-break\",\"arguments\":{\"id\":\"early\"}}\n");
    peer_close(&peer);
}

static void qmp_survives_what_makes_no_sense(void **state)
{
    static const char *const nonsense[] = {"\n",
                                           "[]\n",
                                           "{\"event\": 7}\n",
                                           "{\"event\": \"RESET\", \"data\": 1}\n",
                                           "nul\n",
                                           "{\"a\":1,\"a\":2}\n",
                                           "\xff\xfe\n",
                                           "{\"error\": \"x\"}\n"};
    struct peer peer;
    peer_open(&peer);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        say(&peer, nonsense[i]);
    assert_int_equal(peer.resets, 1);
    assert_int_equal(peer.errors, 6);
    char *line = malloc(BH_QMP_LINE_MAX + 1); /* a line that never ends */
    assert_non_null(line);
    memset(line, '{', BH_QMP_LINE_MAX);
    line[BH_QMP_LINE_MAX] = 0;
    say(&peer, line);
    assert_int_equal(peer.errors, 7);
    say(&peer, "{\"event\": \"RESET\"}\n");
    assert_int_equal(peer.resets, 2);
    free(line);
    peer_close(&peer);
}

static void qmp_that_floods_is_not_told_of_each_time(void **state)
{
    struct peer peer;
    peer_open(&peer);
    for (unsigned i = 0; i < 500; i++)
        say(&peer, "{\"error\": {\"desc\": \"no\"}}\n");
    assert_in_range(peer.errors, 1, 20);
    say(&peer, "{\"event\": \"RESET\"}\n"); /* and is heard */
    assert_int_equal(peer.resets, 1);
    peer_close(&peer);
}

static void qmp_may_be_ended_from_its_own_event(void **state)
{
    struct peer peer;
    peer_open(&peer);
    peer.quits = true;
    say(&peer, "{\"event\": \"RESET\"}\n{\"event\": \"RESET\"}\n");
    assert_int_equal(peer.resets, 1);
    assert_int_equal(bh_qmp_send(&peer.qmp, "quit", NULL), BH_ERR_CLOSED);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_line_has_our_devices_and_no_others),
        cmocka_unit_test(console_gets_queues_for_all_its_ports),
        cmocka_unit_test(net_gets_as_many_queues_as_its_backend),
        cmocka_unit_test(net_of_an_old_qemu_gets_no_vectors),
        cmocka_unit_test(qmp_negotiates_and_tells_of_events),
        cmocka_unit_test(qmp_survives_what_makes_no_sense),
        cmocka_unit_test(qmp_that_floods_is_not_told_of_each_time),
        cmocka_unit_test(qmp_may_be_ended_from_its_own_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
