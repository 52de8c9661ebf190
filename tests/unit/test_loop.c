/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: order and bounds of a round, removal from callbacks, nesting in a foreign loop, signals.
 */
#include <bulkhead/impl/loop.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    struct bh_loop *loop;
    struct bh_loop_fd a, b;
    struct bh_loop_timer timers[3];
    struct bh_loop_work work[2];
    char calls[32]; /* what was called, in order */
    size_t calls_count;
};

static void note(struct bed *bed, char what)
{
    assert_true(bed->calls_count < sizeof(bed->calls) - 1);
    bed->calls[bed->calls_count++] = what;
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    bh_loop_destroy(bed->loop);
    free(bed);
    return 0;
}

static bool readable(struct bed *bed)
{
    struct pollfd poll_fd = {.fd = bh_loop_fd(bed->loop), .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static int set_event(uint64_t count)
{
    int fd = eventfd((unsigned)count, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Whichever of a and b comes first removes both. */
static void remove_both(struct bh_loop_fd *watch, uint32_t events)
{
    struct bed *bed =
        (struct bed *)(void *)((char *)watch - (watch->wanted & BH_LOOP_WRITE ? offsetof(struct bed, b)
                                                                              : offsetof(struct bed, a)));
    assert_true(events & (BH_LOOP_READ | BH_LOOP_WRITE));
    note(bed, 'x');
    bh_loop_fd_remove(&bed->a);
    bh_loop_fd_remove(&bed->b);
    /* What a freed owner's memory would look like. */
    memset(&bed->a, 0xa5, sizeof(bed->a));
    memset(&bed->b, 0xa5, sizeof(bed->b));
}

static void a_removed_fd_is_not_called_from_the_same_batch(void **state)
{
    struct bed *bed = *state;
    int a = set_event(1), b = set_event(1);
    assert_int_equal(bh_loop_fd_add(bed->loop, &bed->a, a, BH_LOOP_READ, remove_both), BH_OK);
    assert_int_equal(bh_loop_fd_add(bed->loop, &bed->b, b, BH_LOOP_WRITE, remove_both), BH_OK);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    assert_string_equal(bed->calls, "x");
    close(a);
    close(b);
}

static void note_events(struct bh_loop_fd *watch, uint32_t events)
{
    struct bed *bed = BH_LOOP_OWNER(watch, struct bed, a);
    note(bed, (char)('0' + events));
}

static void wanted_events_are_told_and_others_are_not(void **state)
{
    struct bed *bed = *state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(bh_loop_fd_add(bed->loop, &bed->a, pipe_fds[0], 0, note_events), BH_OK);
    assert_int_equal(bh_loop_fd_add(bed->loop, &bed->b, pipe_fds[0], 0, note_events), BH_ERR_EXIST);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    bh_loop_fd_want(&bed->a, BH_LOOP_READ);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    close(pipe_fds[1]);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    bh_loop_fd_want(&bed->a, 0);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    bh_loop_fd_remove(&bed->a);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    assert_string_equal(bed->calls, "154"); /* READ; READ and HUP; HUP */
    close(pipe_fds[0]);
}

static void a_regular_file_is_refused(void **state)
{
    struct bed *bed = *state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(bh_loop_fd_add(bed->loop, &bed->a, fileno(file), BH_LOOP_READ, note_events),
                     BH_ERR_UNSUPPORTED);
    fclose(file);
}

static void timer_0(struct bh_loop_timer *timer)
{
    struct bed *bed = BH_LOOP_OWNER(timer, struct bed, timers[0]);
    note(bed, '0');
    /* Due at once again, yet only in the next round; and the one that is due after this one goes. */
    bh_loop_timer_set_at(bed->loop, timer, 1, timer_0);
    bh_loop_timer_cancel(&bed->timers[2]);
}

static void timer_1(struct bh_loop_timer *timer)
{
    note(BH_LOOP_OWNER(timer, struct bed, timers[1]), '1');
}

static void timer_2(struct bh_loop_timer *timer)
{
    note(BH_LOOP_OWNER(timer, struct bed, timers[2]), '2');
}

static void timers_fire_in_order_and_once_a_round(void **state)
{
    struct bed *bed = *state;
    const uint64_t now = bh_loop_now();
    bh_loop_timer_set_at(bed->loop, &bed->timers[1], now + 3600000000000u, timer_1);
    bh_loop_timer_set_at(bed->loop, &bed->timers[2], now - 1, timer_2);
    bh_loop_timer_set_at(bed->loop, &bed->timers[0], now - 2, timer_0);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    assert_string_equal(bed->calls, "0");
    assert_int_equal(bh_loop_step(bed->loop, -1), 1);
    assert_string_equal(bed->calls, "00");
    bh_loop_timer_cancel(&bed->timers[0]);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    bh_loop_timer_set(bed->loop, &bed->timers[1], 20, timer_1);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    while (bed->calls_count < 3)
        assert_true(bh_loop_step(bed->loop, 10000) >= 0);
    assert_string_equal(bed->calls, "001");
    assert_true(bh_loop_now() - now >= 20000000u);
}

static void work_1(struct bh_loop_work *work)
{
    struct bed *bed = BH_LOOP_OWNER(work, struct bed, work[1]);
    note(bed, 'w');
}

static void work_0(struct bh_loop_work *work)
{
    struct bed *bed = BH_LOOP_OWNER(work, struct bed, work[0]);
    note(bed, 'v');
    bh_loop_work_cancel(&bed->work[1]);
    if (bed->calls_count < 3)
        bh_loop_defer(bed->loop, work, work_0);
}

static void deferred_work_waits_for_the_next_round(void **state)
{
    struct bed *bed = *state;
    bh_loop_defer(bed->loop, &bed->work[0], work_0);
    bh_loop_defer(bed->loop, &bed->work[0], work_0);
    bh_loop_defer(bed->loop, &bed->work[1], work_1);
    assert_int_equal(bh_loop_step(bed->loop, -1), 1);
    assert_string_equal(bed->calls, "v");
    assert_int_equal(bh_loop_step(bed->loop, -1), 1);
    bh_loop_defer(bed->loop, &bed->work[1], work_1);
    bh_loop_work_cancel(&bed->work[1]); /* the last of the queue: its tail moves back */
    assert_int_equal(bh_loop_step(bed->loop, -1), 1);
    bh_loop_defer(bed->loop, &bed->work[1], work_1);
    assert_int_equal(bh_loop_step(bed->loop, -1), 1);
    assert_string_equal(bed->calls, "vvvw");
}

static void a_foreign_loop_sees_timers_work_and_nothing_else(void **state)
{
    struct bed *bed = *state;
    struct pollfd poll_fd = {.fd = bh_loop_fd(bed->loop), .events = POLLIN};
    assert_false(readable(bed));
    bh_loop_defer(bed->loop, &bed->work[1], work_1);
    assert_true(readable(bed));
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    assert_false(readable(bed));
    /* Work that is left over from a round shows, too. */
    bh_loop_defer(bed->loop, &bed->work[0], work_0);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    assert_true(readable(bed));
    bh_loop_work_cancel(&bed->work[0]);
    assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    assert_false(readable(bed));
    bh_loop_timer_set(bed->loop, &bed->timers[1], 10, timer_1);
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    assert_int_equal(bh_loop_step(bed->loop, 0), 1);
    assert_false(readable(bed));
}

static void stop_work(struct bh_loop_work *work)
{
    bh_loop_stop(work->loop ? work->loop : BH_LOOP_OWNER(work, struct bed, work[0])->loop, 42);
}

static void run_returns_the_code_of_stop(void **state)
{
    struct bed *bed = *state;
    bh_loop_defer(bed->loop, &bed->work[0], stop_work);
    assert_int_equal(bh_loop_run(bed->loop), 42);
    bh_loop_stop(bed->loop, 7); /* before it runs: it does not wait */
    assert_int_equal(bh_loop_run(bed->loop), 7);
}

static struct bed *signal_bed;

static void signal_raised(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    assert_int_equal(info->ssi_pid, getpid());
    note(signal_bed, source->signo == SIGUSR1 ? 'u' : 's');
    bh_loop_signal_remove(source);
}

static void signals_come_through_the_loop_until_removed(void **state)
{
    struct bed *bed = *state;
    struct bh_loop_signal usr1 = {0}, usr2 = {0}, twice = {0};
    sigset_t mask;
    signal_bed = bed;
    assert_int_equal(bh_loop_signal_add(bed->loop, &usr1, SIGUSR1, signal_raised), BH_OK);
    assert_int_equal(bh_loop_signal_add(bed->loop, &usr2, SIGUSR2, signal_raised), BH_OK);
    assert_int_equal(bh_loop_signal_add(bed->loop, &twice, SIGUSR1, signal_raised), BH_ERR_EXIST);
    raise(SIGUSR1);
    assert_int_equal(bh_loop_step(bed->loop, 1000), 1);
    raise(SIGUSR2);
    assert_int_equal(bh_loop_step(bed->loop, 1000), 1);
    assert_string_equal(bed->calls, "us");
    sigprocmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGUSR1));
    assert_false(sigismember(&mask, SIGUSR2));
}

struct hooked {
    struct bh_loop_hook hook;
    unsigned called;
};

static void count_hook(struct bh_loop_hook *hook)
{
    BH_LOOP_OWNER(hook, struct hooked, hook)->called++;
    if (BH_LOOP_OWNER(hook, struct hooked, hook)->called == 2)
        bh_loop_hook_remove(hook);
}

static void hooks_run_before_each_wait_until_removed(void **state)
{
    struct bed *bed = *state;
    struct hooked one = {0}, two = {0};
    bh_loop_hook_add(bed->loop, &one.hook, count_hook);
    bh_loop_hook_add(bed->loop, &two.hook, count_hook);
    for (int i = 0; i < 4; i++)
        assert_int_equal(bh_loop_step(bed->loop, 0), 0);
    assert_int_equal(one.called, 2);
    assert_int_equal(two.called, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_removed_fd_is_not_called_from_the_same_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(wanted_events_are_told_and_others_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_regular_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_in_order_and_once_a_round, setup, teardown),
        cmocka_unit_test_setup_teardown(deferred_work_waits_for_the_next_round, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_loop_sees_timers_work_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(run_returns_the_code_of_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_come_through_the_loop_until_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(hooks_run_before_each_wait_until_removed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
