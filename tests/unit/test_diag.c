/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: the text form, the counts, the limit on what a peer can make us say; every error has its words.
 */
#include <bulkhead/impl/diag.h>

#include <bulkhead/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct bh_diag_text text;
static int fds[2];
static char got[8192];

static int setup(void **state)
{
    (void)state;
    if (pipe(fds))
        return -1;
    bh_diag_text_init(&text, fds[1], "blk");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static const char *written(void)
{
    ssize_t size = read(fds[0], got, sizeof(got) - 1);
    assert_true(size > 0);
    got[size] = '\0';
    return got;
}

static void a_diagnostic_says_where_what_and_the_way_out(void **state)
{
    const struct bh_diag both = {.level = BH_DIAG_ERROR,
                                 .where = {.file = "a.dts", .line = 3, .column = 7, .node = "/domains/x"},
                                 .other = {.file = "b.dts", .line = 9},
                                 .what = "regions overlap",
                                 .hint = "move one"};
    (void)state;
    bh_diag_emit(&text.sink, &both);
    assert_string_equal(written(), "blk: a.dts:3:7: /domains/x: error: regions overlap\n"
                                   "    b.dts:9: the other one is here\n    hint: move one\n");
    bh_warn(&text.sink, NULL, NULL, "%d left", 3);
    assert_string_equal(written(), "blk: warning: 3 left\n");
    bh_note(&text.sink, "listening on %s", "x");
    assert_string_equal(written(), "blk: listening on x\n");
    assert_int_equal(text.sink.error_count, 1);
    assert_int_equal(text.sink.warning_count, 1);
}

static void levels_above_the_chosen_one_are_silent(void **state)
{
    (void)state;
    bh_debug(&text.sink, "detail");
    text.most = BH_DIAG_DEBUG;
    bh_debug(&text.sink, "more");
    assert_string_equal(written(), "blk: debug: more\n");
}

static void a_line_of_any_length_stays_one_line(void **state)
{
    char file[8000];
    const struct bh_diag_where where = {.file = file};
    (void)state;
    memset(file, 'x', sizeof(file) - 1);
    file[sizeof(file) - 1] = '\0';
    bh_error(&text.sink, &where, "hint", "what");
    written();
    assert_int_equal(strcspn(got, "\n"), strlen(got) - 1);
}

static void what_a_peer_says_is_limited_and_counted(void **state)
{
    struct bh_diag_limit limit = {.burst = 2, .period_ms = 50};
    const struct timespec wait = {.tv_nsec = 60 * 1000 * 1000};
    unsigned held = 99;
    (void)state;
    assert_true(bh_diag_allowed(&limit, &held));
    assert_int_equal(held, 0);
    assert_true(bh_diag_allowed(&limit, &held));
    assert_false(bh_diag_allowed(&limit, &held));
    assert_false(bh_diag_allowed(&limit, &held));
    nanosleep(&wait, NULL);
    assert_true(bh_diag_allowed(&limit, &held));
    assert_int_equal(held, 2);
    assert_true(bh_diag_allowed(&limit, &held));
    assert_int_equal(held, 0);
}

static void every_error_has_its_own_words(void **state)
{
    (void)state;
    for (int err = 0; err >= BH_ERR_CHILD; err--) {
        assert_string_not_equal(bh_err_text(err), "unknown error");
        for (int other = err + 1; other <= 0; other++)
            assert_string_not_equal(bh_err_text(err), bh_err_text(other));
    }
    assert_string_equal(bh_err_text(BH_ERR_CHILD - 1), "unknown error");
    assert_string_equal(bh_err_text(1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_diagnostic_says_where_what_and_the_way_out, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_above_the_chosen_one_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_of_any_length_stays_one_line, setup, teardown),
        cmocka_unit_test(what_a_peer_says_is_limited_and_counted),
        cmocka_unit_test(every_error_has_its_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
