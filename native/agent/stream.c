/* Streams: their channels, their windows, and the end of each kind. */
#include "stream.h"

#include "agent.h"
#include "connect.h"
#include "listen.h"
#include "listeners.h"
#include "say.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { PTY_HOLDS = 131072 }; /* more than a terminal's buffers hold */

struct stream *stream_find(struct agent *agent, uint32_t id)
{
    for (int i = 0; id && i < STREAMS; i++)
        if (agent->streams[i].id == id)
            return &agent->streams[i];
    return NULL;
}

static void clear(struct stream *stream)
{
    memset(stream, 0, sizeof *stream);
    stream->report = stream->terminal = stream->in.fd = stream->in.slot = -1;
    stream->in.allowed = WINDOW;
    for (int c = 0; c < 2; c++)
        stream->out[c] = (struct source){-1, -1, WINDOW, SIZE_MAX};
}

struct stream *stream_add(struct agent *agent, uint32_t id)
{
    for (int i = 0; i < STREAMS; i++) {
        struct stream *stream = &agent->streams[i];
        if (stream->id)
            continue;
        clear(stream);
        stream->id = id;
        return stream;
    }
    return NULL;
}

/* --- processes ---------------------------------------------------------------- */

/* Record a process that only needs to be reaped. */
void orphan_add(struct agent *agent, pid_t pid)
{
    if (agent->orphan_count == agent->orphan_room) {
        size_t room = 2 * agent->orphan_room + 8;
        pid_t *grown = realloc(agent->orphans, room * sizeof *grown);
        if (!grown) {
            say("no memory: process %d will stay a zombie", pid);
            return;
        }
        agent->orphans = grown;
        agent->orphan_room = room;
    }
    agent->orphans[agent->orphan_count++] = pid;
}

static void process_ended(struct stream *stream, const siginfo_t *info)
{
    stream->exited = true;
    stream->status = info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status & 127;
    for (int c = 0; c < 2; c++) {
        int held = 0;
        if (stream->out[c].fd < 0)
            continue;
        if (stream->is_tty)
            held = PTY_HOLDS;
        else
            ioctl(stream->out[c].fd, FIONREAD, &held);
        stream->out[c].left = (size_t)held;
    }
}

/* Find the processes that have ended. A stream's process stays a zombie until the stream ends, so
 * that the kernel cannot reuse the number of its process group meanwhile. */
void reap(struct agent *agent)
{
    for (int i = 0; i < STREAMS; i++) {
        struct stream *stream = &agent->streams[i];
        siginfo_t info = {0};
        if (stream->id && stream->pid && !stream->exited &&
            waitid(P_PID, (id_t)stream->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == stream->pid)
            process_ended(stream, &info);
    }
    for (size_t i = 0; i < agent->orphan_count;)
        if (waitpid(agent->orphans[i], NULL, WNOHANG) != 0)
            agent->orphans[i] = agent->orphans[--agent->orphan_count];
        else
            i++;
}

static void kill_all(const struct stream *stream)
{
    if (stream->cgroup)
        cgroup_kill(stream->cgroup);
    if (stream->pid > 1)
        kill(-stream->pid, stream->kind == KIND_TAR_IN ? SIGTERM : SIGKILL);
}

/* --- ends --------------------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void release(struct agent *agent, struct stream *stream)
{
    if (stream->kind == KIND_CONNECT)
        connect_abort(stream->in.fd >= 0 ? stream->in.fd : stream->out[0].fd);
    close_fd(&stream->in.fd);
    close_fd(&stream->out[0].fd);
    close_fd(&stream->out[1].fd);
    close_fd(&stream->report);
    close_fd(&stream->terminal);
    free(stream->in.ring);
    free(stream->request);
    free(stream->seen);
    listen_end(stream->listening);
    if (stream->pid && stream->exited)
        waitpid(stream->pid, NULL, 0);
    else if (stream->pid)
        orphan_add(agent, stream->pid);
    if (stream->cgroup)
        stream->cgroup->is_claimed = false;
    clear(stream); /* a caller that still uses it finds nothing open */
}

void stream_result(struct agent *agent, struct stream *stream, const struct writer *writer)
{
    send_fields(agent, FRAME_RESULT, stream->id, writer);
    release(agent, stream);
}

void stream_error(struct agent *agent, struct stream *stream, const struct failure *failure)
{
    uint8_t bytes[REPORT_MAX];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_failure(&writer, failure);
    send_fields(agent, FRAME_ERROR, stream->id, &writer);
    release(agent, stream);
}

/* End a stream without an answer. */
void stream_drop(struct agent *agent, struct stream *stream)
{
    kill_all(stream);
    release(agent, stream);
}

void streams_drop(struct agent *agent)
{
    for (int i = 0; i < STREAMS; i++)
        if (agent->streams[i].id)
            stream_drop(agent, &agent->streams[i]);
}

static void exec_result(struct agent *agent, struct stream *stream)
{
    uint8_t bytes[64];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    if (WIFSIGNALED(stream->status))
        put_number(&writer, TAG_SIGNAL, (uint64_t)WTERMSIG(stream->status));
    else
        put_number(&writer, TAG_STATUS, (uint64_t)WEXITSTATUS(stream->status));
    stream_result(agent, stream, &writer);
}

/* A worker's report is a frame type and the payload. */
static void worker_result(struct agent *agent, struct stream *stream)
{
    uint8_t bytes[REPORT_MAX];
    struct failure failure;
    ssize_t n = read(stream->report, bytes, sizeof bytes);
    if (n > 0) {
        struct writer writer = {bytes + 1, (size_t)n - 1, sizeof bytes - 1, false};
        send_fields(agent, bytes[0], stream->id, &writer);
        release(agent, stream);
        return;
    }
    if (stream->closed)
        fail(&failure, "closed", 0, "the stream was closed");
    else
        fail(&failure, "io", 0, "the worker ended without a word (status %d)", stream->status);
    stream_error(agent, stream, &failure);
}

static void settle(struct agent *agent, struct stream *stream)
{
    if (!stream->exited || stream->out[0].fd >= 0 || stream->out[1].fd >= 0)
        return;
    if (stream->kind == KIND_EXEC)
        exec_result(agent, stream);
    else
        worker_result(agent, stream);
}

/* The host gives the stream up. A stream with a process is answered once the process has ended. */
void stream_close(struct agent *agent, struct stream *stream)
{
    struct failure failure;
    struct writer nothing = {0};
    stream->closed = true;
    if (stream->pid) {
        kill_all(stream);
        close_fd(&stream->in.fd);
        close_fd(&stream->out[0].fd);
        close_fd(&stream->out[1].fd);
        settle(agent, stream); /* the process may have ended while its output waited for credit */
        return;
    }
    if (stream->phase != STREAM_REQUESTED && stream->kind == KIND_LISTENERS) {
        stream_result(agent, stream, &nothing);
        return;
    }
    fail(&failure, "closed", 0, "the stream was closed");
    stream_error(agent, stream, &failure);
}

/* --- host to guest ------------------------------------------------------------ */

static void grant(struct agent *agent, struct stream *stream, size_t passed)
{
    uint8_t bytes[4];
    struct sink *in = &stream->in;
    in->passed += (uint32_t)passed;
    if (in->passed < CREDIT_STEP || in->eof)
        return;
    put_u32(bytes, in->passed);
    send_frame(agent, FRAME_CREDIT, stream->id, 0, bytes, sizeof bytes);
    in->allowed += in->passed;
    in->passed = 0;
}

/* All input has been passed on, and no more will come. */
static void finish_sink(struct stream *stream)
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
    close_fd(&in->fd);
}

/* Write to the sink; return the number of bytes consumed: written, or dropped if no process reads,
 * so that the host never waits for credit in vain. */
static size_t pass(struct sink *in, const uint8_t *bytes, size_t size)
{
    if (in->fd < 0)
        return size;
    ssize_t n = write(in->fd, bytes, size);
    if (n >= 0)
        return (size_t)n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    in->broken = true;
    close_fd(&in->fd);
    return size;
}

static void drain_ring(struct agent *agent, struct stream *stream)
{
    struct sink *in = &stream->in;
    while (in->size) {
        size_t run = WINDOW - in->start < in->size ? WINDOW - in->start : in->size;
        size_t n = pass(in, in->ring + in->start, run);
        if (n == 0)
            return;
        in->start = (in->start + n) % WINDOW;
        in->size -= n;
        grant(agent, stream, n);
    }
}

static bool keep(struct sink *in, const uint8_t *bytes, size_t size)
{
    if (!in->ring && !(in->ring = malloc(WINDOW)))
        return false;
    while (size) {
        size_t end = (in->start + in->size) % WINDOW;
        size_t run = WINDOW - end < size ? WINDOW - end : size;
        memcpy(in->ring + end, bytes, run);
        in->size += run;
        bytes += run;
        size -= run;
    }
    return true;
}

/* Accept bytes of channel 0 (none at its EOF): pass on as many as possible, keep the rest. */
void stream_take(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size)
{
    struct sink *in = &stream->in;
    in->allowed -= (uint32_t)size;
    drain_ring(agent, stream);
    if (size && !in->size && stream->phase == STREAM_RUNNING) {
        size_t n = pass(in, bytes, size);
        grant(agent, stream, n);
        bytes += n;
        size -= n;
    }
    if (size && !keep(in, bytes, size)) {
        say("no memory for the input of stream %u", stream->id);
        stream_close(agent, stream);
        return;
    }
    if (in->eof && !in->size && in->fd >= 0 && stream->phase == STREAM_RUNNING)
        finish_sink(stream);
    if (stream->kind == KIND_CONNECT && stream->phase == STREAM_RUNNING)
        connect_settle(agent, stream); /* both directions may have ended now */
}

/* --- guest to host ------------------------------------------------------------ */

static void source_end(struct agent *agent, struct stream *stream, int index)
{
    if (stream->is_tty) {
        /* No process has the terminal open, so polling it would spin. Closing it would hang up a
         * program that has closed its outputs and is about to end: keep it until then. */
        stream->terminal = stream->out[index].fd;
        stream->out[index].fd = -1;
        close_fd(&stream->in.fd);
    }
    close_fd(&stream->out[index].fd);
    if (stream->kind != KIND_CONNECT || !stream->in.broken)
        send_frame(agent, FRAME_EOF, stream->id, (uint8_t)(index + 1), NULL, 0);
}

/* Send one frame of the source's data. Returns false if there was none. */
static bool source_read(struct agent *agent, struct stream *stream, int index)
{
    struct source *out = &stream->out[index];
    size_t size = carrier_room(agent);
    uint8_t *at = size ? carrier_reserve(agent) : NULL;
    if (size > out->credit)
        size = out->credit;
    if (size > out->left)
        size = out->left;
    if (!at || !size)
        return false;
    ssize_t n = read(out->fd, at + FRAME_HEADER, size);
    if (n > 0) {
        send_frame(agent, FRAME_DATA, stream->id, (uint8_t)(index + 1), at + FRAME_HEADER,
                   (size_t)n);
        out->credit -= (uint32_t)n;
        if (out->left != SIZE_MAX)
            out->left -= (size_t)n;
        return true;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN) {
        if (stream->exited) /* a terminal that is empty but still open somewhere */
            close_fd(&out->fd);
        return false;
    }
    if (n < 0 && stream->kind == KIND_CONNECT)
        stream->in.broken = true; /* a reset ends both directions */
    source_end(agent, stream, index); /* end of file; EIO from a terminal; a reset */
    return false;
}

/* After the process has ended, send the data in its pipes at that moment. Do not wait for the end
 * of file, nor for output of processes that it left behind. */
static void source_drain(struct agent *agent, struct stream *stream, int index)
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
        close_fd(&out->fd);
}

static int add_poll(struct pollfd *polls, nfds_t *count, int fd, short events)
{
    polls[*count] = (struct pollfd){fd, events, 0};
    return (int)(*count)++;
}

/* Add the descriptors that the stream waits for. */
void stream_poll(struct agent *agent, struct stream *stream, struct pollfd *polls, nfds_t *count)
{
    struct sink *in = &stream->in;
    in->slot = stream->out[0].slot = stream->out[1].slot = -1;
    if (in->fd >= 0 && (in->size || stream->phase == STREAM_CONNECTING))
        in->slot = add_poll(polls, count, in->fd, POLLOUT);
    for (int c = 0; c < 2 && stream->phase == STREAM_RUNNING; c++) {
        struct source *out = &stream->out[c];
        if (out->fd >= 0 && out->credit && carrier_room(agent))
            out->slot = add_poll(polls, count, out->fd, POLLIN);
    }
}

void stream_serve(struct agent *agent, struct stream *stream, const struct pollfd *polls)
{
    struct sink *in = &stream->in;
    bool writable = in->slot >= 0 && polls[in->slot].revents;
    if (stream->kind == KIND_CONNECT && stream->phase == STREAM_CONNECTING) {
        if (writable)
            connect_finish(agent, stream);
        return;
    }
    if (stream->kind == KIND_LISTEN) {
        if (stream->out[0].slot >= 0 && polls[stream->out[0].slot].revents)
            listen_serve(agent, stream);
        return;
    }
    if (writable)
        stream_take(agent, stream, NULL, 0);
    for (int c = 0; c < 2; c++) {
        struct source *out = &stream->out[c];
        if (stream->exited)
            source_drain(agent, stream, c);
        else if (out->fd >= 0 && out->slot >= 0 && polls[out->slot].revents)
            source_read(agent, stream, c);
    }
    if (!stream->id)
        return;
    if (stream->kind == KIND_CONNECT)
        connect_settle(agent, stream);
    else if (stream->kind == KIND_LISTENERS)
        listeners_serve(agent, stream);
    else
        settle(agent, stream);
}
