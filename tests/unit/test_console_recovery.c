/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console whose process is killed at random moments: what the guest prints comes out once and whole, what is typed
 * comes to the guest once and whole, also while nobody reads and the output is held back.
 */
#include "tests/unit/recovery_rig.h"

#include "devices/console/console.h"
#include "devices/console/terminal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { SLOTS = 8, PRINT_MAX = 3000, TYPE_MAX = 100 };

/* --- the device process's device ------------------------------------------------------------------------- */

static void hung_up(struct bh_terminal_end *end)
{
}

static struct bh_device *make_console(struct rec *rec, struct bh_loop *loop, struct bh_mem *mem)
{
    static struct bh_terminal terminal;
    static struct bh_terminal_end end = {.hung_up = hung_up};
    static struct bh_console console;
    static struct bh_console_channel channel;
    static struct bh_virtq queues[BH_CONSOLE_QUEUES(1)];
    struct bh_virtq_memory memory[BH_CONSOLE_QUEUES(1)];
    for (unsigned i = 0; i < BH_CONSOLE_QUEUES(1); i++) {
        void *block = malloc(bh_virtq_memory_bytes(REC_SIZE, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS));
        bh_virtq_memory_place(&memory[i], block, REC_SIZE, BH_CONSOLE_BATCH, BH_CONSOLE_SEGS);
    }
    bh_terminal_init(&terminal, loop, NULL);
    if (bh_terminal_attach(&terminal, &end, rec->line[1], rec->line[1]))
        return NULL;
    bh_console_init(
        &console, mem,
        &(struct bh_console_memory){.ports_max = 1, .channels = &channel, .queues = queues, .memory = memory},
        &terminal.port, 80, 25);
    return &console.dev;
}

/* --- the guest and the one who sits before the console: one process -------------------------------------- */

struct sitting {
    uint64_t ring_bits;
    int go_on[2];
};

struct talk {
    struct rec_front front;
    int line;
    uint64_t printed, seen; /* bytes of the guest's text */
    uint64_t typed, heard;  /* bytes of the other's */
    struct {
        uint8_t *bytes;
        bh_daddr_t at;
        bool used;
    } print[SLOTS], hear[SLOTS];
    uint32_t random;
};

static unsigned dice(struct talk *talk, unsigned sides)
{
    talk->random = talk->random * 1103515245u + 12345u;
    return (talk->random >> 16) % sides;
}

static uint8_t text(uint64_t at, unsigned voice)
{
    return (uint8_t)((at * 2654435761u >> 11) ^ voice);
}

static void kick(struct talk *talk, unsigned queue)
{
    if (bh_drv_ring_kick_needed(&talk->front.queue[queue].ring))
        CHECK(write(talk->front.kick[queue], &(uint64_t){1}, 8) == 8);
}

static void lay_buffers(struct talk *talk)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        talk->print[i].bytes = bh_drv_guest_alloc(&talk->front.guest, PRINT_MAX, 16, &talk->print[i].at);
        talk->hear[i].bytes = bh_drv_guest_alloc(&talk->front.guest, TYPE_MAX, 16, &talk->hear[i].at);
        CHECK(talk->print[i].bytes && talk->hear[i].bytes);
    }
}

static void guest_listens(struct talk *talk)
{
    struct bh_drv_ring *ring = &talk->front.queue[0].ring;
    void *token;
    uint32_t len;
    int got;
    while ((got = bh_drv_ring_get(ring, &token, &len)) == 1) {
        const unsigned i = (unsigned)(uintptr_t)token - 1;
        CHECK(talk->hear[i].used && len > 0 && len <= TYPE_MAX);
        for (uint32_t b = 0; b < len; b++)
            CHECK(talk->hear[i].bytes[b] == text(talk->heard++, 1));
        talk->hear[i].used = false;
    }
    CHECK(got == 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct bh_drv_buf buf = {talk->hear[i].at, 1 + dice(talk, TYPE_MAX)};
        if (talk->hear[i].used)
            continue;
        CHECK(bh_drv_ring_add(ring, &buf, 0, 1, (void *)(uintptr_t)(i + 1)) == BH_OK);
        talk->hear[i].used = true;
    }
    kick(talk, 0);
}

static void guest_prints(struct talk *talk, bool more)
{
    struct bh_drv_ring *ring = &talk->front.queue[1].ring;
    void *token;
    uint32_t len;
    int got;
    while ((got = bh_drv_ring_get(ring, &token, &len)) == 1) {
        const unsigned i = (unsigned)(uintptr_t)token - 1;
        CHECK(talk->print[i].used);
        memset(talk->print[i].bytes, '?', PRINT_MAX); /* it is the guest's again */
        talk->print[i].used = false;
    }
    CHECK(got == 0);
    for (unsigned i = 0; more && i < SLOTS; i++) {
        struct bh_drv_buf bufs[2] = {{talk->print[i].at, 1 + dice(talk, 60)},
                                     {{0}, 1 + dice(talk, PRINT_MAX - 60)}};
        if (talk->print[i].used)
            continue;
        bufs[1].addr = bh_daddr(bufs[0].addr.raw + bufs[0].len);
        for (uint32_t b = 0; b < bufs[0].len + bufs[1].len; b++)
            talk->print[i].bytes[b] = text(talk->printed++, 2);
        CHECK(bh_drv_ring_add(ring, bufs, 2, 0, (void *)(uintptr_t)(i + 1)) == BH_OK);
        talk->print[i].used = true;
    }
    kick(talk, 1);
}

/* The one before the console types a little and reads, at times slowly. */
static void sit(struct talk *talk, bool type, bool slow)
{
    uint8_t bytes[4096];
    ssize_t got;
    size_t len = type ? dice(talk, 300) : 0;
    for (size_t i = 0; i < len; i++)
        bytes[i] = text(talk->typed + i, 1);
    got = len ? send(talk->line, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (got > 0)
        talk->typed += (uint64_t)got;
    while ((got = recv(talk->line, bytes, slow ? 100 : sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            CHECK(bytes[i] == text(talk->seen++, 2));
        if (slow)
            break;
    }
}

static int converse(struct rec *rec, void *how)
{
    const struct sitting *sitting = how;
    struct pollfd go_on = {.fd = sitting->go_on[0], .events = POLLIN};
    struct talk talk = {.line = rec->line[0], .random = 5};
    unsigned quiet = 0;
    front_init(&talk.front, rec->peer, sitting->ring_bits);
    front_negotiate(&talk.front);
    front_share(&talk.front);
    for (unsigned q = 0; q < REC_QUEUES; q++)
        front_start_ring(&talk.front, q, sitting->ring_bits >> BH_F_RING_PACKED & 1 ? 0x80008000u : 0);
    lay_buffers(&talk);
    for (bool more = true; quiet < 2000; more &= poll(&go_on, 1, 0) == 0) {
        const uint64_t before = talk.seen + talk.heard;
        const bool slow = more && talk.printed / 500000 % 2;
        guest_listens(&talk);
        guest_prints(&talk, more);
        sit(&talk, more, slow);
        if (more || talk.seen + talk.heard != before)
            quiet = 0;
        else if (talk.seen == talk.printed && talk.heard == talk.typed)
            quiet += 200; /* and nothing more comes */
        else
            quiet++;
        front_wait(&talk.front, more && !slow ? 0 : 2);
    }
    CHECK(talk.seen == talk.printed && talk.printed > 100000);
    CHECK(talk.heard == talk.typed && talk.typed > 1000);
    return 0;
}

/* --- the test -------------------------------------------------------------------------------------------- */

static unsigned environment(const char *name, unsigned otherwise)
{
    const char *value = getenv(name);
    return value ? (unsigned)strtoul(value, NULL, 0) : otherwise;
}

static void nothing_is_lost_and_nothing_comes_twice(void **state)
{
    static const uint64_t layouts[] = {0, UINT64_C(1) << BH_F_RING_PACKED,
                                       UINT64_C(1) << BH_F_EVENT_IDX | UINT64_C(1) << BH_F_IN_ORDER};
    const unsigned kills = environment("BH_RECOVERY_KILLS", 60);
    unsigned seed = environment("BH_RECOVERY_SEED", 1);
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct sitting sitting = {.ring_bits = layouts[l]};
        struct rec rec;
        int status;
        rec_open(&rec);
        rec.make = make_console;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, rec.line), 0);
        assert_int_equal(pipe(sitting.go_on), 0);
        rec_start_device(&rec, false);
        rec_start_front(&rec, converse, &sitting);
        for (unsigned i = 0; i < kills; i++) {
            seed = seed * 1103515245u + 12345u;
            usleep(200 + (seed >> 16) % 6000);
            rec_kill_device(&rec);
            rec_start_device(&rec, false);
        }
        usleep(20000);
        assert_int_equal(write(sitting.go_on[1], "", 1), 1);
        assert_int_equal(waitpid(rec.front, &status, 0), rec.front);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("layout %u: text was lost or came twice", l);
        rec_wait_device(&rec);
        rec_close(&rec);
        for (unsigned i = 0; i < 2; i++) {
            close(rec.line[i]);
            close(sitting.go_on[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_nothing_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
