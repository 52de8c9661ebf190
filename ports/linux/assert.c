/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a process that found a bug of its own: one line on stderr, then abort(), so that a core is left and
 * the supervisor sees a crash and not an exit.
 */
#include <bulkhead/base.h>

#include <stdio.h>
#include <stdlib.h>

_Noreturn void bh_assert_failed(const char *expression, const char *file, unsigned line)
{
    if (file)
        dprintf(2, "bulkhead: %s:%u: a bug: this does not hold: %s\n", file, line, expression);
    else
        dprintf(2, "bulkhead: a bug, called from %p\n", __builtin_return_address(0));
    abort();
}
