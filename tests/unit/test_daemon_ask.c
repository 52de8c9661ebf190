/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's questions to device processes: each is answered once, in time, whatever the process does: its
 * socket is in the test's hands, which answers, stays silent, goes away or talks nonsense.
 */
#include "daemon/ask.h"
#include "daemon/client.h"
#include "daemon/system.h"

#include <bulkhead/impl/unix_socket.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEVICES = 3, ROUNDS_MAX = 1000 };

struct bed {
    char folder[64];
    struct system system;
    struct bh_plan plan;
    struct bh_plan_domain domain;
    struct bh_plan_device devices[DEVICES];
    struct unit units[DEVICES];
    struct bh_unit_live live[DEVICES];
    json_t *answer;
    char why[96];
    unsigned answers;
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    strcpy(bed->folder, "/tmp/bh-u.XXXXXX");
    assert_non_null(mkdtemp(bed->folder));
    assert_int_equal(chdir(bed->folder), 0); /* the daemon works in its run directory */
    assert_int_equal(bh_loop_create(&bed->system.loop), BH_OK);
    bed->domain.name = (char *)"a";
    bed->plan = (struct bh_plan){.name = (char *)"system",
                                 .domains = &bed->domain,
                                 .domain_count = 1,
                                 .devices = bed->devices,
                                 .device_count = DEVICES};
    bed->system.plan = &bed->plan;
    bed->system.units = bed->units;
    bed->system.live = bed->live;
    bed->system.table.unit_count = DEVICES;
    for (int i = 0; i < DEVICES; i++) {
        struct unit *unit = &bed->units[i];
        char path[sizeof(unit->name) + 4];
        bed->devices[i].class_name = (char *)"rng";
        *unit = (struct unit){
            .system = &bed->system, .index = (uint16_t)i, .plan_index = (uint32_t)i, .process.pid = 1};
        snprintf(unit->name, sizeof(unit->name), "a.d%d", i);
        snprintf(path, sizeof(path), "%s.ctl", unit->name);
        unit->control_fd = bh_unix_listen(path, SOCK_STREAM, 4, 0);
        assert_true(unit->control_fd >= 0);
    }
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    for (int i = 0; i < DEVICES; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s.ctl", bed->units[i].name);
        unlink(name);
        close(bed->units[i].control_fd);
    }
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(bed->folder), 0);
    json_decref(bed->answer);
    bh_loop_destroy(bed->system.loop);
    free(bed);
    return 0;
}

static void answered(void *owner, json_t *answer, const char *why)
{
    struct bed *bed = owner;
    json_decref(bed->answer);
    bed->answer = answer;
    snprintf(bed->why, sizeof(bed->why), "%s", why ? why : "");
    bed->answers++;
}

static void reported(void *owner, json_t *report)
{
    answered(owner, report, NULL);
}

/* Take the connection that waits at the device; what it was asked. */
static int take(struct unit *unit, const char *question)
{
    char line[256] = "";
    const int fd = accept(unit->control_fd, NULL, NULL);
    assert_true(fd >= 0);
    assert_true(recv(fd, line, sizeof(line) - 1, 0) > 0);
    assert_non_null(strstr(line, question));
    assert_int_equal(line[strlen(line) - 1], '\n');
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void run_until_answered(struct bed *bed)
{
    for (int i = 0; i < ROUNDS_MAX && !bed->answers; i++)
        bh_loop_step(bed->system.loop, 10);
    assert_int_equal(bed->answers, 1);
    bh_loop_step(bed->system.loop, 0);
    assert_int_equal(bed->answers, 1);
}

static void ask(struct bed *bed, unsigned device)
{
    bed->answers = 0;
    assert_non_null(ask_device(&bed->units[device], json_pack("{s:s}", "op", "info"), BH_CONTROL_ANSWER_MAX,
                               answered, bed));
    assert_int_equal(bed->answers, 0); /* never from within */
}

static void answer_comes_in_pieces_and_is_the_process_own(void **state)
{
    struct bed *bed = *state;
    ask(bed, 0);
    const int fd = take(&bed->units[0], "\"op\":\"info\"");
    say(fd, "{\"v\":1,\"ok\":fal");
    bh_loop_step(bed->system.loop, 10);
    assert_int_equal(bed->answers, 0);
    say(fd, "se,\"error\":\"not now\"}\nmore");
    run_until_answered(bed);
    assert_string_equal(json_string_value(json_object_get(bed->answer, "error")), "not now");
    close(fd);
}

static void process_that_is_not_there_silent_or_mad_has_a_reason_instead(void **state)
{
    struct bed *bed = *state;
    static char flood[64 * 1024];
    memset(flood, '[', sizeof(flood) - 1);
    bed->units[0].process.pid = 0;
    ask(bed, 0);
    run_until_answered(bed);
    assert_string_equal(bed->why, "it does not run");
    bed->units[0].process.pid = 1;

    ask(bed, 0);
    close(take(&bed->units[0], "info"));
    run_until_answered(bed);
    assert_string_equal(bed->why, "it went away");

    static const char *const nonsense[] = {"\n", "{}\n", "{\"ok\":1}\n", "[true]\n",
                                           "{\"ok\":true,\"ok\":true}\n"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        ask(bed, 0);
        const int fd = take(&bed->units[0], "info");
        say(fd, nonsense[i]);
        run_until_answered(bed);
        assert_null(bed->answer);
        assert_string_equal(bed->why, "what it answers is no answer");
        close(fd);
    }

    ask(bed, 0);
    int fd = take(&bed->units[0], "info");
    for (int i = 0; i < 8 && !bed->answers; i++) {
        assert_true(send(fd, flood, sizeof(flood) - 1, MSG_NOSIGNAL) > 0);
        for (int round = 0; round < 64; round++)
            bh_loop_step(bed->system.loop, 0);
    }
    run_until_answered(bed);
    assert_string_equal(bed->why, "its answer is too long");
    close(fd);

    ask(bed, 0);
    fd = take(&bed->units[0], "info");
    run_until_answered(bed);
    assert_string_equal(bed->why, "it does not answer in time");
    close(fd);
}

static void question_is_let_go_of(void **state)
{
    struct bed *bed = *state;
    struct ask *one = ask_device(&bed->units[0], json_object(), BH_CONTROL_ANSWER_MAX, answered, bed);
    const int fd = take(&bed->units[0], "\"v\":1");
    say(fd, "{\"ok\":true}\n");
    ask_cancel(one);
    bed->units[1].process.pid = 0;
    ask_cancel(ask_device(&bed->units[1], json_object(), BH_CONTROL_ANSWER_MAX, answered, bed));
    stats_cancel(stats_gather(&bed->system, NULL, reported, bed));
    bh_loop_step(bed->system.loop, 10);
    assert_int_equal(bed->answers, 0);
    close(fd);
}

static void report_has_each_device_or_why_not(void **state)
{
    struct bed *bed = *state;
    bed->units[2].process.pid = 0;
    assert_non_null(stats_gather(&bed->system, NULL, reported, bed));
    const int one = take(&bed->units[0], "counters"), two = take(&bed->units[1], "counters");
    say(two, "{\"v\":1,\"ok\":false,\"error\":\"no\"}\n");
    say(one, "{\"v\":1,\"ok\":true,\"queues\":[7]}\n");
    run_until_answered(bed);
    char *text = json_dumps(bed->answer, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(
        text, "{\"devices\":["
              "{\"class\":\"rng\",\"counters\":{\"queues\":[7]},\"domain\":\"a\",\"name\":\"a.d0\",\"state\":"
              "\"waiting\"},"
              "{\"class\":\"rng\",\"domain\":\"a\",\"error\":\"no\",\"name\":\"a.d1\",\"state\":\"waiting\"},"
              "{\"class\":\"rng\",\"domain\":\"a\",\"error\":\"it does not "
              "run\",\"name\":\"a.d2\",\"state\":\"waiting\"}],"
              "\"system\":\"system\",\"units\":["
              "{\"kind\":\"device\",\"name\":\"a.d0\",\"ready\":false,\"restarts\":0},"
              "{\"kind\":\"device\",\"name\":\"a.d1\",\"ready\":false,\"restarts\":0},"
              "{\"kind\":\"device\",\"name\":\"a.d2\",\"ready\":false,\"restarts\":0}]}");
    free(text);
    close(one);
    close(two);
}

/* One that says much has no more than its share of a report, and the others theirs. */
static void report_leaves_out_who_says_too_much(void **state)
{
    struct bed *bed = *state;
    static char text[BH_CONTROL_ANSWER_MAX / 2 / DEVICES + 16];
    int fds[DEVICES];
    assert_non_null(stats_gather(&bed->system, NULL, reported, bed));
    for (int i = 0; i < DEVICES; i++)
        fds[i] = take(&bed->units[i], "counters");
    memset(text, ' ', sizeof(text) - 1);
    say(fds[0], "{\"ok\":true,\"much\":1");
    say(fds[0], text);
    for (int i = 1; i < DEVICES; i++) {
        text[sizeof(text) - 64] = 0;
        say(fds[i], text);
        say(fds[i], "{\"ok\":true,\"n\":1}\n");
    }
    run_until_answered(bed);
    const json_t *devices = json_object_get(bed->answer, "devices");
    assert_string_equal(json_string_value(json_object_get(json_array_get(devices, 0), "error")),
                        "its answer is too long");
    for (int i = 1; i < DEVICES; i++)
        assert_non_null(json_object_get(json_array_get(devices, (size_t)i), "counters"));
    for (int i = 0; i < DEVICES; i++)
        close(fds[i]);
}

static void report_of_one_device_asks_no_other(void **state)
{
    struct bed *bed = *state;
    assert_non_null(stats_gather(&bed->system, "a/d1", reported, bed));
    const int fd = take(&bed->units[1], "counters");
    say(fd, "{\"ok\":true}\n");
    run_until_answered(bed);
    assert_int_equal(json_array_size(json_object_get(bed->answer, "devices")), 1);
    assert_int_equal(json_array_size(json_object_get(bed->answer, "units")), 1);
    close(fd);
}

/* Taps alone plug into it: there is no device process. */
static void report_is_of_a_switch_alone(void **state)
{
    struct bed *bed = *state;
    bed->plan.device_count = 0;
    bed->plan.switch_count = 1;
    bed->system.table.unit_count = 1;
    bed->units[0].kind = UNIT_SWITCH;
    assert_non_null(stats_gather(&bed->system, NULL, reported, bed));
    const int fd = take(&bed->units[0], "counters");
    say(fd, "{\"ok\":true,\"ports\":[]}\n");
    run_until_answered(bed);
    const json_t *device = json_array_get(json_object_get(bed->answer, "devices"), 0);
    assert_string_equal(json_string_value(json_object_get(device, "class")), "switch");
    assert_non_null(json_object_get(device, "counters"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answer_comes_in_pieces_and_is_the_process_own, setup, teardown),
        cmocka_unit_test_setup_teardown(process_that_is_not_there_silent_or_mad_has_a_reason_instead, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(question_is_let_go_of, setup, teardown),
        cmocka_unit_test_setup_teardown(report_has_each_device_or_why_not, setup, teardown),
        cmocka_unit_test_setup_teardown(report_leaves_out_who_says_too_much, setup, teardown),
        cmocka_unit_test_setup_teardown(report_of_one_device_asks_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(report_is_of_a_switch_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
