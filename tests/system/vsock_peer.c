/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for guests and for the host of the vsock tests, static and without threads: what socat cannot do, or does so
 * slowly in an emulated guest that nothing else would be measured.
 *
 *   vsock_peer gen SEED BYTES                     so many bytes of the stream SEED to stdout
 *   vsock_peer check SEED BYTES                   stdin must be exactly those
 *   vsock_peer flow CID PORT TYPE OUT IN BYTES    connect; send stream OUT, check stream IN, both at once
 *   vsock_peer take PORT TYPE OUT IN BYTES        the same for the first connection that comes
 *   vsock_peer echo PORT TYPE                     answer every connection with what it sends, for ever
 *   vsock_peer churn CID PORT COUNT               so many connections, one after the other, each with a word and its answer
 *   vsock_peer again CID PORT                     words and answers until the answer is STOP; a connection that ends in the
 *                                                 midst is made anew, and how many did is said
 *   vsock_peer fill CID PORT                      write until nothing is taken for a second, then wait for the end
 *   vsock_peer ignore PORT                        take connections and read nothing
 *
 * TYPE: stream or seqpacket (messages of 1 to MESSAGE_MAX bytes, whose ends are checked too). Exit status 0: all was right.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define MESSAGE_MAX 60000u
#define PIECE       262144u /* of the longest message that the guest has room for */
#define CLIENTS_MAX 1024u
#define STOP        UINT64_MAX

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "vsock_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- streams ---------------------------------------------------------------------------------------------- */

struct stream {
    uint64_t state;
    uint64_t word;
    unsigned left;
};

static struct stream stream_of(const char *seed)
{
    return (struct stream){.state = strtoull(seed, NULL, 10) * 0x9e3779b97f4a7c15u + 1};
}

static void stream_next(struct stream *s, uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s->left == 0) {
            s->state ^= s->state << 13;
            s->state ^= s->state >> 7;
            s->state ^= s->state << 17;
            s->word = s->state;
            s->left = sizeof(s->word);
        }
        to[i] = (uint8_t)s->word;
        s->word >>= 8;
        s->left--;
    }
}

static uint64_t bytes_of(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* Message `n` of a seqpacket connection has so many bytes; of a stream, a piece. */
static size_t piece_size(int type, uint64_t n, uint64_t left)
{
    size_t size = type == SOCK_SEQPACKET ? (size_t)(1 + n * 7919u % MESSAGE_MAX) : PIECE;
    return size < left ? size : (size_t)left;
}

static void write_all(int fd, const uint8_t *from, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, from, len);
        if (put <= 0)
            die("write");
        from += put;
        len -= (size_t)put;
    }
}

static void send_stream(int fd, int type, struct stream stream, uint64_t left)
{
    static uint8_t bytes[PIECE];

    for (uint64_t n = 0; left > 0; n++) {
        size_t size = piece_size(type, n, left);
        stream_next(&stream, bytes, size);
        write_all(fd, bytes, size);
        left -= size;
    }
}

static void check_stream(int fd, int type, struct stream stream, uint64_t left)
{
    static uint8_t bytes[PIECE], wanted[PIECE];

    for (uint64_t n = 0; left > 0; n++) {
        size_t size = piece_size(type, n, left);
        ssize_t got = read(fd, bytes, type == SOCK_SEQPACKET ? sizeof(bytes) : size);
        if (got <= 0)
            die("the stream ended early");
        if (type == SOCK_SEQPACKET && (size_t)got != size)
            die("a message is not whole");
        stream_next(&stream, wanted, (size_t)got);
        if (memcmp(bytes, wanted, (size_t)got) != 0)
            die("other bytes came than were sent");
        left -= (uint64_t)got;
    }
    if (read(fd, bytes, sizeof(bytes)) != 0)
        die("more came than was sent");
}

/* --- connections ------------------------------------------------------------------------------------------ */

static int type_of(const char *text)
{
    return strcmp(text, "seqpacket") == 0 ? SOCK_SEQPACKET : SOCK_STREAM;
}

static int connect_to(const char *cid, const char *port, int type)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = (unsigned)bytes_of(cid), .svm_port = (unsigned)bytes_of(port)};
    int fd = -1;

    /* Who listens there may still be starting. */
    for (unsigned tries = 0; tries < 600; tries++) {
        fd = socket(AF_VSOCK, type, 0);
        if (fd < 0)
            die("socket");
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        if (errno != ECONNRESET && errno != ENODEV && errno != ETIMEDOUT)
            break;
        close(fd);
        usleep(100000);
    }
    die("connect");
}

static int listen_at(const char *port, int type)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = (unsigned)bytes_of(port)};
    int fd = socket(AF_VSOCK, type, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 128))
        die("listen");
    return fd;
}

/* Both directions at once, by two processes. */
static void flow(int fd, int type, char **words)
{
    pid_t sender = fork();
    int status;

    if (sender < 0)
        die("fork");
    if (sender == 0) {
        send_stream(fd, type, stream_of(words[0]), bytes_of(words[2]));
        shutdown(fd, SHUT_WR);
        exit(0);
    }
    check_stream(fd, type, stream_of(words[1]), bytes_of(words[2]));
    if (waitpid(sender, &status, 0) != sender || status != 0)
        die("the sender failed");
}

/* What came is sent back before more is read: a client that does not read stops only itself, if we do not wait. */
static void echo(const char *port, int type)
{
    static struct pollfd fds[CLIENTS_MAX];
    static uint8_t bytes[PIECE];
    nfds_t count = 1;

    fds[0] = (struct pollfd){.fd = listen_at(port, type), .events = POLLIN};
    for (;;) {
        if (poll(fds, count, -1) < 0)
            die("poll");
        for (nfds_t i = count - 1; i > 0; i--) {
            if (!fds[i].revents)
                continue;
            ssize_t got = read(fds[i].fd, bytes, sizeof(bytes));
            if (got > 0) {
                write_all(fds[i].fd, bytes, (size_t)got);
            } else {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[0].revents && count < CLIENTS_MAX) {
            int fd = accept(fds[0].fd, NULL, NULL);
            if (fd >= 0)
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
}

static void churn(const char *cid, const char *port, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t answer = 0;
        int fd = connect_to(cid, port, SOCK_STREAM);
        write_all(fd, (const uint8_t *)&i, sizeof(i));
        if (recv(fd, &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer) || answer != i)
            die("another answer");
        close(fd);
    }
}

/* One connection's words, `next` being the first. False: the answer was STOP. */
static bool talk(int fd, uint64_t *next)
{
    uint64_t answer;

    while (write(fd, next, sizeof(*next)) == sizeof(*next) &&
           recv(fd, &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer)) {
        if (answer == STOP)
            return false;
        if (answer != *next)
            die("another answer");
        ++*next;
    }
    return true;
}

static void again(const char *cid, const char *port)
{
    uint64_t words = 0, ends = 0;
    bool more = true;

    for (; more; ends += more) {
        int fd = connect_to(cid, port, SOCK_STREAM);
        more = talk(fd, &words);
        close(fd);
    }
    printf("words %llu ends %llu\n", (unsigned long long)words, (unsigned long long)ends);
}

static void fill(int fd)
{
    static const uint8_t bytes[PIECE];
    uint64_t taken = 0;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};

    while (poll(&wait, 1, 1000) == 1) {
        ssize_t put = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (put < 0 && errno != EAGAIN)
            die("send");
        taken += put > 0 ? (uint64_t)put : 0;
    }
    printf("taken %llu\n", (unsigned long long)taken);
    fflush(stdout);
    wait.events = POLLIN;
    poll(&wait, 1, -1);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(verb, "gen") && argc == 4)
        send_stream(STDOUT_FILENO, SOCK_STREAM, stream_of(argv[2]), bytes_of(argv[3]));
    else if (!strcmp(verb, "check") && argc == 4)
        check_stream(STDIN_FILENO, SOCK_STREAM, stream_of(argv[2]), bytes_of(argv[3]));
    else if (!strcmp(verb, "flow") && argc == 8)
        flow(connect_to(argv[2], argv[3], type_of(argv[4])), type_of(argv[4]), argv + 5);
    else if (!strcmp(verb, "take") && argc == 7)
        flow(accept(listen_at(argv[2], type_of(argv[3])), NULL, NULL), type_of(argv[3]), argv + 4);
    else if (!strcmp(verb, "echo") && argc == 4)
        echo(argv[2], type_of(argv[3]));
    else if (!strcmp(verb, "churn") && argc == 5)
        churn(argv[2], argv[3], bytes_of(argv[4]));
    else if (!strcmp(verb, "again") && argc == 4)
        again(argv[2], argv[3]);
    else if (!strcmp(verb, "fill") && argc == 4)
        fill(connect_to(argv[2], argv[3], SOCK_STREAM));
    else if (!strcmp(verb, "ignore") && argc == 3)
        for (int listener = listen_at(argv[2], SOCK_STREAM); accept(listener, NULL, NULL) >= 0;)
            ;
    else
        die("these words mean nothing");
    return 0;
}
