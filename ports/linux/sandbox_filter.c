/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of system calls: names from the build's list, with what is forbidden even of those. libseccomp makes the
 * program for the kernel.
 *
 * Theory of operation
 *   A call that is not let through raises SIGSYS; its handler writes one line and ends the process, so that a person
 * learns the number. The handler cannot be taken away by the process.
 *
 * What the C library and the handler need of every process:
 * #syscalls exit exit_group write futex rt_sigreturn rt_sigprocmask rt_sigaction brk mmap munmap mremap madvise
 * #syscalls close clock_gettime restart_syscall getpid gettid
 */
#include "ports/linux/sandbox_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Memory that can be written and then run is how an overflow becomes a program; a child process is another way; and
 * signal handlers may be asked for, not changed. A lock that was inherited is the daemon's too: not to be let go.
 */
static const struct {
    const char *name;
    struct scmp_arg_cmp when;
} narrowed[] = {
    {"mmap", {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
    {"mprotect", {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
    {"rt_sigaction", {1, SCMP_CMP_EQ, 0, 0}},
    {"clone", {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD}},
    {"flock", {1, SCMP_CMP_EQ, LOCK_EX | LOCK_NB, 0}},
};

/*
 * Calls that are many in one, and what stays of them: among the rest are fcntl's and ioctl's F_SETOWN, by which any
 * process of our user can be sent any signal, and TIOCSTI, which types for whoever sits at a terminal.
 */
static const struct {
    const char *name;
    uint32_t commands[32]; /* 0 ends them */
} many[] = {
    {"fcntl",
     {F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_ADD_SEALS, F_GET_SEALS, F_OFD_SETLK,
      F_OFD_GETLK}},
    {"ioctl",
     {TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCGPTN, TIOCSPTLCK, FIONBIO, FIONREAD, BLKGETSIZE64,
      BLKSSZGET, BLKPBSZGET, BLKDISCARD, BLKSECDISCARD, TUNSETIFF, TUNGETIFF, TUNSETOFFLOAD, TUNSETQUEUE,
      TUNSETVNETHDRSZ, SIOCGIFMTU,
      /* TCGETS2 and its kin, which newer C libraries use; their header goes with no other */
      0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d}},
};

static char *put_number(char *at, unsigned number)
{
    char digits[12];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count)
        *at++ = digits[--count];
    return at;
}

static void refused(int signo, siginfo_t *info, void *context)
{
    static const char before[] = "bulkhead: sandbox: system call ", after[] = " is not let through; ending\n";
    char text[sizeof(before) + sizeof(after) + 12], *at = text;
    memcpy(at, before, sizeof(before) - 1);
    at = put_number(at + sizeof(before) - 1, (unsigned)info->si_syscall);
    memcpy(at, after, sizeof(after) - 1);
    at += sizeof(after) - 1;
    if (write(STDERR_FILENO, text, (size_t)(at - text)) < 0)
        _exit(128 + SIGSYS);
    _exit(128 + SIGSYS);
}

/* A command is an int: what stands above it is nobody's. */
static int add_commands(scmp_filter_ctx filter, int number, const uint32_t *command)
{
    int result = 0;
    for (; !result && *command; command++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, *command));
    return result;
}

/* Netlink, packet sockets, the kernel's crypto: nobody's business, with or without the network. */
static int add_families(scmp_filter_ctx filter, int number, bool network)
{
    static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_VSOCK};
    int result = 0;
    for (unsigned i = 0; !result && i < (network ? sizeof(families) / sizeof(families[0]) : 1u); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1, SCMP_A0(SCMP_CMP_EQ, families[i]));
    return result;
}

static int add(scmp_filter_ctx filter, const struct bh_sandbox *sandbox, const char *name)
{
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) /* this library is older than the call */
        return 0;
    for (size_t i = 0; i < sizeof(narrowed) / sizeof(narrowed[0]); i++)
        if (strcmp(narrowed[i].name, name) == 0)
            return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &narrowed[i].when);
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        if (strcmp(many[i].name, name) == 0)
            return add_commands(filter, number, many[i].commands);
    if (strcmp(name, "kill") == 0)
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (strcmp(name, "socket") == 0)
        return add_families(filter, number, sandbox->network);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

int bh_sandbox_filter(const struct bh_sandbox *sandbox)
{
    const struct sigaction action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    int result = filter ? 0 : -ENOMEM;
    for (const char *const *name = sandbox->syscalls; !result && *name; name++)
        result = add(filter, sandbox, *name);
    /* Its flags are in memory, out of a filter's sight: the C library asks for clone instead when it is told so. */
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!result && sigaction(SIGSYS, &action, NULL))
        result = -errno;
    if (!result)
        result = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    return result;
}
