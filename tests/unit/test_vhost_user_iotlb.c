/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user behind an IOMMU: what is not known is asked for, what was invalidated is not used, what is denied is a
 * fault, and a front-end that answers anything at all harms only its own connection.
 */
#include "tests/unit/vhost_user_rig.h"

#include "transports/vhost_user/iotlb.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL_BIT (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define IOMMU_BIT    (UINT64_C(1) << BH_F_ACCESS_PLATFORM)
enum { PAGE = 4096 };

/* --- the cache alone ------------------------------------------------------------------------------------- */

static uint8_t memory_a[4 * PAGE], memory_b[4 * PAGE];
static const struct bh_mem_region regions[] = {
    {.base = {0x10000}, .size = sizeof(memory_a), .host = memory_a, .user = {0x7000}, .slot = 3, .access = 3},
    {.base = {0x80000},
     .size = sizeof(memory_b),
     .host = memory_b,
     .user = {0x90000},
     .slot = 4,
     .access = 3},
};
static const struct bh_mem_table table = {regions, 2};

static bool change(struct bh_vu_iotlb *iotlb, uint8_t type, uint64_t iova, uint64_t size, uint64_t user,
                   uint8_t permissions)
{
    const struct vhost_user_iotlb message = {iova, size, user, permissions, type, {0}};
    return bh_vu_iotlb_change(iotlb, &table, &message);
}

static void translations_lead_on_across_entries_and_stop_at_gaps(void **state)
{
    struct bh_vu_iotlb *iotlb = calloc(1, sizeof(*iotlb));
    struct bh_mem_span span;
    (void)state;
    assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xa000, PAGE, 0x7000, 3));
    assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xb000, PAGE, 0x8000, 3));
    assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xc000, 2 * PAGE, 0x90000, 1));
    /* Two entries, one piece; the third leads elsewhere. */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xa010, 4 * PAGE - 32, 1, &span), BH_MEM_HERE);
    assert_ptr_equal(span.host, memory_a + 0x10);
    assert_int_equal(span.len, 2 * PAGE - 0x10);
    assert_int_equal(span.slot, 3);
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xc000, 2 * PAGE, 1, &span), BH_MEM_HERE);
    assert_ptr_equal(span.host, memory_b);
    /* A hole: all of it is asked for, each page once. */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xd800, 3 * PAGE, 1, &span), BH_MEM_PENDING);
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xd800, 3 * PAGE, 1, &span), BH_MEM_PENDING);
    assert_int_equal(iotlb->asked_count, 3);
    /* To be written, where only reading is allowed. */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xc000, 8, 2, &span), BH_MEM_PENDING);
    assert_int_equal(iotlb->asked_count, 4);
    free(iotlb);
}

static void what_makes_no_sense_is_not_taken(void **state)
{
    struct bh_vu_iotlb *iotlb = calloc(1, sizeof(*iotlb));
    (void)state;
    assert_false(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xa000, 0, 0x7000, 3));
    assert_false(change(iotlb, VHOST_USER_IOTLB_UPDATE, UINT64_MAX - 10, PAGE, 0x7000, 3));
    assert_false(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xa000, PAGE, 0x7000 + sizeof(memory_a) - 1, 3));
    assert_false(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xa000, PAGE, UINT64_MAX - 10, 3));
    assert_false(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xa000, PAGE, 0x7000, 4));
    assert_false(change(iotlb, VHOST_USER_IOTLB_MISS, 0xa000, PAGE, 0x7000, 3));
    assert_false(change(iotlb, 77, 0xa000, PAGE, 0x7000, 3));
    assert_int_equal(iotlb->count, 0);
    assert_true(change(iotlb, VHOST_USER_IOTLB_INVALIDATE, 0, UINT64_MAX, 0, 0));
    free(iotlb);
}

static void answers_say_what_there_is_not(void **state)
{
    struct bh_vu_iotlb *iotlb = calloc(1, sizeof(*iotlb));
    struct bh_mem_span span;
    (void)state;
    for (uint64_t iova = 0xa000; iova <= 0xd000; iova += PAGE)
        assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, iova, 8, 2, &span), BH_MEM_PENDING);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bh_vu_iotlb_next_question(iotlb)->page, 0xa000 + i * PAGE);
    assert_null(bh_vu_iotlb_next_question(iotlb));
    bh_vu_iotlb_answered(iotlb, false);                                           /* a: nothing */
    assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xb000, PAGE, 0x7000, 1)); /* b: less than asked for */
    bh_vu_iotlb_answered(iotlb, true);
    assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, 0xc000, PAGE, 0x7000, 3)); /* c */
    bh_vu_iotlb_answered(iotlb, true);
    assert_true(
        change(iotlb, VHOST_USER_IOTLB_INVALIDATE, 0xd000, PAGE, 0, 0)); /* d means something else now */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xd000, 8, 2, &span), BH_MEM_PENDING);
    assert_int_equal(bh_vu_iotlb_next_question(iotlb)->page, 0xd000);
    bh_vu_iotlb_answered(iotlb, false); /* to the first question about d */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xd000, 8, 2, &span), BH_MEM_PENDING);
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xa000, 8, 2, &span), BH_MEM_FAULT);
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xb000, 8, 2, &span), BH_MEM_FAULT);
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xc000, 8, 2, &span), BH_MEM_HERE);
    /* Denied once is not denied for ever. */
    assert_int_equal(bh_vu_iotlb_translate(iotlb, &table, 0xa000, 8, 2, &span), BH_MEM_PENDING);
    free(iotlb);
}

/* Against a plain model, one byte a page: entries of all sizes over one another, more of them than there is room for. */
static void a_long_random_history_agrees_with_a_plain_model(void **state)
{
    enum { PAGES = 6000 };
    struct bh_vu_iotlb *iotlb = calloc(1, sizeof(*iotlb));
    uint64_t *model = calloc(PAGES, sizeof(*model)); /* user address and access, 0: nothing */
    uint32_t dice = 7;
    unsigned forgotten = 0;
    (void)state;
    for (unsigned turn = 0; turn < 40000; turn++) {
        struct bh_mem_span span;
        unsigned page, pages, access;
        dice = dice * 1664525 + 1013904223;
        page = (dice >> 8) % PAGES;
        pages = 1 + (dice >> 24) % 4;
        access = 1 + (dice >> 5) % 3;
        if (page + pages > PAGES)
            continue;
        if (dice >> 30) {
            assert_true(change(iotlb, VHOST_USER_IOTLB_UPDATE, (uint64_t)page * PAGE, (uint64_t)pages * PAGE,
                               0x90000, (uint8_t)access));
            for (unsigned i = 0; i < pages; i++)
                model[page + i] = (0x90000 + i * PAGE) | access;
        } else {
            assert_true(change(iotlb, VHOST_USER_IOTLB_INVALIDATE, (uint64_t)page * PAGE,
                               (uint64_t)pages * PAGE, 0, 0));
            for (unsigned i = 0; i < pages; i++)
                model[page + i] = 0;
        }
        for (unsigned i = 1; i < iotlb->count; i++)
            if (turn % 64 == 0)
                assert_true(iotlb->entries[i - 1].last < iotlb->entries[i].iova);
        page = (dice >> 3) % PAGES;
        iotlb->asked_count = 0;
        if (bh_vu_iotlb_translate(iotlb, &table, (uint64_t)page * PAGE + 5, 7, 1, &span) == BH_MEM_HERE) {
            assert_true(model[page] & 1);
            /* The table says that the region is larger than the array that stands for it here. */
            assert_int_equal((uintptr_t)span.host,
                             (uintptr_t)memory_b + (model[page] & ~UINT64_C(3)) - 0x90000 + 5);
        } else if (model[page] & 1) {
            forgotten++; /* only ever what had to make room, or was cut */
        }
    }
    assert_true(forgotten > 0 && iotlb->count > BH_VU_IOTLB_ENTRIES / 2);
    free(model);
    free(iotlb);
}

/* --- a connection ---------------------------------------------------------------------------------------- */

struct iommu {
    struct rig rig;
    int channel;
};

/* The guest's addresses are as its IOMMU has them: OFFSET above the physical ones. */
#define OFFSET UINT64_C(0x700000000)

static void tell_rings(struct iommu *iommu)
{
    struct rig *rig = &iommu->rig;
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        const struct bh_virtq_setup *setup = &rig->queue[i].setup;
        const struct vhost_user_vring_addr addr = {.index = i,
                                                   .descriptor = setup->desc.raw + OFFSET,
                                                   .available = setup->driver.raw + OFFSET,
                                                   .used = setup->device.raw + OFFSET};
        assert_int_equal(rig_ask(rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    }
}

static void iommu_up(struct iommu *iommu, uint64_t ring_bits, bool channel)
{
    static const struct bh_features nothing;
    struct rig *rig = &iommu->rig;
    int ends[2];
    rig_open(rig, false, &nothing);
    rig_negotiate(rig, ring_bits | IOMMU_BIT);
    rig_share_memory(rig);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    iommu->channel = ends[0];
    if (channel)
        assert_int_equal(rig_ask(rig, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &ends[1], 1), 0);
    close(ends[1]);
    rig->stay_silent_on_enable = true;
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        rig_start_ring(rig, i, ring_bits >> BH_F_RING_PACKED & 1 ? 0x80008000u : 0);
    tell_rings(iommu);
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
}

static void iommu_down(struct iommu *iommu)
{
    rig_close(&iommu->rig);
    close(iommu->channel);
}

static uint64_t tell(struct iommu *iommu, uint8_t type, uint64_t iova, uint64_t size, uint64_t user)
{
    const struct vhost_user_iotlb message = {iova, size, user, 3, type, {0}};
    uint64_t value = 99;
    rig_send(&iommu->rig, VHOST_USER_IOTLB_MSG, VHOST_USER_FLAG_NEED_REPLY, &message, sizeof(message), NULL,
             0);
    rig_pump(&iommu->rig);
    assert_int_equal(rig_reply(&iommu->rig, VHOST_USER_IOTLB_MSG, &value, sizeof(value)), 8);
    return value;
}

/* Answers what is asked, as an IOMMU that maps guest memory at OFFSET. Returns how many questions there were. */
static unsigned serve_misses(struct iommu *iommu)
{
    struct {
        struct vhost_user_header head;
        struct vhost_user_iotlb miss;
    } __attribute__((packed)) question;
    struct {
        struct vhost_user_header head;
        uint64_t value;
    } __attribute__((packed)) answer;
    unsigned count = 0;
    while (recv(iommu->channel, &question, sizeof(question), MSG_DONTWAIT) == (ssize_t)sizeof(question)) {
        const uint64_t physical = question.miss.iova - OFFSET - RIG_BASE;
        assert_int_equal(question.head.request, VHOST_USER_BACKEND_IOTLB_MSG);
        assert_int_equal(question.head.flags, VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY);
        assert_int_equal(question.miss.type, VHOST_USER_IOTLB_MISS);
        answer.head = (struct vhost_user_header){VHOST_USER_BACKEND_IOTLB_MSG,
                                                 VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8};
        answer.value = physical >= iommu->rig.guest.size;
        if (!answer.value)
            assert_int_equal(
                tell(iommu, VHOST_USER_IOTLB_UPDATE, question.miss.iova, PAGE, RIG_USER + physical), 0);
        assert_int_equal(send(iommu->channel, &answer, sizeof(answer), 0), sizeof(answer));
        rig_pump(&iommu->rig);
        count++;
    }
    return count;
}

static void add_at(struct iommu *iommu, unsigned index, uint64_t iova, uint32_t len)
{
    const struct bh_drv_buf buf = {bh_daddr(iova), len};
    assert_int_equal(bh_drv_ring_add(&iommu->rig.queue[index].ring, &buf, 0, 1, iommu), BH_OK);
    assert_int_equal(write(iommu->rig.kick[index], &(uint64_t){1}, 8), 8);
    rig_pump(&iommu->rig);
}

static const uint64_t layouts[] = {0, UINT64_C(1) << BH_F_RING_PACKED};

static void rings_and_buffers_are_asked_for_and_served(void **state)
{
    (void)state;
    for (unsigned l = 0; l < BH_COUNT(layouts); l++) {
        struct iommu iommu;
        struct rig *rig = &iommu.rig;
        iommu_up(&iommu, layouts[l], true);
        assert_true(serve_misses(&iommu) > 0); /* the rings */
        assert_int_equal(serve_misses(&iommu), 0);
        for (unsigned i = 0; i < 3 * RIG_SIZE; i++) {
            const uint64_t at = (1u << 18) + (i * 5003) % (1u << 19);
            rig->guest.host[at] = 0;
            add_at(&iommu, i % RIG_QUEUES, RIG_BASE + OFFSET + at, 9000);
            while (serve_misses(&iommu))
                ;
            assert_int_equal(rig_take(rig, i % RIG_QUEUES), 1);
            assert_int_equal(rig->guest.host[at], 0x5a);
            assert_int_equal(rig->guest.host[at + 8999], 0x5a);
        }
        assert_false(rig_get(rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
        iommu_down(&iommu);
    }
}

static void what_is_denied_breaks_that_queue_and_a_reset_mends_it(void **state)
{
    struct iommu iommu;
    struct rig *rig = &iommu.rig;
    (void)state;
    iommu_up(&iommu, 0, true);
    serve_misses(&iommu);
    add_at(&iommu, 0, 0x1234567000, 64); /* nobody's address */
    assert_int_equal(rig_get(rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET, 0);
    assert_int_equal(serve_misses(&iommu), 1);
    assert_true(rig_get(rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    assert_int_equal(rig_ask_u64(rig, VHOST_USER_SET_STATUS, 0), 0);
    assert_int_equal(rig_get(rig, VHOST_USER_GET_STATUS), 0);
    iommu_down(&iommu);
}

static void what_was_invalidated_is_asked_for_again(void **state)
{
    struct iommu iommu;
    struct rig *rig = &iommu.rig;
    const uint64_t at = 1u << 18;
    (void)state;
    iommu_up(&iommu, 0, true);
    serve_misses(&iommu);
    add_at(&iommu, 0, RIG_BASE + OFFSET + at, 8);
    assert_int_equal(serve_misses(&iommu), 1);
    add_at(&iommu, 0, RIG_BASE + OFFSET + at, 8);
    assert_int_equal(serve_misses(&iommu), 0); /* known */
    assert_int_equal(rig_take(rig, 0), 2);
    /* The driver maps another page there. */
    assert_int_equal(tell(&iommu, VHOST_USER_IOTLB_INVALIDATE, RIG_BASE + OFFSET + at, PAGE, 0), 0);
    rig->guest.host[at] = rig->guest.host[at + 5 * PAGE] = 0;
    add_at(&iommu, 0, RIG_BASE + OFFSET + at, 8);
    assert_int_equal(rig_take(rig, 0), 0);
    assert_int_equal(
        tell(&iommu, VHOST_USER_IOTLB_UPDATE, RIG_BASE + OFFSET + at, PAGE, RIG_USER + at + 5 * PAGE), 0);
    assert_int_equal(rig_take(rig, 0), 1);
    assert_int_equal(rig->guest.host[at], 0);
    assert_int_equal(rig->guest.host[at + 5 * PAGE], 0x5a);
    /* Rings too: everything at once, and all is found again. */
    assert_int_equal(tell(&iommu, VHOST_USER_IOTLB_INVALIDATE, 0, UINT64_MAX, 0), 0);
    while (serve_misses(&iommu))
        ;
    add_at(&iommu, 1, RIG_BASE + OFFSET + at, 8);
    while (serve_misses(&iommu))
        ;
    assert_int_equal(rig_take(rig, 1), 1);
    iommu_down(&iommu);
}

static void a_ring_that_waits_for_its_translation_can_be_stopped(void **state)
{
    struct vhost_user_vring_state base = {0, 0};
    struct iommu iommu;
    struct rig *rig = &iommu.rig;
    (void)state;
    iommu_up(&iommu, 0, true);
    rig_send(rig, VHOST_USER_GET_VRING_BASE, 0, &base, sizeof(base), NULL, 0);
    rig_pump(rig);
    assert_int_equal(rig_reply(rig, VHOST_USER_GET_VRING_BASE, &base, sizeof(base)), 8);
    assert_int_equal(base.num, 0);
    serve_misses(&iommu); /* comes late, and changes nothing */
    add_at(&iommu, 0, RIG_BASE + OFFSET + (1u << 18), 8);
    assert_int_equal(rig_take(rig, 0), 0);
    iommu_down(&iommu);
}

static void without_a_channel_or_with_a_babbling_one_only_the_device_breaks(void **state)
{
    static const uint8_t noise[] = {1, 0, 0, 0, 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    struct iommu iommu;
    (void)state;
    iommu_up(&iommu, 0, false);
    assert_true(rig_get(&iommu.rig, VHOST_USER_GET_STATUS) & BH_STATUS_NEEDS_RESET);
    iommu_down(&iommu);
    iommu_up(&iommu, 0, true);
    assert_int_equal(send(iommu.channel, noise, sizeof(noise), 0), sizeof(noise));
    rig_pump(&iommu.rig);
    assert_true(iommu.rig.connected);
    assert_int_equal(tell(&iommu, VHOST_USER_IOTLB_UPDATE, RIG_BASE + OFFSET, iommu.rig.guest.size, RIG_USER),
                     0);
    add_at(&iommu, 0, RIG_BASE + OFFSET + (1u << 18), 8);
    assert_int_equal(rig_take(&iommu.rig, 0), 1);
    iommu_down(&iommu);
}

static void translations_without_an_iommu_are_refused(void **state)
{
    struct iommu iommu;
    (void)state;
    rig_open(&iommu.rig, false, NULL);
    iommu.channel = -1;
    rig_up(&iommu.rig, 0);
    assert_int_equal(tell(&iommu, VHOST_USER_IOTLB_UPDATE, 0, PAGE, RIG_USER), 1);
    assert_true(iommu.rig.connected);
    rig_close(&iommu.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translations_lead_on_across_entries_and_stop_at_gaps),
        cmocka_unit_test(what_makes_no_sense_is_not_taken),
        cmocka_unit_test(answers_say_what_there_is_not),
        cmocka_unit_test(a_long_random_history_agrees_with_a_plain_model),
        cmocka_unit_test(rings_and_buffers_are_asked_for_and_served),
        cmocka_unit_test(what_is_denied_breaks_that_queue_and_a_reset_mends_it),
        cmocka_unit_test(what_was_invalidated_is_asked_for_again),
        cmocka_unit_test(a_ring_that_waits_for_its_translation_can_be_stopped),
        cmocka_unit_test(without_a_channel_or_with_a_babbling_one_only_the_device_breaks),
        cmocka_unit_test(translations_without_an_iommu_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
