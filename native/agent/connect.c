/* CONNECT: a TCP connection from inside the guest, as two channels. */
#include "connect.h"

#include "carrier.h"
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int parse_address(const struct request *request, struct sockaddr_storage *address,
                         socklen_t *size)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    uint16_t port = htons((uint16_t)request->port);
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, request->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        *size = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, request->host, &v6->sin6_addr) != 1)
        return -1;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    *size = sizeof *v6;
    return 0;
}

static int explain(int error, struct failure *failure)
{
    switch (error) {
    case ECONNREFUSED:
        return fail(failure, "refused", error, "connect");
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
        return fail(failure, "unreachable", error, "connect");
    case ETIMEDOUT:
        return fail(failure, "timeout", error, "connect");
    default:
        return fail(failure, "io", error, "connect");
    }
}

int connect_start(struct stream *stream, const struct request *request, struct failure *failure)
{
    struct sockaddr_storage address;
    socklen_t size;
    if (request->port < 1 || request->port > 65535 || parse_address(request, &address, &size))
        return fail(failure, "bad-request", 0, "HOST is no IP address or PORT no port");
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(failure, "io", errno, "open a socket");
    if (connect(fd, (struct sockaddr *)&address, size) && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return explain(error, failure);
    }
    stream->in.fd = fd;
    stream->phase = STREAM_CONNECTING;
    return 1;
}

/* The attempt has succeeded or failed. */
void connect_finish(struct agent *agent, struct stream *stream)
{
    struct failure failure;
    struct writer nothing = {0};
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(stream->in.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (!error) {
        stream->out[0].fd = fcntl(stream->in.fd, F_DUPFD_CLOEXEC, 3);
        error = stream->out[0].fd < 0 ? errno : 0;
    }
    if (error) {
        explain(error, &failure);
        stream_error(agent, stream, &failure);
        return;
    }
    stream->phase = STREAM_RUNNING;
    send_fields(agent, FRAME_EVENT, stream->id, &nothing);
    stream_take(agent, stream, NULL, 0); /* data that arrived while connecting */
}

void connect_shut(const struct stream *stream)
{
    shutdown(stream->in.fd, SHUT_WR);
}

/* The connection is over when both directions have ended. */
void connect_settle(struct agent *agent, struct stream *stream)
{
    struct writer nothing = {0};
    if (stream->in.fd < 0 && stream->out[0].fd < 0)
        stream_result(agent, stream, &nothing);
}
