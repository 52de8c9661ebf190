/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-net: the network card as a process of its own.
 */
#include "devices/net/net_host.h"
#include "programs/device.h"

int main(int argc, char **argv)
{
    return bh_device_main(&bh_net_hosted, bh_program_syscalls, argc, argv);
}
