/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-vsock: the socket device as a process of its own.
 */
#include "devices/vsock/vsock_host.h"
#include "programs/device.h"

int main(int argc, char **argv)
{
    return bh_device_main(&bh_vsock_hosted, bh_program_syscalls, argc, argv);
}
