/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-rng: the entropy source as a process of its own.
 */
#include "devices/rng/rng_host.h"
#include "programs/device.h"

int main(int argc, char **argv)
{
    return bh_device_main(&bh_rng_hosted, bh_program_syscalls, argc, argv);
}
