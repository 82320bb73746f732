#include "stream.h"

#include "agent.h"
#include "attach.h"
#include "channels.h"
#include "connect.h"
#include "jobs.h"
#include "listen.h"
#include "say.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PTY_HOLDS = 131072 }; /* more than a terminal's buffers hold */

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

void stream_runs(struct agent *agent, struct stream *stream, pid_t pid)
{
    stream->pid = pid;
    stream_list(stream, &agent->streams.running);
}

static void process_ended(struct agent *agent, struct stream *stream, const siginfo_t *info)
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
    stream_list(stream, &agent->streams.ending);
    watch_stream(agent, stream);
}

/* Find the processes that have ended. A stream's process stays a zombie until the stream ends, so
 * that the kernel cannot reuse the number of its process group meanwhile. */
void reap(struct agent *agent)
{
    for (struct stream *stream = agent->streams.running.first, *next; stream; stream = next) {
        siginfo_t info = {0};
        next = stream->place.next;
        if (waitid(P_PID, (id_t)stream->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == stream->pid)
            process_ended(agent, stream, &info);
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
    close_sink(agent, stream);
    close_source(agent, stream, 0);
    close_source(agent, stream, 1);
    close_fd(&stream->report);
    close_fd(&stream->terminal);
    window_end(&stream->in, &agent->pool);
    free(stream->request);
    free(stream->seen);
    listen_end(stream->listening);
    attach_leave(stream);
    if (stream->pid && stream->exited)
        waitpid(stream->pid, NULL, 0);
    else if (stream->pid)
        orphan_add(agent, stream->pid);
    if (stream->cgroup)
        cgroup_release(&agent->cgroups, stream->cgroup);
    stream_remove(agent, stream);
}

void stream_result(struct agent *agent, struct stream *stream, const struct writer *writer)
{
    send_fields(agent, FRAME_RESULT, stream->id, writer);
    release(agent, stream);
}

void send_failure(struct agent *agent, uint32_t id, const struct failure *failure)
{
    uint8_t bytes[REPORT_MAX];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_failure(&writer, failure);
    send_fields(agent, FRAME_ERROR, id, &writer);
}

void stream_error(struct agent *agent, struct stream *stream, const struct failure *failure)
{
    send_failure(agent, stream->id, failure);
    release(agent, stream);
}

/* End a stream without an answer. */
void stream_drop(struct agent *agent, struct stream *stream)
{
    kill_all(stream);
    release(agent, stream);
}

/* End a stream that cannot go on. */
void stream_fail(struct agent *agent, struct stream *stream, const struct failure *failure)
{
    kill_all(stream);
    stream_error(agent, stream, failure);
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

void stream_settle(struct agent *agent, struct stream *stream)
{
    source_drain(agent, stream, 0);
    source_drain(agent, stream, 1);
    if (stream->out[0].fd >= 0 || stream->out[1].fd >= 0)
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
        close_sink(agent, stream);
        close_source(agent, stream, 0);
        close_source(agent, stream, 1);
        if (stream->exited) /* and its output waited for credit or room */
            stream_settle(agent, stream);
        return;
    }
    if (stream->phase != STREAM_REQUESTED && stream->kind == KIND_LISTENERS) {
        stream_result(agent, stream, &nothing);
        return;
    }
    fail(&failure, "closed", 0, "the stream was closed");
    stream_error(agent, stream, &failure);
}
