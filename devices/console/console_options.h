/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user sets of a console.
 *
 * Threading: a table is const.   Ownership: as impl/option.h.   May block: no.
 */
#ifndef DEVICES_CONSOLE_CONSOLE_OPTIONS_H
#define DEVICES_CONSOLE_CONSOLE_OPTIONS_H

#include <bulkhead/impl/option.h>

enum bh_console_port_kind {
    BH_CONSOLE_AUTO,
    BH_CONSOLE_STDIO,
    BH_CONSOLE_PTY,
    BH_CONSOLE_SOCKET,
    BH_CONSOLE_NONE,
};

struct bh_console_values {
    int port; /* enum bh_console_port_kind */
    char *socket;
    uint64_t socket_fd; /* BH_CONSOLE_NO_FD: none */
    char *pty_link;
    char *log_file;
    uint64_t log_size;
    uint64_t log_keep;
    uint64_t cols, rows;
    uint64_t queue_size;
    struct bh_option_list named_port; /* bh_named_port_check */
    uint64_t ports_max;               /* 0: as many as there are at the start */
    char *ports_folder;
};
#define BH_CONSOLE_NO_FD 65535u

extern const struct bh_option bh_console_options[];

#endif
