/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's second half, for sandbox.c alone: the filter of system calls.
 *
 * Threading: before any thread is started.   Ownership: none.   May block: no.
 */
#ifndef PORTS_LINUX_SANDBOX_FILTER_H
#define PORTS_LINUX_SANDBOX_FILTER_H

#include <bulkhead/impl/sandbox.h>

/* Sanitizers and gcov open files and start threads at moments of their own: nothing of theirs would pass. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(BH_COVERAGE)
#define BH_SANDBOX_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BH_SANDBOX_INSTRUMENTED 1
#endif
#endif
#ifndef BH_SANDBOX_INSTRUMENTED
#define BH_SANDBOX_INSTRUMENTED 0
#endif

/* Let only sandbox->syscalls through from now on. 0, or the host's negative errno. */
int bh_sandbox_filter(const struct bh_sandbox *sandbox) BH_MUST_USE;

#endif
