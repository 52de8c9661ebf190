/* SPDX-License-Identifier: Apache-2.0 */
/* The split ring under a driver that writes anything at any time. */
#include "tests/fuzz/ring_input.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ring_input_run(data, size, false);
    return 0;
}
