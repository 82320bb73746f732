#include "listen.h"

#include "address.h"
#include "agent.h"
#include "channels.h"
#include "connect.h"
#include "user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    WAITING_MAX = 16, /* connections that the host has not taken; the kernel queues the others */
    QUEUE_MAX = 128,
};

struct arrival {
    uint64_t number; /* 0: none */
    int fd;
};

struct listening {
    struct arrival waiting[WAITING_MAX];
    struct user user;
    bool has_user;
    char directory[32]; /* made for the socket; "": none */
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "": not a Unix socket */
    dev_t device;       /* of the socket's file, and its inode: to remove no other */
    ino_t inode;
};

/* --- the socket --------------------------------------------------------------- */

/* Name a socket in a new directory that is the user's alone. */
static int make_directory(struct listening *listening, struct address *address)
{
    struct sockaddr_un *local = (struct sockaddr_un *)&address->at;
    strcpy(listening->directory, "/tmp/banger-XXXXXX");
    if (!mkdtemp(listening->directory)) {
        *listening->directory = 0;
        return -1;
    }
    local->sun_family = AF_UNIX;
    snprintf(local->sun_path, sizeof local->sun_path, "%s/socket", listening->directory);
    address->size = sizeof *local;
    return 0;
}

/* Note the file of a Unix socket, in order to remove it. */
static int note_file(struct listening *listening, const struct address *address)
{
    struct stat found;
    const char *path = ((const struct sockaddr_un *)&address->at)->sun_path;
    if (address->at.ss_family != AF_UNIX)
        return 0;
    if (lstat(path, &found))
        return -1;
    strcpy(listening->path, path);
    listening->device = found.st_dev;
    listening->inode = found.st_ino;
    return 0;
}

static int bind_and_listen(int fd, struct listening *listening, const struct address *address)
{
    int on = 1;
    if (address->at.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->at.ss_family == AF_INET6) /* or it would take the IPv4 port as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    mode_t mask = umask(0177);
    int failed = bind(fd, (const struct sockaddr *)&address->at, address->size);
    umask(mask);
    return failed || note_file(listening, address) || listen(fd, QUEUE_MAX) ? -1 : 0;
}

/* All of this happens with the user's rights. Returns the socket or -1. */
static int open_socket(struct listening *listening, const struct request *request,
                       struct address *address, struct failure *failure)
{
    bool is_named = request->path || request->host || request->present[TAG_PORT];
    if (is_named && address_parse(request, 0, address, failure))
        return -1;
    if (!is_named && make_directory(listening, address))
        return fail(failure, "io", errno, "make a directory for the socket");
    int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(failure, "io", errno, "open a socket");
    if (bind_and_listen(fd, listening, address) == 0)
        return fd;
    address_explain(errno, "listen", failure);
    close(fd);
    return -1;
}

static int open_as(struct listening *listening, const struct request *request,
                   struct address *address, struct failure *failure)
{
    if (!request->user)
        return open_socket(listening, request, address, failure);
    if (find_user(request->user, &listening->user, failure))
        return -1;
    if (user_enter(&listening->user))
        return fail(failure, "io", errno, "become user %s", listening->user.name);
    listening->has_user = true;
    int fd = open_socket(listening, request, address, failure);
    user_leave();
    return fd;
}

static void remove_files(const struct listening *listening)
{
    struct stat found;
    if (*listening->path && lstat(listening->path, &found) == 0 &&
        found.st_dev == listening->device && found.st_ino == listening->inode)
        unlink(listening->path);
    if (*listening->directory)
        rmdir(listening->directory);
}

void listen_end(struct listening *listening)
{
    if (!listening)
        return;
    for (int i = 0; i < WAITING_MAX; i++)
        if (listening->waiting[i].number) {
            connect_abort(listening->waiting[i].fd);
            close(listening->waiting[i].fd);
        }
    if (!listening->has_user) {
        remove_files(listening);
    } else if (user_enter(&listening->user) == 0) {
        remove_files(listening);
        user_leave();
    }
    free(listening);
}

/* --- what the host hears ------------------------------------------------------ */

static void put_place(struct writer *writer, const struct sockaddr_storage *at)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)at;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at;
    if (at->ss_family == AF_UNIX)
        return;
    bool is_v6 = at->ss_family == AF_INET6;
    const void *host = is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr;
    inet_ntop(at->ss_family, host, text, sizeof text);
    put_text(writer, TAG_HOST, text);
    put_number(writer, TAG_PORT, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

static void put_arrival(struct writer *writer, const struct arrival *arrival)
{
    uint8_t bytes[128];
    struct writer nested = {bytes, 0, sizeof bytes, false};
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    put_number(&nested, TAG_NUMBER, arrival->number);
    if (getpeername(arrival->fd, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family)
        put_place(&nested, &peer);
    put_bytes(writer, TAG_CONNECTION, nested.at, nested.size);
}

/* Tell where the socket listens and which connections wait: all of them, so that the newest EVENT
 * is enough. */
static void tell(struct agent *agent, const struct stream *stream)
{
    uint8_t bytes[4096];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    const struct listening *listening = stream->listening;
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    if (*listening->path)
        put_text(&writer, TAG_PATH, listening->path);
    else if (getsockname(stream->out[0].fd, (struct sockaddr *)&own, &size) == 0)
        put_place(&writer, &own);
    for (int i = 0; i < WAITING_MAX; i++)
        if (listening->waiting[i].number)
            put_arrival(&writer, &listening->waiting[i]);
    send_fields(agent, FRAME_EVENT, stream->id, &writer);
}

/* --- requests ----------------------------------------------------------------- */

/* The listening socket is watched as a source with credit is: while a connection has room. */
static void wait_for_more(struct stream *stream, bool wanted)
{
    stream->out[0].credit = wanted;
}

/* LISTEN */
int listen_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure)
{
    struct address address = {0};
    struct listening *listening = calloc(1, sizeof *listening);
    if (!listening)
        return fail(failure, "no-memory", 0, "no memory for the socket");
    int fd = open_as(listening, request, &address, failure);
    if (fd < 0) {
        listen_end(listening);
        return -1;
    }
    stream->listening = listening;
    stream->out[0].fd = fd;
    stream_list(stream, &agent->streams.listening);
    wait_for_more(stream, true);
    tell(agent, stream);
    return 1;
}

static struct arrival *find_arrival(struct listening *listening, uint64_t number)
{
    for (int i = 0; i < WAITING_MAX; i++)
        if (listening->waiting[i].number == number)
            return &listening->waiting[i];
    return NULL;
}

/* Take a connection from the kernel. Without a descriptor for it the socket rests until the host
 * takes one of the others. */
void listen_serve(struct agent *agent, struct stream *stream)
{
    struct arrival *room = find_arrival(stream->listening, 0);
    if (!room) {
        wait_for_more(stream, false);
        return;
    }
    int fd = accept4(stream->out[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        wait_for_more(stream, errno == EAGAIN || errno == EINTR || errno == ECONNABORTED);
        return;
    }
    *room = (struct arrival){++agent->arrivals, fd};
    tell(agent, stream);
}

/* ACCEPT. From here on the connection is served as one that CONNECT made. */
int accept_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure)
{
    struct writer nothing = {0};
    struct arrival *found = NULL;
    struct stream *from = request->number ? agent->streams.listening.first : NULL;
    while (from && !(found = find_arrival(from->listening, request->number)))
        from = from->place.next;
    if (!found)
        return fail(failure, "not-found", 0, "no connection waits under this number");
    int fd = found->fd, twin = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    *found = (struct arrival){0};
    wait_for_more(from, true);
    watch_stream(agent, from);
    if (twin < 0) {
        int error = errno;
        close(fd);
        return fail(failure, "io", error, "take the connection");
    }
    stream->kind = KIND_CONNECT;
    stream->in.fd = fd;
    stream->out[0].fd = twin;
    send_fields(agent, FRAME_EVENT, stream->id, &nothing);
    stream_take(agent, stream, NULL, 0); /* input that came with the last OPEN frame */
    return 1;
}
