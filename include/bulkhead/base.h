/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ground words: wire integers, typed addresses, assertions. Freestanding; everything includes it.
 *
 * Wire integers (bh_le16 and kin) and addresses are one-member structs, so that a guest's address cannot be
 * used as a number, nor a little-endian field as a native one, without saying so.
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef BULKHEAD_BASE_H
#define BULKHEAD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint16_t raw;
} bh_le16;
typedef struct {
    uint32_t raw;
} bh_le32;
typedef struct {
    uint64_t raw;
} bh_le64;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BH_LE_(bits, x) (x)
#else
#define BH_LE_(bits, x) __builtin_bswap##bits(x)
#endif

static inline uint16_t bh_le16_get(bh_le16 x)
{
    return (uint16_t)BH_LE_(16, x.raw);
}
static inline uint32_t bh_le32_get(bh_le32 x)
{
    return BH_LE_(32, x.raw);
}
static inline uint64_t bh_le64_get(bh_le64 x)
{
    return BH_LE_(64, x.raw);
}
static inline bh_le16 bh_le16_of(uint16_t x)
{
    return (bh_le16){(uint16_t)BH_LE_(16, x)};
}
static inline bh_le32 bh_le32_of(uint32_t x)
{
    return (bh_le32){BH_LE_(32, x)};
}
static inline bh_le64 bh_le64_of(uint64_t x)
{
    return (bh_le64){BH_LE_(64, x)};
}

/*
 * All that freestanding code has of a C library: the four functions that the compiler calls on its own. Declared here
 * since bare-metal toolchains come without <string.h>.
 */
#if __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
#endif

/* What a descriptor holds: a guest-physical address, an IOVA, a grant or an area address. */
typedef struct {
    uint64_t raw;
} bh_daddr_t;
/* What a vhost-user front-end says of rings: an address of its own process [vhost-user, "Memory access"]. */
typedef struct {
    uint64_t raw;
} bh_uaddr_t;

static inline bh_daddr_t bh_daddr(uint64_t raw)
{
    return (bh_daddr_t){raw};
}
static inline bh_uaddr_t bh_uaddr(uint64_t raw)
{
    return (bh_uaddr_t){raw};
}

/*
 * A build for size (-Os) leaves out what is there only to be quick, and texts. BH_SPEED is a constant to be asked by
 * `if`, so that both builds compile the same code.
 */
#ifdef __OPTIMIZE_SIZE__
#define BH_SPEED       0
#define BH_FAST_INLINE __attribute__((noinline))
#define BH_HERE_(text) NULL, NULL, 0
#else
#define BH_SPEED       1
#define BH_FAST_INLINE inline __attribute__((always_inline)) /* one copy for each caller's constants */
#define BH_HERE_(text) text, __FILE__, __LINE__
#endif

/*
 * A bug of ours. Never on outside data. Never compiled out. The port ends the program's use of the device:
 * a process aborts, the island enters its safe state. In a build for size it is told no text, file and line: where it was
 * called from says the same.
 */
_Noreturn void bh_assert_failed(const char *expression /* may be NULL */, const char *file /* may be NULL */,
                                unsigned line);
#define BH_ASSERT(x) ((x) ? (void)0 : bh_assert_failed(BH_HERE_(#x)))

#define BH_COUNT(array)                 (sizeof(array) / sizeof((array)[0]))
#define BH_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define BH_LIKELY(x)                    __builtin_expect(!!(x), 1)
#define BH_UNLIKELY(x)                  __builtin_expect(!!(x), 0)

#endif
