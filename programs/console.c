/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-console: the console as a process of its own.
 */
#include "devices/console/console_host.h"
#include "programs/device.h"

int main(int argc, char **argv)
{
    return bh_device_main(&bh_console_hosted, bh_program_syscalls, argc, argv);
}
