#include "exec.h"

#include "agent.h"
#include "channels.h"
#include "program.h"

#include <signal.h>

static int check_flags(uint64_t flags, struct failure *failure)
{
    if ((flags & (PROGRAM_DETACH | PROGRAM_SUPERVISE)) && flags != PROGRAM_DETACH &&
        flags != (PROGRAM_DETACH | PROGRAM_SUPERVISE))
        return fail(failure, "bad-request", 0, "FLAGS %llu", (unsigned long long)flags);
    return 0;
}

static void tell_pid(struct agent *agent, const struct stream *stream, pid_t pid)
{
    uint8_t bytes[16];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_number(&writer, TAG_PID, (uint64_t)pid);
    send_fields(agent, FRAME_EVENT, stream->id, &writer);
}

/* Make the program's pipes the stream's channels. */
static void connect_pipes(struct agent *agent, struct stream *stream,
                          const struct program *program)
{
    stream_runs(agent, stream, program->pid);
    stream->cgroup = program->cgroup;
    stream->is_tty = program->is_tty;
    stream->in.fd = program->in;
    stream->out[0].fd = program->out[0];
    stream->out[1].fd = program->out[1];
    stream_take(agent, stream, NULL, 0); /* input that came with the last OPEN frame */
}

/* EXEC. Returns 1 if the program runs, 0 if it was detached. */
int exec_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct writer *result, struct failure *failure)
{
    struct program program;
    if (check_flags(request->flags, failure) ||
        program_start(agent, request, request->flags, &program, failure))
        return -1;
    tell_pid(agent, stream, program.pid);
    if (request->flags & PROGRAM_DETACH) {
        orphan_add(agent, program.pid);
        put_number(result, TAG_STATUS, 0);
        return 0;
    }
    connect_pipes(agent, stream, &program);
    return 1;
}

/* CONTROL: a signal for the group, or the terminal's size. */
void exec_control(struct stream *stream, const struct request *control)
{
    if (stream->kind != KIND_EXEC || stream->pid <= 1)
        return;
    if (control->present[TAG_SIGNAL] && control->signal >= 1 && control->signal <= 64)
        kill(-stream->pid, (int)control->signal);
    if (stream->is_tty && stream->out[0].fd >= 0)
        program_resize(stream->out[0].fd, control);
}
