#include "channels.h"

#include "agent.h"
#include "attach.h"
#include "connect.h"
#include "listen.h"
#include "say.h"

#include <errno.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

/* --- host to guest ------------------------------------------------------------ */

static void grant(struct agent *agent, struct stream *stream, size_t passed)
{
    uint8_t bytes[4];
    uint32_t credit = window_pass(&stream->in, passed, &agent->pool);
    if (!credit)
        return;
    put_u32(bytes, credit);
    send_frame(agent, FRAME_CREDIT, stream->id, 0, bytes, sizeof bytes);
}

/* All input has been passed on, and no more will come. */
static void finish_sink(struct agent *agent, struct stream *stream)
{
    struct termios termios;
    struct sink *in = &stream->in;
    if (stream->is_tty && tcgetattr(in->fd, &termios) == 0) {
        in->eof = false; /* a terminal stays open; the host has sent its one EOF */
        if (write(in->fd, &termios.c_cc[VEOF], 1) < 0)
            say("the terminal takes no end of file: errno %d", errno);
        return;
    }
    if (stream->kind == KIND_CONNECT)
        connect_shut(stream);
    close_sink(agent, stream);
}

/* Write to the sink; return the number of bytes consumed: written, or dropped if no process reads,
 * so that the host never waits for credit in vain. */
static size_t pass(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size)
{
    if (stream->in.fd < 0)
        return size;
    ssize_t n = write(stream->in.fd, bytes, size);
    if (n >= 0) {
        stream->in.taken += (uint64_t)n;
        return (size_t)n;
    }
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    stream->in.broken = true;
    close_sink(agent, stream);
    return size;
}

static void pass_kept(struct agent *agent, struct stream *stream)
{
    const uint8_t *bytes;
    while (stream->in.size) {
        size_t run = window_oldest(&stream->in, &bytes);
        size_t n = pass(agent, stream, bytes, run);
        if (n == 0)
            return;
        window_forget(&stream->in, n, &agent->pool);
        grant(agent, stream, n);
    }
}

void stream_take(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size)
{
    struct sink *in = &stream->in;
    in->allowed -= (uint32_t)size;
    if (size)
        in->is_bulk = size >= BULK;
    pass_kept(agent, stream);
    if (size && !in->size && stream->phase == STREAM_RUNNING) {
        size_t n = pass(agent, stream, bytes, size);
        grant(agent, stream, n);
        bytes += n;
        size -= n;
    }
    if (size && !window_keep(in, bytes, size, &agent->pool)) {
        say("no memory for the input of stream %u", stream->id);
        stream_close(agent, stream);
        return;
    }
    if (in->eof && !in->size && in->fd >= 0 && stream->phase == STREAM_RUNNING)
        finish_sink(agent, stream);
    if (stream->kind == KIND_CONNECT && stream->phase == STREAM_RUNNING)
        connect_settle(agent, stream); /* both directions may have ended now */
    if (stream->attachment)
        attach_took(agent, stream);
}

/* --- guest to host ------------------------------------------------------------ */

static void source_end(struct agent *agent, struct stream *stream, int index)
{
    if (stream->is_tty) {
        /* No process has the terminal open, so polling it would spin. Closing it would hang up a
         * program that has closed its outputs and is about to end: keep it until then. */
        stream->terminal = detach_source(agent, stream, index);
        close_sink(agent, stream);
    }
    close_source(agent, stream, index);
    if (stream->kind != KIND_CONNECT || !stream->in.broken)
        send_frame(agent, FRAME_EOF, stream->id, (uint8_t)(index + 1), NULL, 0);
}

/* Send one frame of the source's data; returns its size, 0 if there was none. */
static size_t source_read(struct agent *agent, struct stream *stream, int index)
{
    struct source *out = &stream->out[index];
    size_t size = FRAME_MAX;
    uint8_t *at = carrier_room(agent) ? carrier_reserve(agent) : NULL;
    if (size > out->credit)
        size = out->credit;
    if (size > out->left)
        size = out->left;
    if (!at || !size || out->fd < 0)
        return 0;
    ssize_t n;
    do
        n = read(out->fd, at + FRAME_HEADER, size);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        send_frame(agent, FRAME_DATA, stream->id, (uint8_t)(index + 1), at + FRAME_HEADER,
                   (size_t)n);
        out->credit -= (uint32_t)n;
        if (out->left != SIZE_MAX)
            out->left -= (size_t)n;
        return (size_t)n;
    }
    if (n < 0 && errno == EAGAIN) {
        if (stream->exited) /* a terminal that is empty but still open somewhere */
            close_source(agent, stream, index);
        return 0;
    }
    if (n < 0 && stream->kind == KIND_CONNECT)
        stream->in.broken = true; /* a reset ends both directions */
    source_end(agent, stream, index); /* end of file; EIO from a terminal; a reset */
    return 0;
}

/* Do not wait for the end of file, nor for output of processes that were left behind. */
void source_drain(struct agent *agent, struct stream *stream, int index)
{
    struct source *out = &stream->out[index];
    while (out->fd >= 0 && out->left && source_read(agent, stream, index))
        ;
    if (out->fd < 0 || out->left)
        return;
    struct pollfd rest = {out->fd, POLLIN, 0};
    poll(&rest, 1, 0);
    if (rest.revents == POLLHUP)
        source_end(agent, stream, index);
    else
        close_source(agent, stream, index);
}

/* --- what is ready ------------------------------------------------------------ */

static void serve_source(struct agent *agent, struct stream *stream, int index)
{
    if (stream->kind == KIND_LISTEN) {
        listen_serve(agent, stream);
        return;
    }
    /* After a full frame there is more: one more saves a turn of the loop. */
    if (source_read(agent, stream, index) == FRAME_MAX)
        source_read(agent, stream, index);
    if (stream->kind == KIND_CONNECT)
        connect_settle(agent, stream);
}

void stream_serve(struct agent *agent, struct stream *stream, enum end end)
{
    if (end != END_SINK)
        serve_source(agent, stream, end == END_OUT_1 ? 0 : 1);
    else if (stream->phase == STREAM_CONNECTING)
        connect_finish(agent, stream);
    else
        stream_take(agent, stream, NULL, 0);
    if (stream->id)
        watch_stream(agent, stream);
}
