/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static probes (USDT) at the four places where requests change hands: pop, push, kick, call. A tracer can attach to
 * them in a running process (docs/tracing.md). One that nobody attached to is a single nop: its arguments are told by
 * a note in the executable, as registers and memory that the code has anyway.
 *
 * They are there where the build finds <sys/sdt.h> and says BH_PROBES; elsewhere nothing stands in their place.
 *
 * Threading: any.   Ownership: none.   May block: no.
 */
#ifndef CORE_PROBE_H
#define CORE_PROBE_H

#ifdef BH_PROBES

#include <sys/sdt.h>

/* Queue, chains taken, chains in flight now. */
#define BH_PROBE_POP(q, count) DTRACE_PROBE3(bulkhead, pop, (q)->index, (count), (q)->in_flight)
/* Queue, chains given back, chains in flight before. */
#define BH_PROBE_PUSH(q, count) DTRACE_PROBE3(bulkhead, push, (q)->index, (count), (q)->in_flight)
/* Queue: the driver notified us. */
#define BH_PROBE_KICK(q) DTRACE_PROBE1(bulkhead, kick, (q)->index)
/* Queue: the driver is notified. */
#define BH_PROBE_CALL(q) DTRACE_PROBE1(bulkhead, call, (q)->index)

#else

#define BH_PROBE_POP(q, count)  ((void)0)
#define BH_PROBE_PUSH(q, count) ((void)0)
#define BH_PROBE_KICK(q)        ((void)0)
#define BH_PROBE_CALL(q)        ((void)0)

#endif

#endif
