/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of the network loads: between two addresses that are ours alone, of the EtherType that is set aside for
 * local experiments, so that nothing on the way makes anything of them.
 */
#include "bench/load.h"

#include <string.h>

static const uint8_t header[14] = {BENCH_MAC(2), BENCH_MAC(1), 0x88, 0xb5};

void bench_frame_lay(uint8_t *frame, uint32_t size)
{
    memset(frame, 0, size);
    memcpy(frame, header, size < sizeof(header) ? size : sizeof(header));
}

void bench_frame_answer(uint8_t *frame, uint32_t size)
{
    const uint8_t from_two[14] = {BENCH_MAC(1), BENCH_MAC(2), 0x88, 0xb5};

    memset(frame, 0, size);
    memcpy(frame, from_two, size < sizeof(from_two) ? size : sizeof(from_two));
}

bool bench_frame_ours(const uint8_t *frame)
{
    return memcmp(frame, header, sizeof(header)) == 0;
}
