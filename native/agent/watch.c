/* Two sets, since the loop waits for them at different times: for `sources` while the carrier has
 * room for DATA, for `sinks` while it has room for answers. Both are level-triggered, so what is
 * left unserved is reported again. A descriptor that the stream cannot use now (no credit, nothing
 * to write) is in no set, since epoll always reports errors and hang-ups.
 *
 * A registration belongs to the open file, not to the descriptor: while a copy is open anywhere (the
 * other direction's, or a worker's that has just been forked), closing the descriptor would leave
 * it behind. So it is removed before each close. */
#include "watch.h"

#include "agent.h"
#include "say.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int set_watched(int set, int fd, bool *watched, uint32_t events, uint64_t key)
{
    struct epoll_event event = {.events = events, .data.u64 = key};
    if (*watched == (events != 0))
        return 0;
    if (epoll_ctl(set, events ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event))
        return -1;
    *watched = events != 0;
    return 0;
}

static uint64_t key(const struct stream *stream, enum end end)
{
    return (uint64_t)stream->id * ENDS + end;
}

static bool sink_waits(const struct stream *stream)
{
    return stream->in.fd >= 0 && (stream->in.size || stream->phase == STREAM_CONNECTING);
}

/* After its process has ended, a source is read until it is empty (stream_settle). */
static bool source_waits(const struct stream *stream, int index)
{
    return stream->out[index].fd >= 0 && stream->out[index].credit && !stream->exited &&
           stream->phase == STREAM_RUNNING;
}

void watch_stream(struct agent *agent, struct stream *stream)
{
    struct failure failure;
    struct sink *in = &stream->in;
    int failed = set_watched(agent->sinks, in->fd, &in->watched, sink_waits(stream) ? EPOLLOUT : 0,
                             key(stream, END_SINK));
    for (int c = 0; c < 2; c++) {
        struct source *out = &stream->out[c];
        uint32_t events = source_waits(stream, c) ? EPOLLIN : 0;
        failed |= set_watched(agent->sources, out->fd, &out->watched, events,
                              key(stream, END_OUT_1 + (enum end)c));
    }
    if (!failed)
        return;
    fail(&failure, "io", errno, "watch a descriptor");
    stream_fail(agent, stream, &failure);
}

void close_sink(struct agent *agent, struct stream *stream)
{
    struct sink *in = &stream->in;
    set_watched(agent->sinks, in->fd, &in->watched, 0, 0);
    if (in->fd >= 0)
        close(in->fd);
    in->fd = -1;
}

int detach_source(struct agent *agent, struct stream *stream, int index)
{
    struct source *out = &stream->out[index];
    int fd = out->fd;
    set_watched(agent->sources, fd, &out->watched, 0, 0);
    out->fd = -1;
    return fd;
}

void close_source(struct agent *agent, struct stream *stream, int index)
{
    int fd = detach_source(agent, stream, index);
    if (fd >= 0)
        close(fd);
}

/* One at a time: the kernel puts what it returns at the end of its line, also what there is no room
 * to serve after all. */
bool watch_next(int set, struct readiness *ready)
{
    struct epoll_event event;
    int count = epoll_wait(set, &event, 1, 0);
    if (count < 0 && errno != EINTR)
        say("epoll_wait: %s", strerror(errno));
    if (count <= 0)
        return false;
    ready->stream = (uint32_t)(event.data.u64 / ENDS);
    ready->end = (enum end)(event.data.u64 % ENDS);
    return true;
}
