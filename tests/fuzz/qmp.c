/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a QEMU says on its control socket, in pieces of the input's choice. A guest that broke its QEMU speaks here.
 * Input: the first byte is the size of the pieces, the rest the stream.
 */
#include "engines/qemu/qmp.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS_MAX = 100000 };

static unsigned events;

static void on_event(struct bh_qmp *qmp, const char *name, const char *reason, bool guest)
{
    events++;
    if (name && reason && name[0] == 'Q' && guest)
        bh_qmp_fini(qmp); /* the owner ends it in the midst */
}

static void on_error(struct bh_qmp *qmp, const char *what)
{
    if (!what[0])
        events++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_loop *loop;
    struct bh_qmp qmp;
    char answers[4096];
    int ends[2];
    if (!size || bh_loop_create(&loop))
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        abort();
    if (bh_qmp_init(&qmp, loop, ends[1], on_event, on_error))
        abort();
    const size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size && qmp.fd >= 0; at += piece) {
        const size_t length = size - at < piece ? size - at : piece;
        if (send(ends[0], data + at, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        for (int round = 0; bh_loop_step(loop, 0) > 0; round++)
            if (round > ROUNDS_MAX)
                abort(); /* it must come to rest */
        while (recv(ends[0], answers, sizeof(answers), MSG_DONTWAIT) > 0)
            ;
    }
    bh_qmp_fini(&qmp);
    close(ends[0]);
    bh_loop_destroy(loop);
    return 0;
}
