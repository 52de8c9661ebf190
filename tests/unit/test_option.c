/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option tables: what each type takes and refuses, the command line's forms, and the messages.
 */
#include <bulkhead/impl/option.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct settings {
    bool read_only;
    uint64_t depth, size;
    char *file;
    int cache;
    uint8_t mac[6];
    struct bh_option_list forward;
};

static const char *const cache_words[] = {"none", "writeback", NULL};

/* A rule of its own: no name of a device. */
static int no_device(const char *value, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    if (strncmp(value, "/dev/", 5) != 0)
        return BH_OK;
    bh_error(sink, where, "take a file", "'%s' is a device", value);
    return BH_ERR_ACCESS;
}

static const struct bh_option table[] = {
    {.name = "read-only",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct settings, read_only),
     .def = "off",
     .help = "refuse writes"},
    {.name = "queue-size",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct settings, depth),
     .def = "256",
     .min = 1,
     .max = 1024,
     .unit = "requests",
     .help = "slots of each queue"},
    {.name = "ram-size",
     .type = BH_OPT_SIZE,
     .offset = offsetof(struct settings, size),
     .unit = "bytes",
     .help = "a RAM disk of this size"},
    {.name = "blk-file",
     .type = BH_OPT_PATH,
     .offset = offsetof(struct settings, file),
     .required = true,
     .check = no_device,
     .help = "the image"},
    {.name = "cache",
     .type = BH_OPT_ENUM,
     .offset = offsetof(struct settings, cache),
     .def = "writeback",
     .values = cache_words,
     .help = "host cache"},
    {.name = "mac", .type = BH_OPT_MAC, .offset = offsetof(struct settings, mac), .help = "address"},
    {.name = "forward", .type = BH_OPT_LIST, .offset = offsetof(struct settings, forward), .help = "a port"},
    {.name = NULL},
};

/* Keeps the last diagnostic as one text. */
struct keep {
    struct bh_diag_sink sink;
    char text[512];
};

static void keep_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct keep *keep = (struct keep *)(void *)sink;
    snprintf(keep->text, sizeof(keep->text), "%s|%s", diag->what, diag->hint ? diag->hint : "");
}

struct bed {
    struct settings settings;
    struct keep keep;
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    bed->keep.sink.emit = keep_emit;
    assert_int_equal(bh_options_init(table, &bed->settings), BH_OK);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    bh_options_fini(table, &bed->settings);
    free(bed);
    return 0;
}

static int set(struct bed *bed, const char *name, const char *value)
{
    return bh_option_set(table, &bed->settings, name, value, &bed->keep.sink, NULL);
}

static void defaults_are_set(void **state)
{
    struct bed *bed = *state;
    assert_int_equal(bed->settings.depth, 256);
    assert_int_equal(bed->settings.cache, 1);
    assert_null(bed->settings.file);
}

static void each_type_takes_its_values(void **state)
{
    struct bed *bed = *state;
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0xab};
    assert_int_equal(set(bed, "read-only", "yes"), BH_OK);
    assert_true(bed->settings.read_only);
    assert_int_equal(set(bed, "queue-size", "0x400"), BH_OK);
    assert_int_equal(bed->settings.depth, 1024);
    assert_int_equal(set(bed, "ram-size", "64M"), BH_OK);
    assert_int_equal(bed->settings.size, 64u << 20);
    assert_int_equal(set(bed, "ram-size", "3GiB"), BH_OK);
    assert_int_equal(bed->settings.size, UINT64_C(3) << 30);
    assert_int_equal(set(bed, "blk-file", "/a"), BH_OK);
    assert_int_equal(set(bed, "blk-file", "/b"), BH_OK);
    assert_string_equal(bed->settings.file, "/b");
    assert_int_equal(set(bed, "cache", "none"), BH_OK);
    assert_int_equal(bed->settings.cache, 0);
    assert_int_equal(set(bed, "mac", "52:54:00:12:34:AB"), BH_OK);
    assert_memory_equal(bed->settings.mac, mac, 6);
    assert_int_equal(set(bed, "forward", "2222:22"), BH_OK);
    assert_int_equal(set(bed, "forward", "8080:80"), BH_OK);
    assert_int_equal(bed->settings.forward.count, 2);
    assert_string_equal(bed->settings.forward.items[1], "8080:80");
}

static void each_type_refuses_what_is_none_of_its_values(void **state)
{
    static const struct {
        const char *name, *value;
        int err;
    } wrong[] = {
        {"read-only", "maybe", BH_ERR_INVAL},       {"read-only", "", BH_ERR_INVAL},
        {"queue-size", "0", BH_ERR_RANGE},          {"queue-size", "1025", BH_ERR_RANGE},
        {"queue-size", "-1", BH_ERR_INVAL},         {"queue-size", " 5", BH_ERR_INVAL},
        {"queue-size", "5x", BH_ERR_INVAL},         {"queue-size", "5K", BH_ERR_INVAL},
        {"queue-size", "", BH_ERR_INVAL},           {"queue-size", "99999999999999999999999", BH_ERR_RANGE},
        {"ram-size", "16777216T", BH_ERR_RANGE},    {"ram-size", "5Q", BH_ERR_INVAL},
        {"ram-size", "5MM", BH_ERR_INVAL},          {"cache", "write", BH_ERR_INVAL},
        {"mac", "52:54:00:12:34", BH_ERR_INVAL},    {"mac", "52:54:00:12:34:56:78", BH_ERR_INVAL},
        {"mac", "52:54:00:12:34:5g", BH_ERR_INVAL}, {"mac", "+1:54:00:12:34:56", BH_ERR_INVAL},
    };
    struct bed *bed = *state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        unsigned errors = bed->keep.sink.error_count;
        assert_int_equal(set(bed, wrong[i].name, wrong[i].value), wrong[i].err);
        assert_int_equal(bed->keep.sink.error_count, errors + 1);
    }
    assert_int_equal(bed->settings.depth, 256);
    assert_int_equal(set(bed, "blk-file", "/dev/sda"), BH_ERR_ACCESS);
    assert_string_equal(bed->keep.text, "'/dev/sda' is a device|take a file");
    assert_null(bed->settings.file);
    assert_int_equal(set(bed, "cache", "write"), BH_ERR_INVAL);
    assert_string_equal(bed->keep.text, "cache: 'write' is not allowed|it takes one of: none writeback");
}

static void an_unknown_name_gets_the_nearest_one(void **state)
{
    struct bed *bed = *state;
    assert_int_equal(set(bed, "blk-flie", "x"), BH_ERR_NOENT);
    assert_string_equal(bed->keep.text, "no option 'blk-flie'|did you mean blk-file?");
    assert_int_equal(set(bed, "zzzzzzzz", "x"), BH_ERR_NOENT);
    assert_string_equal(bed->keep.text, "no option 'zzzzzzzz'|");
}

static int parse(struct bed *bed, int argc, const char **argv, int *next)
{
    const struct bh_option_set sets[] = {{table, &bed->settings, "Disk"}, {.table = NULL}};
    return bh_options_parse(sets, argc, (char **)(uintptr_t)argv, next, &bed->keep.sink);
}

static void the_command_line_has_its_forms(void **state)
{
    struct bed *bed = *state;
    const char *argv[] = {"x", "--read-only", "--blk-file", "a b", "--cache=none", "--", "--rest", NULL};
    const char *no[] = {"x", "--no-read-only", "--blk-file=-", "word", NULL};
    int next = 0;
    assert_int_equal(parse(bed, 7, argv, &next), BH_OK);
    assert_int_equal(next, 6);
    assert_true(bed->settings.read_only);
    assert_string_equal(bed->settings.file, "a b");
    assert_int_equal(bed->settings.cache, 0);
    assert_int_equal(parse(bed, 4, no, &next), BH_OK);
    assert_int_equal(next, 3);
    assert_false(bed->settings.read_only);
    assert_string_equal(bed->settings.file, "-");
}

static void the_command_line_refuses(void **state)
{
    struct bed *bed = *state;
    const char *missing[] = {"x", "--read-only", NULL};
    const char *valueless[] = {"x", "--blk-file", NULL};
    const char *empty[] = {"x", "--blk-file=", NULL};
    const char *unknown[] = {"x", "--raed-only", NULL};
    const char *negated[] = {"x", "--no-blk-file", NULL};
    int next;
    assert_int_equal(parse(bed, 2, missing, &next), BH_ERR_INVAL);
    assert_string_equal(bed->keep.text, "--blk-file is missing|the image");
    assert_int_equal(parse(bed, 2, valueless, &next), BH_ERR_INVAL);
    assert_string_equal(bed->keep.text, "--blk-file needs a value|it takes a path");
    assert_int_equal(parse(bed, 2, empty, &next), BH_ERR_INVAL);
    assert_string_equal(bed->keep.text, "--blk-file: '' is not allowed|it takes a path");
    assert_int_equal(parse(bed, 2, unknown, &next), BH_ERR_NOENT);
    assert_string_equal(bed->keep.text, "no option '--raed-only'|did you mean --read-only?");
    assert_int_equal(parse(bed, 2, negated, &next), BH_ERR_NOENT);
}

/* What the function wrote, which fits into a pipe. */
static void help_text(char text[4096], const char *source, size_t at, size_t indent)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    bh_help_text(fds[1], source, at, indent);
    close(fds[1]);
    const ssize_t got = read(fds[0], text, 4095);
    close(fds[0]);
    assert_true(got > 0);
    text[got] = '\0';
}

static void help_is_wrapped_at_80_and_keeps_its_paragraphs(void **state)
{
    static const char word_of_40[] = "0123456789012345678901234567890123456789";
    char text[4096], source[256];
    snprintf(source, sizeof(source), "%s %.39s", word_of_40, word_of_40); /* 80 in all */
    help_text(text, source, 0, 0);
    assert_int_equal(strcspn(text, "\n"), 80);
    help_text(text, source, 1, 3);
    assert_int_equal(strcspn(text, "\n"), 40);
    assert_int_equal(strncmp(text + 40, "\n   0123", 8), 0);
    help_text(text, "one\ntwo  three\n\nfour\n", 0, 2);
    assert_string_equal(text, "one two three\n\n  four\n");
    snprintf(source, sizeof(source), "a %s%s%s b", word_of_40, word_of_40, word_of_40);
    help_text(text, source, 0, 0); /* a word that fits nowhere stands alone */
    assert_int_equal(strncmp(text, "a\n01", 4), 0);
    assert_string_equal(text + 2 + 120, "\nb\n");
}

static void help_shows_every_option(void **state)
{
    struct bed *bed = *state;
    const struct bh_option_set sets[] = {{table, &bed->settings, "Disk"}, {.table = NULL}};
    char text[4096];
    int fds[2];
    ssize_t got;
    assert_int_equal(pipe(fds), 0);
    bh_options_help(sets, fds[1]);
    close(fds[1]);
    got = read(fds[0], text, sizeof(text) - 1);
    close(fds[0]);
    assert_true(got > 0);
    text[got] = '\0';
    for (const struct bh_option *option = table; option->name; option++)
        assert_non_null(strstr(text, option->name));
    assert_non_null(strstr(text, "  --queue-size=N            slots of each queue, in requests [256]\n"));
    assert_non_null(strstr(text, "host cache: none, writeback [writeback]\n"));
    assert_non_null(strstr(text, "the image (required)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_set, setup, teardown),
        cmocka_unit_test_setup_teardown(each_type_takes_its_values, setup, teardown),
        cmocka_unit_test_setup_teardown(each_type_refuses_what_is_none_of_its_values, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_name_gets_the_nearest_one, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_line_has_its_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_line_refuses, setup, teardown),
        cmocka_unit_test(help_is_wrapped_at_80_and_keeps_its_paragraphs),
        cmocka_unit_test_setup_teardown(help_shows_every_option, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
