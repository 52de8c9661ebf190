/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device process is killed: at each of its system calls during a set-up, again and again after a few of them, and at
 * random moments under traffic. The front-end never notices: each message is answered once and rightly, each request
 * comes back once and rightly, no notification is lost, and in the end nothing is kept any more.
 */
#include "tests/unit/recovery_rig.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

struct variant {
    const char *name;
    uint64_t ring_bits;
    bool inflight; /* the front-end has its own place for in-flight records */
    bool in_band;  /* it notifies, and is notified, by messages */
    size_t piece;  /* its messages come in pieces of so many bytes; 0: as a whole */
};

#define BIT(feature) (UINT64_C(1) << BH_F_##feature)

static const struct variant variants[] = {
    {"split", 0, false, false, 0},
    {"packed", BIT(RING_PACKED), false, false, 0},
    {"split, event_idx, in-flight area", BIT(EVENT_IDX), true, false, 0},
    {"packed, event_idx, in-flight area", BIT(RING_PACKED) | BIT(EVENT_IDX), true, false, 0},
    {"split, in_order, in pieces", BIT(IN_ORDER), false, false, 9},
    {"packed, in_order, in pieces", BIT(RING_PACKED) | BIT(IN_ORDER), true, false, 23},
    {"split, event_idx, in-band", BIT(EVENT_IDX), false, true, 0},
    {"packed, in-flight area, in-band, in pieces", BIT(RING_PACKED), true, true, 11},
};

static bool is_packed(const struct rec_front *front)
{
    return front->ring_bits >> BH_F_RING_PACKED & 1;
}

static uint32_t first_base(const struct rec_front *front)
{
    return is_packed(front) ? 0x80008000u : 0;
}

/* --- a whole set-up -------------------------------------------------------------------------------------- */

static void check_config(struct rec_front *front, uint8_t byte)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[8];
    } config = {{0, 8, 0}, {0}};
    front_send(front, VHOST_USER_GET_CONFIG, 0, &config, sizeof(config), -1);
    front_reply(front, VHOST_USER_GET_CONFIG, &config, sizeof(config), NULL);
    for (unsigned i = 0; i < sizeof(config.bytes); i++)
        CHECK(config.bytes[i] == byte);
}

static void write_config(struct rec_front *front, uint8_t byte)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[8];
    } config = {{0, 8, 0}, {0}};
    memset(config.bytes, byte, sizeof(config.bytes));
    front_tell(front, VHOST_USER_SET_CONFIG, &config, sizeof(config), -1);
}

static void change_region(struct rec_front *front, uint32_t request)
{
    const struct vhost_user_mem_region more = {
        0, {REC_BASE + 0x10000000, front->guest.size, REC_USER + 0x10000000, 0}};
    front_tell(front, request, &more, sizeof(more), request == VHOST_USER_ADD_MEM_REG ? front->guest.fd : -1);
}

static void some_traffic(struct rec_front *front, unsigned count)
{
    for (unsigned q = 0; q < REC_QUEUES; q++)
        CHECK(front_add(front, q, count) == count);
    for (unsigned q = 0; q < REC_QUEUES; q++)
        front_drain(front, q);
}

/* As a migration does: a dirty log for a while, then the device's own state out and in again. */
static void log_for_a_while(struct rec_front *front)
{
    enum { BYTES = (REC_BASE / 4096 / 8) + 4096 };
    static uint8_t marks[BYTES];
    const struct vhost_user_log told = {BYTES, 0};
    const uint64_t bits = BIT(VERSION_1) | front->ring_bits | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
    const int fd = memfd_create("log", MFD_CLOEXEC);
    uint64_t answer = 1;
    CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0);
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &told, sizeof(told), fd);
    front_reply(front, VHOST_USER_SET_LOG_BASE, &answer, sizeof(answer), NULL);
    front_tell_u64(front, VHOST_USER_SET_FEATURES, bits | UINT64_C(1) << VHOST_F_LOG_ALL);
    some_traffic(front, 3);
    front_tell_u64(front, VHOST_USER_SET_FEATURES, bits);
    CHECK(pread(fd, marks, BYTES, 0) == BYTES);
    for (unsigned q = 0; q < REC_QUEUES; q++) {
        for (unsigned i = 0; i < 3; i++) {
            const uint64_t page = front->requests[q][i].in.raw / 4096;
            CHECK(marks[page / 8] >> page % 8 & 1);
        }
    }
    close(fd);
}

static int state_file(struct rec_front *front, uint32_t direction)
{
    const struct vhost_user_device_state wanted = {direction, 0};
    uint64_t answer = 1;
    int ends[2], fd;
    CHECK(pipe(ends) == 0);
    front_send(front, VHOST_USER_SET_DEVICE_STATE_FD, 0, &wanted, sizeof(wanted), ends[0]);
    front_reply(front, VHOST_USER_SET_DEVICE_STATE_FD, &answer, sizeof(answer), &fd);
    CHECK(answer == 0 && fd >= 0);
    close(ends[0]);
    close(ends[1]);
    return fd;
}

static void state_goes_round(struct rec_front *front)
{
    uint8_t state[4096];
    ssize_t size;
    int fd = state_file(front, 0);
    CHECK(front_get(front, VHOST_USER_CHECK_DEVICE_STATE) == 0);
    size = pread(fd, state, sizeof(state), 0);
    CHECK(size > 0);
    close(fd);
    write_config(front, 9); /* to be undone */
    fd = state_file(front, 1);
    CHECK(write(fd, state, (size_t)size) == size);
    close(fd);
    CHECK(front_get(front, VHOST_USER_CHECK_DEVICE_STATE) == 0);
    check_config(front, 7);
}

/* Where ring 0 stands after all that was sent: two descriptors each. */
static uint32_t expected_base(const struct rec_front *front)
{
    const uint32_t slots = (uint32_t)front->done[0] * 2;
    uint32_t half;
    if (!is_packed(front))
        return (uint32_t)front->done[0];
    half = slots % REC_SIZE | (slots / REC_SIZE % 2 ? 0 : VHOST_USER_PACKED_WRAP);
    return half << 16 | half;
}

static int set_up(struct rec *rec, void *how)
{
    const struct variant *variant = how;
    struct rec_front front;
    uint32_t base;
    uint8_t more;
    front_init(&front, rec->peer, variant->ring_bits);
    front.piece = variant->piece;
    front.in_band = variant->in_band;
    front_negotiate(&front);
    check_config(&front, 0);
    write_config(&front, 7);
    if (variant->inflight)
        front_ask_inflight(&front);
    front_share(&front);
    change_region(&front, VHOST_USER_ADD_MEM_REG);
    change_region(&front, VHOST_USER_ADD_MEM_REG); /* a copy, as QEMU 7.2 sends for each pair of queues */
    for (unsigned q = 0; q < REC_QUEUES; q++)
        front_start_ring(&front, q, first_base(&front));
    front_tell_u64(&front, VHOST_USER_SET_STATUS, 15);
    CHECK(front_get(&front, VHOST_USER_GET_STATUS) == 15);
    some_traffic(&front, 9);
    change_region(&front, VHOST_USER_REM_MEM_REG);
    base = front_stop_ring(&front, 0);
    change_region(&front, VHOST_USER_REM_MEM_REG); /* the copies were not forgotten */
    CHECK(base == expected_base(&front));
    front_start_ring(&front, 0, base);
    some_traffic(&front, 9);
    check_config(&front, 7);
    log_for_a_while(&front);
    for (unsigned q = 0; q < REC_QUEUES; q++)
        front_stop_ring(&front, q);
    state_goes_round(&front);
    front_tell(&front, VHOST_USER_RESET_DEVICE, NULL, 0, -1);
    CHECK(front_get(&front, VHOST_USER_GET_STATUS) == 0);
    CHECK(recv(front.fd, &more, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN); /* no answer too many */
    return 0;
}

/* --- stepping -------------------------------------------------------------------------------------------- */

/* The traced device process stops at its SIGSTOP first. False: nobody may trace here. */
static bool first_stop(struct rec *rec)
{
    int status;
    assert_int_equal(waitpid(rec->device, &status, __WALL), rec->device);
    if (!WIFSTOPPED(status))
        return false;
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, rec->device, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
                     0);
    assert_int_equal(ptrace(PTRACE_SYSCALL, rec->device, NULL, NULL), 0);
    return true;
}

/* When to kill: returns how many stops the next process has, given those that ran before it; 0: it is left alone. */
struct plan {
    unsigned (*lifetime)(struct plan *plan, unsigned starts);
    unsigned first;
    unsigned seed;
};

static void next_process(struct rec *rec, struct plan *plan, unsigned *left)
{
    *left = plan->lifetime(plan, rec->starts);
    rec_start_device(rec, *left > 0);
    if (*left > 0 && !first_stop(rec))
        skip();
}

/* Run a set-up under the plan, to the end. Returns how often the device process was killed. */
static unsigned run(const struct variant *variant, struct plan *plan)
{
    struct rec rec;
    unsigned left, kills = 0;
    bool device_ended = false, front_ended = false;
    rec_open(&rec);
    next_process(&rec, plan, &left);
    rec_start_front(&rec, set_up, (void *)(uintptr_t)variant);
    while (!front_ended || !device_ended) {
        int status;
        const pid_t pid = waitpid(-1, &status, __WALL);
        rec_keep(&rec);
        if (pid == rec.front) {
            front_ended = true;
            /* The state, connection, channel, memory, in-flight area, two call fds; reset rings have no kick fds. */
            assert_true(rec.kept_count <= 7 + 1);
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("%s: the front-end noticed (first life %u stops, %u kills)", variant->name,
                         plan->first, kills);
        } else if (WIFSTOPPED(status) && --left == 0) {
            rec_kill_device(&rec);
            kills++;
            next_process(&rec, plan, &left);
        } else if (WIFSTOPPED(status)) {
            const int signal = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
            assert_int_equal(ptrace(PTRACE_SYSCALL, rec.device, NULL, (void *)(intptr_t)signal), 0);
        } else {
            device_ended = true;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("%s: the device process ended by itself (first life %u stops, status 0x%x)",
                         variant->name, plan->first, (unsigned)status);
        }
    }
    rec_close(&rec);
    return kills;
}

static unsigned once(struct plan *plan, unsigned starts)
{
    return starts == 0 ? plan->first : 0;
}

static unsigned environment(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

/*
 * BH_RECOVERY_STRIDE: every n-th stop (two a system call) is one at which the process is killed; BH_RECOVERY_OFFSET is
 * the first. With 1 all of them are.
 */
static void killed_at_its_system_calls_during_a_set_up(void **state)
{
    const char *full = getenv("BULKHEAD_FULL");
    const unsigned stride = environment("BH_RECOVERY_STRIDE", full && *full ? 1 : 37);
    (void)state;
    for (unsigned v = 0; v < BH_COUNT(variants); v++) {
        struct plan plan = {.lifetime = once};
        unsigned runs = 0;
        for (plan.first = 1 + (environment("BH_RECOVERY_OFFSET", 0) + v * 11) % stride;
             run(&variants[v], &plan); plan.first += stride)
            runs++;
        assert_true(runs > 10);
        print_message("%s: %u kills up to stop %u\n", variants[v].name, runs, plan.first);
    }
}

static unsigned short_lives(struct plan *plan, unsigned starts)
{
    plan->seed = plan->seed * 1103515245u + 12345u;
    return plan->first + (plan->seed >> 16) % plan->first;
}

/* Long enough to come up and to do a little; then the next one. */
static void successors_that_live_short(void **state)
{
    (void)state;
    for (unsigned v = 0; v < BH_COUNT(variants); v++) {
        struct plan plan = {.lifetime = short_lives, .first = 150, .seed = v};
        const unsigned kills = run(&variants[v], &plan);
        assert_true(kills > 3);
        print_message("%s: %u kills\n", variants[v].name, kills);
    }
}

static unsigned in_the_second(struct plan *plan, unsigned starts)
{
    return starts == 0 ? plan->seed : starts == 1 ? plan->first : 0;
}

/* From its first system call until it has long gone on: the page is copied, and one or two of them are kept. */
static void killed_while_it_takes_over(void **state)
{
    enum { LONG_ENOUGH = 160 };
    const char *full = getenv("BULKHEAD_FULL");
    (void)state;
    for (unsigned v = 2; v < 4; v++) {
        struct plan plan = {.lifetime = in_the_second, .seed = 600 + v};
        for (plan.first = 1 + v; plan.first < LONG_ENOUGH; plan.first += full && *full ? 1 : 3)
            assert_int_equal(run(&variants[v], &plan), 2);
    }
}

/* --- a keeper that does not keep ------------------------------------------------------------------------- */

/* A set-up that nobody kills; the put with that number is refused. Returns how many were taken. */
static unsigned refused_at(unsigned refuse)
{
    struct rec rec;
    int status;
    rec_open(&rec);
    rec.refuse = refuse;
    rec_start_device(&rec, false);
    rec_start_front(&rec, set_up, (void *)(uintptr_t)&variants[2]);
    assert_int_equal(waitpid(rec.front, &status, 0), rec.front);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    rec_keep(&rec);
    assert_true(!refuse || rec.kept_count <= 1); /* the page, which says that there is no connection */
    rec_wait_device(&rec);
    rec_close(&rec);
    return rec.puts;
}

/* The connection is served on, and nothing of it is left with a keeper that could not have it all. */
static void a_keeper_that_refuses_stops_nobody(void **state)
{
    const unsigned all = refused_at(0);
    (void)state;
    assert_true(all > 10);
    for (unsigned refuse = 1; refuse <= all; refuse++)
        assert_int_equal(refused_at(refuse), refuse - 1);
}

/* --- traffic --------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Until something comes through the pipe, keep both rings busy; then let them run dry. */
struct traffic {
    const struct variant *variant;
    int go_on[2];
    int up[2]; /* the other way: the rings run */
};

static int keep_busy(struct rec *rec, void *how)
{
    const struct traffic *traffic = how;
    struct pollfd go_on = {.fd = traffic->go_on[0], .events = POLLIN};
    struct rec_front front;
    unsigned turn = 0;
    front_init(&front, rec->peer, traffic->variant->ring_bits);
    front.in_band = traffic->variant->in_band;
    front_negotiate(&front);
    if (traffic->variant->inflight)
        front_ask_inflight(&front);
    front_share(&front);
    for (unsigned q = 0; q < REC_QUEUES; q++)
        front_start_ring(&front, q, first_base(&front));
    while (poll(&go_on, 1, 0) == 0) {
        uint64_t since = now_ms();
        unsigned moved = 0;
        for (unsigned q = 0; q < REC_QUEUES; q++)
            front_add(&front, q, 1 + turn++ % 5);
        /* Notifications are asked for and waited for: one that is lost would stop everything. */
        while (!moved) {
            bool rest = true;
            for (unsigned q = 0; q < REC_QUEUES; q++)
                rest &= !bh_drv_ring_arm(&front.queue[q].ring);
            if (rest)
                front_wait(&front, 1000);
            for (unsigned q = 0; q < REC_QUEUES; q++)
                moved += front_take(&front, q);
            CHECK(now_ms() - since < REC_WAIT_MS);
        }
    }
    for (unsigned q = 0; q < REC_QUEUES; q++) {
        front_drain(&front, q);
        CHECK(front.sent[q] == front.done[q]);
        CHECK(front.done[q] > 100);
    }
    return 0;
}

static void kill_under_traffic(const struct variant *variant, unsigned kills, unsigned seed, bool loses)
{
    struct traffic traffic = {.variant = variant};
    struct rec rec;
    int status;
    rec_open(&rec);
    rec.loses = loses;
    assert_int_equal(pipe(traffic.go_on), 0);
    rec_start_device(&rec, false);
    rec_start_front(&rec, keep_busy, &traffic);
    for (unsigned i = 0; i < kills; i++) {
        seed = seed * 1103515245u + 12345u;
        usleep(200 + (seed >> 16) % 6000);
        rec_kill_device(&rec);
        rec_start_device(&rec, false);
    }
    usleep(20000); /* the last one is to be seen at work */
    rec_keep(&rec);
    assert_int_equal(write(traffic.go_on[1], "", 1), 1);
    assert_int_equal(waitpid(rec.front, &status, 0), rec.front);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: the front-end noticed (seed %u)", variant->name, seed);
    rec_wait_device(&rec);
    rec_close(&rec);
    close(traffic.go_on[0]);
    close(traffic.go_on[1]);
}

static void killed_at_random_moments_under_traffic(void **state)
{
    const unsigned kills = environment("BH_RECOVERY_KILLS", 40), seed = environment("BH_RECOVERY_SEED", 1);
    (void)state;
    for (unsigned v = 0; v < BH_COUNT(variants); v++)
        kill_under_traffic(&variants[v], kills, seed + v, false);
}

/* Both pages are kept from the first copy on: the next process goes on from the newer one. */
static void keeper_that_drops_no_page_misleads_nobody(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 2; v++)
        kill_under_traffic(&variants[v], 10, 700 + v, true);
}

/* --- a process that gave its page away ------------------------------------------------------------------- */

/* .fd -1: none is kept. */
static struct bh_kept kept_state(struct rec *rec)
{
    rec_keep(rec);
    for (size_t i = 0; i < rec->kept_count; i++)
        if (strncmp(rec->kept[i].name, "vu-state", 8) == 0)
            return rec->kept[i];
    return (struct bh_kept){.fd = -1};
}

/* Kill; the next process gets the page that somebody has mapped, and once it has taken over, that one spoils it. */
static void kill_and_spoil(struct rec *rec)
{
    struct bh_kept former, kept;
    struct stat file;
    uint8_t *page;
    rec_kill_device(rec);
    former = kept_state(rec);
    assert_int_equal(fstat(former.fd, &file), 0);
    page = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, former.fd, 0);
    assert_true(page != MAP_FAILED);
    rec_start_device(rec, false);
    for (unsigned ms = 0; kept = kept_state(rec), kept.fd < 0 || strcmp(kept.name, former.name) == 0; ms++) {
        assert_true(ms < REC_WAIT_MS);
        usleep(1000);
    }
    for (unsigned i = 0; i < 20; i++) {
        memset(page, 0xa5 ^ (int)i, (size_t)file.st_size);
        usleep(200);
    }
    munmap(page, (size_t)file.st_size);
}

static void what_a_dead_process_gave_away_is_not_used_again(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 2; v++) {
        struct traffic traffic = {.variant = &variants[v]};
        struct rec rec;
        int status;
        rec_open(&rec);
        assert_int_equal(pipe(traffic.go_on), 0);
        rec_start_device(&rec, false);
        rec_start_front(&rec, keep_busy, &traffic);
        usleep(20000); /* the connection is up, and a page kept */
        for (unsigned i = 0; i < 5; i++)
            kill_and_spoil(&rec);
        assert_int_equal(write(traffic.go_on[1], "", 1), 1);
        assert_int_equal(waitpid(rec.front, &status, 0), rec.front);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        rec_wait_device(&rec);
        rec_close(&rec);
        close(traffic.go_on[0]);
        close(traffic.go_on[1]);
    }
}

/* --- without a keeper ------------------------------------------------------------------------------------ */

/*
 * A front-end that connects again, as QEMU's blk does: everything is told anew, the in-flight area as it was, and the
 * base of each ring as at first: where a ring stands only the records know.
 */
static int come_back(struct rec *rec, void *how)
{
    const struct traffic *traffic = how;
    struct pollfd go_on = {.fd = traffic->go_on[0], .events = POLLIN};
    struct rec_front front;
    front_init(&front, rec_connect(rec), traffic->variant->ring_bits);
    front_negotiate(&front);
    front_ask_inflight(&front);
    front_share(&front);
    for (bool lost = false;; lost = true) {
        if (lost)
            front_come_back(&front, rec_connect(rec));
        for (unsigned q = 0; q < REC_QUEUES; q++)
            front_start_ring(&front, q, first_base(&front));
        CHECK(write(traffic->up[1], "", 1) == 1);
        while (!front_lost(&front) && poll(&go_on, 1, 0) == 0) {
            for (unsigned q = 0; q < REC_QUEUES; q++)
                front_add(&front, q, 3);
            front_wait(&front, 1);
            for (unsigned q = 0; q < REC_QUEUES; q++)
                front_take(&front, q);
        }
        if (!front_lost(&front))
            break;
    }
    for (unsigned q = 0; q < REC_QUEUES; q++) {
        front_drain(&front, q);
        CHECK(front.done[q] > 100);
    }
    return 0;
}

static void reconnect_under_traffic(const struct variant *variant, unsigned kills, unsigned seed)
{
    struct traffic traffic = {.variant = variant};
    struct rec rec;
    int status;
    char byte;
    rec_open_alone(&rec);
    assert_int_equal(pipe(traffic.go_on), 0);
    assert_int_equal(pipe(traffic.up), 0);
    rec_start_device(&rec, false);
    rec_start_front(&rec, come_back, &traffic);
    for (unsigned i = 0; i <= kills; i++) {
        struct pollfd up = {.fd = traffic.up[0], .events = POLLIN};
        assert_int_equal(poll(&up, 1, REC_WAIT_MS), 1);
        assert_int_equal(read(traffic.up[0], &byte, 1), 1);
        seed = seed * 1103515245u + 12345u;
        usleep((seed >> 16) % 6000);
        if (i == kills)
            break;
        rec_kill_device(&rec);
        rec_start_device(&rec, false);
    }
    assert_int_equal(write(traffic.go_on[1], "", 1), 1);
    assert_int_equal(waitpid(rec.front, &status, 0), rec.front);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: the front-end lost something (seed %u)", variant->name, seed);
    rec_kill_device(&rec); /* it listens for the next one */
    rec_close(&rec);
    for (unsigned i = 0; i < 2; i++) {
        close(traffic.go_on[i]);
        close(traffic.up[i]);
    }
}

static void a_front_end_that_comes_back_has_its_requests_done_again(void **state)
{
    const unsigned kills = environment("BH_RECOVERY_KILLS", 40), seed = environment("BH_RECOVERY_SEED", 1);
    (void)state;
    for (unsigned v = 0; v < 4; v++)
        reconnect_under_traffic(&variants[v], kills, seed + v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_its_system_calls_during_a_set_up),
        cmocka_unit_test(successors_that_live_short),
        cmocka_unit_test(killed_while_it_takes_over),
        cmocka_unit_test(a_keeper_that_refuses_stops_nobody),
        cmocka_unit_test(killed_at_random_moments_under_traffic),
        cmocka_unit_test(keeper_that_drops_no_page_misleads_nobody),
        cmocka_unit_test(what_a_dead_process_gave_away_is_not_used_again),
        cmocka_unit_test(a_front_end_that_comes_back_has_its_requests_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
