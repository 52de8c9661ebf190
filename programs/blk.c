/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-blk: the disk as a process of its own.
 */
#include "devices/blk/blk_host.h"
#include "programs/device.h"

int main(int argc, char **argv)
{
    return bh_device_main(&bh_blk_hosted, bh_program_syscalls, argc, argv);
}
