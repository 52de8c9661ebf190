/* SPDX-License-Identifier: Apache-2.0 */
/* A queue driven by bytes (ring_input.c): they choose its features and size, write guest memory and call verbs. */
#ifndef TESTS_FUZZ_RING_INPUT_H
#define TESTS_FUZZ_RING_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void ring_input_run(const uint8_t *data, size_t size, bool packed);

#endif
