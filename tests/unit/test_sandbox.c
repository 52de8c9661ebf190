/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox from within: a child enters it, tries what a guest that took the process over would try, and tells by
 * its exit status what happened. Each try is made with and without the sandbox, so that a try which always fails is
 * found out.
 */
#include "ports/linux/sandbox_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { DONE = 0, REFUSED = 1, NOT_ENTERED = 2, CAUGHT = 128 + SIGSYS };

static const char *const calls[] = {
    "write",          "exit_group", "mmap",  "mprotect", "socket", "openat",   "close",
    "rt_sigaction",   "newfstatat", "mkdir", "mkdirat",  "unlink", "unlinkat", "rt_sigreturn",
    "capget",         "prctl",      "brk",   "munmap",   "clone",  "clone3",   "set_robust_list",
    "rt_sigprocmask", "kill",       "fcntl", "flock",    "ioctl",  "connect",  NULL};
static char folder[] = "/tmp/bh-sandbox.XXXXXX";
static char seen[64], unseen[64];

/* What a child does, alone or in the sandbox. */
static int run_in(int (*attempt)(void), bool sandboxed, bool network, bool required, void (*before)(void))
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        struct bh_sandbox sandbox = {.syscalls = calls, .network = network, .required = required};
        bh_sandbox_path(&sandbox, seen, false);
        const int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDERR_FILENO);
        if (before)
            before();
        if (sandboxed && bh_sandbox_enter(&sandbox, NULL))
            _exit(NOT_ENTERED);
        _exit(attempt());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run(int (*attempt)(void), bool sandboxed, bool network)
{
    return run_in(attempt, sandboxed, network, false, NULL);
}

static int verdict(bool done)
{
    return done ? DONE : REFUSED;
}

static int see_what_is_named(void)
{
    return verdict(open(seen, O_RDONLY) >= 0);
}

static int write_what_is_named(void)
{
    return verdict(open(seen, O_WRONLY) >= 0);
}

static int see_another_file(void)
{
    return verdict(open(unseen, O_RDONLY) >= 0);
}

static int see_the_host(void)
{
    struct stat file;
    return verdict(stat("/etc/passwd", &file) == 0 || stat("/proc/1", &file) == 0 ||
                   stat("/usr", &file) == 0);
}

static int make_a_file(void)
{
    const bool made = mkdir("/tmp/bh-sandbox-made", 0700) == 0;
    if (made)
        (void)rmdir("/tmp/bh-sandbox-made");
    return verdict(made);
}

static int run_written_memory(void)
{
    return verdict(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                   MAP_FAILED);
}

static int use_plain_memory(void)
{
    return verdict(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                   MAP_FAILED);
}

static int start_a_program(void)
{
    char *const words[] = {(char *)(uintptr_t) "/bin/true", NULL};
    execv(words[0], words);
    return REFUSED;
}

static int start_a_process(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    return verdict(child > 0);
}

static int reach_the_network(void)
{
    return verdict(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
}

static int ask_the_kernel(void)
{
    return verdict(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
}

static int use_unix_sockets(void)
{
    return verdict(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
}

/* The test's own, which listens on the host's side. */
static struct sockaddr_un abstract = {.sun_family = AF_UNIX};
static socklen_t abstract_length = sizeof(abstract);

static int reach_an_abstract_socket(void)
{
    return verdict(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&abstract, abstract_length) ==
                   0);
}

static int set_a_handler(void)
{
    const struct sigaction action = {.sa_handler = SIG_IGN};
    return verdict(sigaction(SIGSYS, &action, NULL) == 0);
}

static int signal_another_process(void)
{
    return verdict(kill(getppid(), 0) == 0);
}

/* With O_ASYNC and F_SETSIG it would be as good as a kill. */
static int signal_another_by_a_file(void)
{
    return verdict(fcntl(STDERR_FILENO, F_SETOWN, getppid()) == 0);
}

static int signal_another_by_a_socket(void)
{
    int owner = getppid();
    return verdict(ioctl(socket(AF_UNIX, SOCK_DGRAM, 0), FIOSETOWN, &owner) == 0);
}

static int let_a_lock_go(void)
{
    return verdict(flock(STDERR_FILENO, LOCK_UN) == 0);
}

static int use_a_file(void)
{
    return verdict(fcntl(STDERR_FILENO, F_GETFL) >= 0 && (isatty(STDERR_FILENO) || errno == ENOTTY));
}

static int call_something_else(void)
{
    return verdict(chdir("/") == 0);
}

static int keep_a_capability(void)
{
    for (int capability = 0; capability < 38; capability++)
        if (prctl(PR_CAPBSET_READ, capability) == 1)
            return DONE;
    return REFUSED;
}

#define BOTH_WAYS(attempt, expected)                                                                         \
    do {                                                                                                     \
        assert_int_equal(run(attempt, false, false), DONE);                                                  \
        assert_int_equal(run(attempt, true, false), expected);                                               \
    } while (0)

static void files(void **state)
{
    BOTH_WAYS(see_what_is_named, DONE);
    BOTH_WAYS(write_what_is_named, REFUSED);
    BOTH_WAYS(see_another_file, REFUSED);
    BOTH_WAYS(see_the_host, REFUSED);
    BOTH_WAYS(make_a_file, REFUSED);
}

static void memory(void **state)
{
    BOTH_WAYS(run_written_memory, CAUGHT);
    BOTH_WAYS(use_plain_memory, DONE);
}

static void processes(void **state)
{
    BOTH_WAYS(start_a_program, CAUGHT);
    BOTH_WAYS(start_a_process, CAUGHT);
    BOTH_WAYS(set_a_handler, CAUGHT);
    BOTH_WAYS(signal_another_process, CAUGHT);
    BOTH_WAYS(signal_another_by_a_file, CAUGHT);
    BOTH_WAYS(signal_another_by_a_socket, CAUGHT);
    BOTH_WAYS(let_a_lock_go, CAUGHT);
    BOTH_WAYS(use_a_file, DONE);
    BOTH_WAYS(call_something_else, CAUGHT);
    if (geteuid() == 0)
        BOTH_WAYS(keep_a_capability, REFUSED);
}

static void network(void **state)
{
    BOTH_WAYS(reach_the_network, CAUGHT);
    BOTH_WAYS(use_unix_sockets, DONE);
    assert_int_equal(run(reach_the_network, true, true), DONE);
    BOTH_WAYS(ask_the_kernel, CAUGHT);
    assert_int_equal(run(ask_the_kernel, true, true), CAUGHT);
}

static void abstract_sockets(void **state)
{
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&abstract, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&abstract, &abstract_length), 0);
    assert_int_equal(listen(listening, 8), 0);
    BOTH_WAYS(reach_an_abstract_socket, REFUSED);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6)
        assert_int_equal(run(reach_an_abstract_socket, true, true), REFUSED);
    else
        assert_int_equal(run_in(reach_an_abstract_socket, true, true, true, NULL), NOT_ENTERED);
    close(listening);
}

/* As a container's host does. */
static void refuse_namespaces(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) ||
        seccomp_load(filter))
        _exit(77);
    seccomp_release(filter);
}

/* The rest stands, or nothing is served. */
static void what_the_host_refuses(void **state)
{
    assert_int_equal(run_in(use_plain_memory, true, false, true, NULL), DONE);
    assert_int_equal(run_in(see_another_file, true, false, false, refuse_namespaces), DONE);
    assert_int_equal(run_in(run_written_memory, true, false, false, refuse_namespaces), CAUGHT);
    assert_int_equal(run_in(use_plain_memory, true, false, true, refuse_namespaces), NOT_ENTERED);
}

static int make_files(void **state)
{
    if (BH_SANDBOX_INSTRUMENTED) {
        printf("a program with sanitizers or coverage enters no sandbox\n");
        exit(77);
    }
    assert_non_null(mkdtemp(folder));
    snprintf(seen, sizeof(seen), "%s/seen", folder);
    snprintf(unseen, sizeof(unseen), "%s/unseen", folder);
    close(open(seen, O_CREAT | O_WRONLY, 0644));
    close(open(unseen, O_CREAT | O_WRONLY, 0644));
    return 0;
}

static int remove_files(void **state)
{
    (void)unlink(seen);
    (void)unlink(unseen);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(memory),
        cmocka_unit_test(processes),
        cmocka_unit_test(network),
        cmocka_unit_test(abstract_sockets),
        cmocka_unit_test(what_the_host_refuses),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
