/* A worker relays: it may block. Whatever it cannot pass on at once waits in the kernel's buffers,
 * which drop datagrams when they are full, as a network would. */
#include "udp.h"

#include "address.h"
#include "agent.h"
#include "files.h"
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 65535, LENGTH = 4 };

/* Where datagrams go when the request names no HOST: servers often bind one family alone. */
static char loopbacks[][10] = {"127.0.0.1", "::1"};

static struct relay {
    struct address addresses[2];
    int count, current;
    int socket; /* connected to the current address */
    size_t have; /* bytes of records that have come from the host */
    uint8_t in[LENGTH + DATAGRAM_MAX], out[LENGTH + DATAGRAM_MAX];
} relay;

static int open_socket(const struct address *address)
{
    int fd = socket(address->at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address->at, address->size)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Nobody receives at the current address: take the other one, if there is one. */
static void turn(void)
{
    int other = relay.count - 1 - relay.current;
    int fd = relay.count > 1 ? open_socket(&relay.addresses[other]) : -1;
    if (fd < 0)
        return;
    close(relay.socket);
    relay.socket = fd;
    relay.current = other;
}

/* On the loopback the kernel says that a datagram is refused before it has sent the next. */
static bool is_refused(ssize_t sent)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (sent < 0)
        return errno == ECONNREFUSED;
    getsockopt(relay.socket, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == ECONNREFUSED;
}

static void send_datagram(const uint8_t *data, size_t size)
{
    for (int tries = 0; tries < relay.count; tries++) {
        if (!is_refused(send(relay.socket, data, size, 0)))
            return;
        turn();
    }
}

/* Send the datagrams that have come whole. That one is refused, or too large, is its sender's to
 * find out: nothing answers. */
static int send_datagrams(struct failure *failure)
{
    size_t at = 0;
    while (relay.have - at >= LENGTH) {
        size_t size = get_u32(relay.in + at);
        if (size > DATAGRAM_MAX)
            return fail(failure, "bad-packet", 0, "a datagram of %zu bytes", size);
        if (relay.have - at - LENGTH < size)
            break;
        send_datagram(relay.in + at + LENGTH, size);
        at += LENGTH + size;
    }
    relay.have -= at;
    memmove(relay.in, relay.in + at, relay.have);
    return 0;
}

/* Returns 1 at the end of the host's datagrams. */
static int from_host(struct failure *failure)
{
    ssize_t n = read(STDIN_FILENO, relay.in + relay.have, sizeof relay.in - relay.have);
    if (n < 0)
        return fail(failure, "io", errno, "read datagrams");
    if (n == 0 && relay.have)
        return fail(failure, "bad-packet", 0, "the last datagram is cut short");
    relay.have += (size_t)n;
    return n == 0 ? 1 : send_datagrams(failure);
}

static int from_guest(struct failure *failure)
{
    ssize_t n = recv(relay.socket, relay.out + LENGTH, DATAGRAM_MAX, MSG_DONTWAIT);
    if (n < 0) {
        if (errno == ECONNREFUSED) /* a datagram before: its sender hears nothing of it */
            turn();
        return 0;
    }
    put_u32(relay.out, (uint32_t)n);
    if (write_all(STDOUT_FILENO, relay.out, LENGTH + (size_t)n))
        return fail(failure, "io", errno, "pass a datagram on");
    return 0;
}

static int parse_addresses(const struct request *request, struct failure *failure)
{
    struct request named = *request;
    relay.count = 0;
    if (request->host || request->path)
        return address_parse(request, 1, &relay.addresses[relay.count++], failure);
    for (; relay.count < 2; relay.count++) {
        named.host = loopbacks[relay.count];
        if (address_parse(&named, 1, &relay.addresses[relay.count], failure))
            return -1;
    }
    return 0;
}

static int run(struct failure *failure)
{
    int outcome = 0;
    while (outcome == 0) {
        struct pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {relay.socket, POLLIN, 0}};
        if (poll(polls, 2, -1) < 0) /* no signal is handled: nothing interrupts it */
            return fail(failure, "io", errno, "wait for datagrams");
        if (polls[1].revents)
            outcome = from_guest(failure);
        if (outcome == 0 && polls[0].revents)
            outcome = from_host(failure);
    }
    return outcome < 0 ? -1 : 0;
}

/* The worker's job. */
static int relay_datagrams(int disk, const struct request *request, struct writer *result,
                           struct failure *failure)
{
    (void)disk, (void)result;
    if (parse_addresses(request, failure))
        return -1;
    for (relay.current = 0; relay.current < relay.count; relay.current++) {
        relay.socket = open_socket(&relay.addresses[relay.current]);
        if (relay.socket >= 0)
            return run(failure);
    }
    return address_explain(errno, "connect", failure);
}

/* UDP */
int udp_start(struct agent *agent, struct stream *stream, const struct request *request,
              struct failure *failure)
{
    struct writer nothing = {0};
    if (parse_addresses(request, failure))
        return -1;
    int outcome = worker_start(agent, stream, request, relay_datagrams, true, true, failure);
    if (outcome == 1)
        send_fields(agent, FRAME_EVENT, stream->id, &nothing);
    return outcome;
}
