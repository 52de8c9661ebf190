/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person reads of the reasons for which a queue or device was given up.
 */
#include <bulkhead/virtq.h>

static const char *const texts[] = {
    [BH_BROKEN_NONE] = "not broken",
    [BH_BROKEN_AVAIL_INDEX] = "more made available than the queue holds",
    [BH_BROKEN_HEAD_RANGE] = "head outside the descriptor table",
    [BH_BROKEN_HEAD_IN_FLIGHT] = "head made available again before it was used",
    [BH_BROKEN_NEXT_RANGE] = "next descriptor outside its table",
    [BH_BROKEN_CHAIN_LONG] = "descriptor chain too long",
    [BH_BROKEN_CHAIN_EMPTY] = "descriptor or indirect table of no bytes",
    [BH_BROKEN_CHAIN_BYTES] = "descriptor chain of 2^32 bytes or more",
    [BH_BROKEN_ORDER] = "device-readable descriptor after a device-writable one",
    [BH_BROKEN_INDIRECT] = "indirect descriptor not allowed or of a wrong length",
    [BH_BROKEN_FAULT] = "buffer outside guest memory or not writable",
    [BH_BROKEN_RING_FAULT] = "ring or indirect table outside guest memory",
    [BH_BROKEN_RING_ALIGN] = "ring not aligned",
    [BH_BROKEN_CLASS] = "request that the device cannot answer",
};
_Static_assert(BH_COUNT(texts) == BH_BROKEN_COUNT, "every reason has a text");

const char *bh_broken_text(enum bh_broken reason)
{
    if ((unsigned)reason >= BH_COUNT(texts))
        return "unknown reason";
    return texts[reason];
}
