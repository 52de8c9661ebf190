/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan itself: what the planner decides, its JSON there and back, blobs that are damaged in every way, and a
 * large system in good time. Its argument is the folder of trees.
 */
#include "plan/tree.h"
#include "tests/unit/plan_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct bh_plan *plan_of(const char *file)
{
    struct bh_plan *plan = NULL;
    int err = BH_OK;
    char *said = plan_rig_run(file, &err, &plan);

    assert_string_equal(said, "");
    assert_int_equal(err, BH_OK);
    assert_non_null(plan);
    free(said);
    return plan;
}

static void planner_places_what_is_left_open(void **state)
{
    struct bh_plan *plan = plan_of("good.dts");
    const struct bh_plan_device *net = &plan->devices[5];

    assert_string_equal(plan->name, "base");
    assert_int_equal(plan->domain_count, 2);
    assert_int_equal(plan->device_count, 6);
    assert_int_equal(plan->domains[1].memory[0].host, 0x50000000);
    assert_int_equal(plan->domains[1].memory[0].guest, 0x40000000);
    assert_int_equal(plan->domains[1].cpu_count, 1);
    assert_int_equal(plan->domains[0].ready.console, 1); /* its first console */
    assert_int_equal(plan->domains[1].ready.kind, BH_PLAN_READY_STARTED);
    assert_int_equal(plan->domains[0].line, 0); /* it stands in base.dtsi, which the plan does not name */
    assert_string_equal(net->socket, "b.net.sock");
    assert_int_equal(net->pci_slot, 3);
    assert_int_equal(strncmp(bh_plan_option_value(net, "mac"), "02:", 3),
                     0); /* made up, locally administered */
    assert_string_equal(bh_plan_option_value(&plan->devices[3], "blk-file"), "/state/b.img");
    assert_string_equal(bh_plan_option_value(&plan->devices[3], "features"), "-packed,-28");
    assert_int_equal(plan->create_count, 1);
    assert_string_equal(plan->creates[0].path, "/state/b.img");
    assert_int_equal(plan->creates[0].size, 1 << 20);
    assert_int_equal(plan->links[0].device[0], 2);
    assert_int_equal(plan->links[0].device[1], 5);
    assert_int_equal(net->link, 0);
    bh_plan_free(plan);
}

static void sockets_beside_the_engine_s_get_a_folder_of_their_device_s_own(void **state)
{
    struct bh_plan *plan = plan_of("good-vsock.dts");
    const struct bh_plan_device *a = &plan->devices[bh_plan_device_find(plan, 0, "vsock")];
    const struct bh_plan_device *b = &plan->devices[bh_plan_device_find(plan, 1, "vsock")];

    assert_string_equal(a->folder, "vsock/a.vsock");
    assert_string_equal(bh_plan_option_value(a, "host-path"), "vsock/a.vsock/host");
    assert_string_equal(bh_plan_option_value(a, "sibling-dir"), "vsock");
    assert_string_equal(bh_plan_option_value(b, "host-path"), "/run/b/vsock");
    assert_string_equal(bh_plan_option_value(b, "sibling-dir"), "vsock");
    assert_null(plan->devices[0].folder);
    bh_plan_free(plan);
}

static void nets_at_a_switch_have_ports_that_are_held_to_their_addresses(void **state)
{
    struct bh_plan *plan = plan_of("good-switch.dts");
    const struct bh_plan_switch *lan = &plan->switches[0];

    assert_int_equal(plan->switch_count, 1);
    assert_string_equal(lan->name, "lan");
    assert_int_equal(lan->restart, BH_PLAN_RESTART_ALWAYS);
    assert_int_equal(lan->option_count, 2);
    assert_string_equal(lan->options[1].value, "tap:up0,trunk=10+20");
    assert_int_equal(lan->port_count, 3);
    assert_string_equal(lan->ports[0].words, "name=a.lan,mac=02:00:00:00:00:0B,vlan=10");
    assert_string_equal(lan->ports[1].words, "name=b.lan,vlan=20,mac=any");
    assert_int_equal(strncmp(lan->ports[2].words, "name=b.lan-2,mac=02:", 20), 0); /* one that was made up */
    assert_string_equal(lan->ports[2].socket, "b.lan-2.link");
    assert_string_equal(bh_plan_meeting(plan, lan->ports[2].device), "b.lan-2.link");
    assert_string_equal(bh_plan_meeting(plan, 2), "cable.link");
    assert_null(bh_plan_meeting(plan, 0));
    bh_plan_free(plan);
}

static void comes_back_from_json(const char *tree)
{
    struct bh_plan *plan = plan_of(tree), *again = NULL, *other = plan_of(tree);
    char *text = NULL, *second = NULL, *third = NULL;

    assert_int_equal(bh_plan_to_json(plan, &text), BH_OK);
    assert_int_equal(bh_plan_from_json(text, strlen(text), "plan.json", NULL, &again), BH_OK);
    assert_int_equal(bh_plan_to_json(again, &second), BH_OK);
    assert_string_equal(text, second);
    assert_int_equal(again->domains[1].memory_size, plan->domains[1].memory_size);
    assert_int_equal(again->domains[1].device_first, plan->domains[1].device_first);
    assert_int_equal(bh_plan_to_json(other, &third), BH_OK);
    assert_string_equal(text, third); /* the same description, the same plan, made-up addresses and all */
    bh_plan_free(plan);
    bh_plan_free(again);
    bh_plan_free(other);
    free(text);
    free(second);
    free(third);
}

static void a_plan_comes_back_from_json_as_it_was(void **state)
{
    comes_back_from_json("good.dts");
    comes_back_from_json("good-switch.dts");
    comes_back_from_json("good-vsock.dts");
}

/* Keeps the last message. */
struct keep {
    struct bh_diag_sink sink;
    char what[400];
};

static void keep_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct keep *keep = (struct keep *)(void *)sink;

    snprintf(keep->what, sizeof(keep->what), "%s", diag->what);
}

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *copy = calloc(1, strlen(text) + strlen(to) + 1);

    assert_non_null(at);
    assert_non_null(copy);
    memcpy(copy, text, (size_t)(at - text));
    strcat(copy, to);
    strcat(copy, at + strlen(from));
    return copy;
}

/* Something that a sound plan's JSON has, what it is replaced by, and what reading the whole must end with. */
struct breakage {
    const char *from, *to;
    int err;
};

static void must_refuse(const char *tree, const struct breakage *cases, size_t count)
{
    struct bh_plan *plan = plan_of(tree), *none = NULL;
    char *text = NULL;

    assert_int_equal(bh_plan_to_json(plan, &text), BH_OK);
    for (size_t i = 0; i < count; i++) {
        struct keep keep = {.sink.emit = keep_emit};
        char *broken = replaced(text, cases[i].from, cases[i].to);
        int err = bh_plan_from_json(broken, strlen(broken), "plan.json", &keep.sink, &none);

        if (err != cases[i].err || keep.sink.error_count != 1)
            print_error("case %zu, \"%s\": %d, %s\n", i, cases[i].to, err, keep.what);
        assert_int_equal(err, cases[i].err);
        assert_int_equal(keep.sink.error_count, 1);
        assert_null(none);
        free(broken);
    }
    bh_plan_free(plan);
    free(text);
}

static void a_json_that_breaks_a_promise_is_refused(void **state)
{
    static const struct breakage cases[] = {
        {"{", "", BH_ERR_SYNTAX},
        {"\"bulkhead-plan\": 2", "\"bulkhead-plan\": 1", BH_ERR_UNSUPPORTED},
        {"\"bulkhead-plan\": 2", "\"bulkhead-plan\": \"2\"", BH_ERR_SYNTAX},
        {"\"bulkhead-plan\": 2", "\"bulkhead-plan\": 2, \"more\": 1", BH_ERR_SYNTAX},
        {"\"name\": \"base\"", "\"name\": \"../base\"", BH_ERR_SYNTAX},
        {"\"arch\": \"arm64\"", "\"arch\": \"vax\"", BH_ERR_SYNTAX},
        {"\"guest\": \"0x40000000\"", "\"guest\": \"0x40000001\"", BH_ERR_SYNTAX},
        {"\"guest\": \"0x40000000\"", "\"guest\": \"1073741824\"", BH_ERR_SYNTAX},
        {"\"size\": \"0x10000000\"", "\"size\": \"0xfffffffff0000000\"", BH_ERR_SYNTAX},
        {"\"mask\": 1", "\"mask\": 0", BH_ERR_SYNTAX},
        {"\"mask\": 1", "\"mask\": -1", BH_ERR_SYNTAX},
        {"\"socket\": \"a.disk.sock\"", "\"socket\": \"/etc/passwd\"", BH_ERR_SYNTAX},
        {"\"pci-slot\": 2", "\"pci-slot\": 1", BH_ERR_SYNTAX},
        {"\"pci-slot\": 2", "\"pci-slot\": 32", BH_ERR_SYNTAX},
        {"\"name\": \"blk-file\"", "\"name\": \"-blk file\"", BH_ERR_SYNTAX},
        {"\"link\": \"cable\"", "\"link\": \"rope\"", BH_ERR_SYNTAX},
        {"\"a/net\"", "\"a/disk\"", BH_ERR_SYNTAX},
        {"\"a/net\"", "\"b/net\"", BH_ERR_SYNTAX},
        {"\"after\": []", "\"after\": [\"b\"]", BH_ERR_SYNTAX}, /* b would start after it */
        {"\"after\": []", "\"after\": [\"z\"]", BH_ERR_SYNTAX},
        {"\"console\": \"console\"", "\"console\": \"disk\", \"x\": 1", BH_ERR_SYNTAX},
        {"\"kind\": \"started\"", "\"kind\": \"console\"", BH_ERR_SYNTAX},
        {"\"timeout-ms\": 60000", "\"timeout-ms\": 0", BH_ERR_SYNTAX},
        {"\"id\": 2", "\"id\": 1", BH_ERR_SYNTAX},
        {"\"path\": \"/state", "\"path\": \"state", BH_ERR_SYNTAX},
        {"\"kernel\": \"/", "\"kernel\": \"", BH_ERR_SYNTAX},
        {"    \"a\",\n    \"b\"\n", "    \"a\",\n    \"a\"\n", BH_ERR_SYNTAX},
        {"    \"a\",\n    \"b\"\n", "    \"a\"\n", BH_ERR_SYNTAX},
    };
    must_refuse("good.dts", cases, sizeof(cases) / sizeof(*cases));
}

static void a_json_with_a_wrong_switch_is_refused(void **state)
{
    static const struct breakage cases[] = {
        {"\"name\": \"lan\",\n      \"node\": \"/domains/lan\"",
         "\"name\": \"a\",\n      \"node\": \"/domains/lan\"", BH_ERR_SYNTAX},
        {"\"switch\": \"lan\"", "\"switch\": \"wan\"", BH_ERR_SYNTAX},
        {"\"switch\": \"lan\"", "\"switch\": \"lan\", \"link\": \"cable\"", BH_ERR_SYNTAX},
        {"\"switch\": \"lan\",", "", BH_ERR_SYNTAX},
        {"\"device\": \"b/lan\"", "\"device\": \"a/lan\"", BH_ERR_SYNTAX},
        {"\"device\": \"b/lan\"", "\"device\": \"b/net\"", BH_ERR_SYNTAX},
        {"\"device\": \"b/lan\"", "\"device\": \"b/wan\"", BH_ERR_SYNTAX},
        {"\"socket\": \"b.lan.link\"", "\"socket\": \"../b.lan.link\"", BH_ERR_SYNTAX},
        {"\"words\": \"name=b.lan-2,", "\"word\": \"name=b.lan-2,", BH_ERR_SYNTAX},
        {"\"name\": \"mtu\"", "\"name\": \"-mtu\"", BH_ERR_SYNTAX},
        {"\"limit\": 5", "\"limit\": 0", BH_ERR_SYNTAX},
        {"\"policy\": \"always\"", "\"policy\": \"sometimes\"", BH_ERR_SYNTAX},
    };

    must_refuse("good-switch.dts", cases, sizeof(cases) / sizeof(*cases));
}

static void a_json_whose_folder_is_another_s_is_refused(void **state)
{
    static const struct breakage cases[] = {
        {"\"folder\": \"vsock/a.vsock\"", "\"folder\": \"vsock/b.vsock\"", BH_ERR_SYNTAX},
        {"\"folder\": \"vsock/a.vsock\"", "\"folder\": \"vsock/../..\"", BH_ERR_SYNTAX},
        {"\"terminal\": \"daemon\"", "\"terminal\": \"mine\"", BH_ERR_SYNTAX},
    };
    must_refuse("good-vsock.dts", cases, sizeof(cases) / sizeof(*cases));
}

/* The blob of good.dts. */
static uint8_t *good_blob(size_t *size)
{
    struct bh_report report;
    char *annotated = NULL;
    void *blob = NULL;

    bh_report_init(&report);
    assert_int_equal(bh_dtc_run("good.dts", &report, &blob, size, &annotated), BH_OK);
    bh_report_fini(&report);
    free(annotated);
    return blob;
}

static int read_blob(const void *data, size_t size, struct keep *keep)
{
    struct bh_tree tree = {0};
    struct bh_report report;
    int err;

    bh_report_init(&report);
    err = bh_tree_from_blob(&tree, "x.dtb", data, size, &report);
    assert_true(err == BH_OK || err == BH_ERR_SYNTAX);
    assert_true((err != BH_OK) <= (report.sink.error_count != 0));
    bh_report_flush(&report, &keep->sink);
    bh_report_fini(&report);
    bh_tree_fini(&tree);
    return err;
}

static void a_truncated_blob_is_refused_at_every_length(void **state)
{
    size_t size = 0;
    uint8_t *blob = good_blob(&size);

    for (size_t length = 0; length < size; length++) {
        struct keep keep = {.sink.emit = keep_emit};
        uint8_t *part = malloc(length + 1); /* so that a sanitizer sees a read behind it */

        memcpy(part, blob, length);
        assert_int_equal(read_blob(part, length, &keep), BH_ERR_SYNTAX);
        assert_non_null(strstr(keep.what, length < 40 ? "too few for its header" : "truncated"));
        free(part);
    }
    free(blob);
}

static void a_blob_with_any_byte_changed_does_no_harm(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t size = 0, refused = 0;
    uint8_t *blob = good_blob(&size);

    for (size_t at = 0; at < size; at++) {
        uint8_t was = blob[at];

        for (size_t i = 0; i < sizeof(values); i++) {
            struct keep keep = {.sink.emit = keep_emit};

            blob[at] = values[i];
            refused += read_blob(blob, size, &keep) != BH_OK;
        }
        blob[at] = was;
    }
    assert_true(refused > 100);
    free(blob);
}

static void errors_in_a_blob_name_the_node(void **state)
{
    char name[] = "/tmp/bulkhead-plan-XXXXXX";
    size_t size = 0;
    uint8_t *blob = good_blob(&size), *at = NULL;
    struct bh_plan *plan = NULL;
    int fd = mkstemp(name), err = BH_OK;
    char *said;

    for (size_t i = 0; at == NULL && i + 8 < size; i++)
        at = memcmp(blob + i, "02:00:00", 8) == 0 ? blob + i : NULL;
    assert_non_null(at);
    at[1] = 'x';
    assert_true(fd >= 0 && write(fd, blob, size) == (ssize_t)size);
    close(fd);
    said = plan_rig_run(name, &err, &plan);
    assert_int_equal(err, BH_ERR_INVAL);
    assert_non_null(strstr(said, ": /domains/a/net: error: mac: "));
    assert_null(plan);
    unlink(name);
    free(said);
    free(blob);
}

/* `count` domains, each with a disk, a console and a net; each pair linked, each waiting for the one before it. */
static void write_large(FILE *file, unsigned count, const char *folder)
{
    fprintf(
        file,
        "/dts-v1/;\n/ {\n#address-cells = <2>;\n#size-cells = <2>;\nmemory@0 {\ndevice_type = \"memory\";\n"
        "reg = <0x0 0x0 0x80 0x0>;\n};\n");
    for (unsigned c = 0; c * 32 < count; c++) {
        fprintf(
            file,
            "c%u: cluster-%u {\ncompatible = \"cpus,cluster\";\n#address-cells = <1>;\n#size-cells = <0>;\n",
            c, c);
        for (unsigned i = 0; i < 32; i++)
            fprintf(file, "cpu@%x {\ncompatible = \"arm,cortex-a76\";\nreg = <%u>;\n};\n", i, i);
        fprintf(file, "};\n");
    }
    fprintf(file, "domains {\n#address-cells = <2>;\n#size-cells = <2>;\nbulkhead,system = \"large\";\n");
    for (unsigned i = 0; i < count; i++) {
        fprintf(file,
                "d%u: domain-%u {\ncompatible = \"openamp,domain-v1\";\nid = <%u>;\ncpus = <&c%u 0x%x 1>;\n",
                i, i, i, i / 32, 1u << i % 32);
        fprintf(file, "memory = <0x%x 0x%x 0x0 0x1000000>;\nbulkhead,kernel = \"%s/images/Image\";\n", i >> 8,
                (i & 0xff) << 24, folder);
        if (i > 0)
            fprintf(file, "bulkhead,after = <&d%u>;\n", i - 1);
        fprintf(file,
                "disk {\ncompatible = \"bulkhead,blk\";\nblk-file = \"state:%u.img\";\nbulkhead,create-size "
                "= \"1G\";\n};\n",
                i);
        fprintf(file, "console {\ncompatible = \"bulkhead,console\";\n};\n");
        fprintf(file,
                "net {\ncompatible = \"bulkhead,net\";\nbulkhead,link = <&l%u>;\nforward = "
                "\"tcp:%u:22\";\n};\n};\n",
                i / 2, 10000 + i);
        if (i % 2 == 0)
            fprintf(file, "l%u: link-%u {\ncompatible = \"bulkhead,link\";\n};\n", i / 2, i / 2);
    }
    fprintf(file, "};\n};\n");
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* the machine may be busy with others */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void two_hundred_domains_are_planned_within_a_second(void **state)
{
    char name[] = "/tmp/bulkhead-plan-XXXXXX", *folder = getcwd(NULL, 0), *text = NULL;
    FILE *file = fdopen(mkstemp(name), "w");
    struct bh_plan *plan, *again = NULL;
    double start;

    assert_non_null(file);
    write_large(file, 200, folder);
    fclose(file);
    start = seconds();
    plan = plan_of(name);
    assert_int_equal(bh_plan_to_json(plan, &text), BH_OK);
    assert_int_equal(bh_plan_from_json(text, strlen(text), "plan.json", NULL, &again), BH_OK);
    assert_true(seconds() - start < 1.0);
    assert_int_equal(plan->domain_count, 200);
    assert_int_equal(plan->start_order[199], 199);
    assert_int_equal(plan->link_count, 100);
    bh_plan_free(plan);
    bh_plan_free(again);
    unlink(name);
    free(folder);
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planner_places_what_is_left_open),
        cmocka_unit_test(sockets_beside_the_engine_s_get_a_folder_of_their_device_s_own),
        cmocka_unit_test(nets_at_a_switch_have_ports_that_are_held_to_their_addresses),
        cmocka_unit_test(a_plan_comes_back_from_json_as_it_was),
        cmocka_unit_test(a_json_that_breaks_a_promise_is_refused),
        cmocka_unit_test(a_json_with_a_wrong_switch_is_refused),
        cmocka_unit_test(a_json_whose_folder_is_another_s_is_refused),
        cmocka_unit_test(a_truncated_blob_is_refused_at_every_length),
        cmocka_unit_test(a_blob_with_any_byte_changed_does_no_harm),
        cmocka_unit_test(errors_in_a_blob_name_the_node),
        cmocka_unit_test(two_hundred_domains_are_planned_within_a_second),
    };

    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: test-plan FOLDER\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
