/* CONNECT: a connection from inside the guest, as two channels. */
#include "connect.h"

#include "address.h"
#include "carrier.h"
#include "channels.h"
#include "stream.h"
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connect with the rights of USER, if there is one: those of a Unix socket are the file's. */
static int connect_as(int fd, const struct address *address, const struct request *request,
                      struct failure *failure)
{
    struct user user;
    if (request->user && find_user(request->user, &user, failure))
        return -1;
    if (request->user && user_enter(&user))
        return fail(failure, "io", errno, "become user %s", user.name);
    int failed = connect(fd, (const struct sockaddr *)&address->at, address->size);
    int error = failed ? errno : 0;
    if (request->user)
        user_leave();
    return error && error != EINPROGRESS ? address_explain(error, "connect", failure) : 0;
}

int connect_start(struct stream *stream, const struct request *request, struct failure *failure)
{
    struct address address;
    if (address_parse(request, 1, &address, failure))
        return -1;
    int fd = socket(address.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(failure, "io", errno, "open a socket");
    if (connect_as(fd, &address, request, failure)) {
        close(fd);
        return -1;
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
        address_explain(error, "connect", &failure);
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

/* The connection is over when both directions have ended, or one was broken: data that came before
 * has been passed on by then. */
void connect_settle(struct agent *agent, struct stream *stream)
{
    struct failure failure;
    struct writer nothing = {0};
    if (stream->out[0].fd >= 0)
        return;
    if (stream->in.broken) {
        fail(&failure, "reset", ECONNRESET, "the connection was reset");
        stream_error(agent, stream, &failure);
    } else if (stream->in.fd < 0) {
        stream_result(agent, stream, &nothing);
    }
}

/* Have the kernel tell the peer, when the connection is closed, that it was not brought to its end:
 * by a reset, where an end would make the part that has come look like the whole. */
void connect_abort(int fd)
{
    const struct linger now = {1, 0};
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
