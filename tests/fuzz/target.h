/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target defines, by the name that libFuzzer gives it. Returns 0. */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
