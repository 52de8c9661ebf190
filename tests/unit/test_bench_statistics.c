/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics of `bulkhead bench`: a histogram that is right to its promise at every magnitude, and a judgement
 * that does not see what the samples do not show.
 */
#include "bench/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every power of 2 and its neighbours fall into buckets that never go down, and that end within 2 % of the value. */
static void buckets_are_narrow_at_every_magnitude(void **state)
{
    unsigned before = 0;

    for (unsigned shift = 0; shift < 42; shift++) {
        for (int64_t off = -1; off <= 1; off++) {
            const uint64_t value = (1ull << shift) + (uint64_t)off;
            struct bench_histogram *one = calloc(1, sizeof(*one));
            uint64_t found;

            assert_non_null(one);
            bench_histogram_add(one, value);
            bench_histogram_add(one, 1ull << 43); /* so that the answer is not cut by the largest */
            found = bench_histogram_quantile(one, 0.5);
            assert_true(found >= value);
            assert_true(found <= value + value / 50 + 1);
            assert_true(off < 0 || bench_histogram_bucket(value) >= before);
            before = bench_histogram_bucket(value);
            assert_in_range(before, 0, BENCH_HISTOGRAM_BUCKETS - 1);
            free(one);
        }
    }
    assert_int_equal(bench_histogram_bucket(UINT64_MAX), BENCH_HISTOGRAM_BUCKETS - 1);
}

static void quantiles_count_from_below(void **state)
{
    struct bench_histogram *all = calloc(1, sizeof(*all));

    assert_non_null(all);
    assert_int_equal(bench_histogram_quantile(all, 0.5), 0);
    for (uint64_t i = 1; i <= 100; i++)
        bench_histogram_add(all, i);
    assert_int_equal(bench_histogram_quantile(all, 0.5), 50);
    assert_int_equal(bench_histogram_quantile(all, 0.99), 99);
    assert_int_equal(bench_histogram_quantile(all, 1), 100);
    assert_int_equal(bench_histogram_quantile(all, 0), 1);
    free(all);
}

static void a_quantile_is_never_more_than_the_largest(void **state)
{
    struct bench_histogram *all = calloc(1, sizeof(*all));

    assert_non_null(all);
    bench_histogram_add(all, 1000001);
    assert_int_equal(bench_histogram_quantile(all, 0.999), 1000001);
    bench_histogram_add(all, 1ull << 50);
    assert_int_equal(bench_histogram_quantile(all, 1), 1ull << 50);
    free(all);
}

static void the_median_is_the_middle_and_leaves_out_what_was_not_measured(void **state)
{
    const double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2}, holes[] = {NAN, 7, NAN};
    struct bench_figure figure = bench_figure_of(odd, 3);

    assert_true(figure.median == 5 && figure.least == 1 && figure.most == 9);
    assert_int_equal(figure.count, 3);
    assert_true(bench_figure_spread(&figure) == 8.0 / 5);
    figure = bench_figure_of(even, 4);
    assert_true(figure.median == 2.5);
    figure = bench_figure_of(holes, 3);
    assert_true(figure.median == 7);
    assert_int_equal(figure.count, 1);
    figure = bench_figure_of(holes, 1);
    assert_int_equal(figure.count, 0);
    assert_true(bench_figure_spread(&figure) == 0);
}

static void a_difference_within_the_spread_is_none(void **state)
{
    const double slow[] = {98, 100, 102}, fast[] = {118, 120, 122}, wild[] = {90, 120, 150};
    const struct bench_figure a = bench_figure_of(slow, 3), b = bench_figure_of(fast, 3);
    const struct bench_figure c = bench_figure_of(wild, 3), none = bench_figure_of(NULL, 0),
                              once = bench_figure_of(fast, 1);

    assert_int_equal(bench_figure_compare(&b, &a), 1);
    assert_int_equal(bench_figure_compare(&a, &b), -1);
    assert_int_equal(bench_figure_compare(&a, &a), 0);
    assert_int_equal(bench_figure_compare(&a, &c), 0);
    assert_int_equal(bench_figure_compare(&c, &a), 0);
    assert_int_equal(bench_figure_compare(&a, &none), 0);
    assert_int_equal(bench_figure_compare(&once, &a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_narrow_at_every_magnitude),
        cmocka_unit_test(quantiles_count_from_below),
        cmocka_unit_test(a_quantile_is_never_more_than_the_largest),
        cmocka_unit_test(the_median_is_the_middle_and_leaves_out_what_was_not_measured),
        cmocka_unit_test(a_difference_within_the_spread_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
