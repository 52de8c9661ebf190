/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common main of the device processes: one class, one vhost-user socket, one loop.
 *
 * Threading: the process's main thread.   Ownership: none.   May block: it is the process.
 */
#ifndef PROGRAMS_DEVICE_H
#define PROGRAMS_DEVICE_H

#include <bulkhead/impl/hosted_class.h>

enum { BH_DEVICE_SANDBOX_ON, BH_DEVICE_SANDBOX_OFF, BH_DEVICE_SANDBOX_REQUIRED };

struct bh_device_process_values {
    char *socket_path;
    char *connect;
    uint64_t fd;
    char *features;
    char *control;
    uint64_t control_fd;
    int sandbox; /* BH_DEVICE_SANDBOX_ */
    bool print_capabilities, help, version;
};
/*
 * What every device program takes beside its class's options. Those that are not the command line's alone are
 * properties of a description's devices as well. Man pages and completion are made from it.
 */
extern const struct bh_option bh_device_process_options[];
/* Of those, what bulkhead-switch takes, which serves no front-end. */
extern const struct bh_option bh_switch_process_options[];

/* The system calls that a program's sources need: one table a program, gathered by the build (tools/syscalls). */
extern const char *const bh_program_syscalls[];

/* `syscalls`: what its sandbox lets through. Returns the process's exit status: bulkhead/impl/exit_status.h. */
int bh_device_main(const struct bh_hosted_class *class, const char *const *syscalls, int argc, char **argv);

/* What is not offered unless it is asked for: ACCESS_PLATFORM. */
struct bh_features bh_features_default_withheld(void);
/* What "-packed,-event_idx" takes away ("+access_platform" gives), of a text that the option's table let pass. BH_ERR_NOMEM. */
int bh_features_parse(const char *text, struct bh_features *withheld) BH_MUST_USE;
/* The table's check of that text: BH_ERR_INVAL for a word that is no feature, which is said. */
int bh_features_check(const char *text, struct bh_diag_sink *sink,
                      const struct bh_diag_where *where) BH_MUST_USE;

#endif
