#include "attach.h"

#include "agent.h"
#include "channels.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

enum { ATTACH_FOLLOW = 1, ATTACH_STDIN = 2, SEND_EOF = 1 };

/* --- attaching ---------------------------------------------------------------- */

static struct attachment *attach(struct stream *stream, struct session *session,
                                 struct failure *failure)
{
    struct attachment *attachment = calloc(1, sizeof *attachment);
    if (!attachment) {
        fail(failure, "no-memory", 0, "no memory for the stream");
        return NULL;
    }
    attachment->session = session;
    attachment->stream = stream;
    attachment->next = session->attachments;
    session->attachments = attachment;
    stream->attachment = attachment;
    return attachment;
}

void attach_leave(struct stream *stream)
{
    struct attachment *attachment = stream->attachment;
    if (!attachment)
        return;
    struct attachment **at = &attachment->session->attachments;
    while (*at != attachment)
        at = &(*at)->next;
    *at = attachment->next;
    stream->attachment = NULL;
    free(attachment);
}

/* Make the stream the session's writer: the only one. Its descriptor is a copy, so that what one
 * writer leaves does not close the program's input. */
static int become_writer(struct attachment *attachment, struct failure *failure)
{
    const struct session *session = attachment->session;
    if (!session->pid)
        return fail(failure, "ended", 0, "the session has ended");
    if (session->in < 0)
        return fail(failure, "no-input", 0, "the session reads no input");
    for (struct attachment *other = session->attachments; other; other = other->next)
        if (other->writes)
            return fail(failure, "busy", 0, "another client writes to the session");
    attachment->stream->in.fd = fcntl(session->in, F_DUPFD_CLOEXEC, 3);
    if (attachment->stream->in.fd < 0)
        return fail(failure, "io", errno, "open the session's input");
    attachment->writes = true;
    return 0;
}

static uint64_t choose_start(const struct ring *ring, const struct request *request)
{
    uint64_t at = request->offset < ring->end ? request->offset : ring->end;
    uint64_t lines = request->present[TAG_LINES] ? ring_find_lines(ring, request->lines) : 0;
    uint64_t since = request->present[TAG_SINCE_NS] ? ring_find_time(ring, request->since_ns) : 0;
    at = lines > at ? lines : at;
    return since > at ? since : at;
}

static void tell_start(struct agent *agent, const struct attachment *attachment)
{
    static uint8_t bytes[16384];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_session(&writer, attachment->session);
    put_number(&writer, TAG_OFFSET, attachment->at);
    send_fields(agent, FRAME_EVENT, attachment->stream->id, &writer);
}

static void resize(const struct session *session, const struct request *request)
{
    if (session->is_tty && session->in >= 0 &&
        (request->present[TAG_ROWS] || request->present[TAG_COLUMNS]))
        program_resize(session->in, request);
}

int attach_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure)
{
    struct session *session = session_find(agent, request, failure);
    struct attachment *attachment = session ? attach(stream, session, failure) : NULL;
    if (!attachment)
        return -1;
    if ((request->flags & ATTACH_STDIN) && become_writer(attachment, failure))
        return -1;
    attachment->reads = true;
    attachment->at = choose_start(&session->ring, request);
    attachment->until = request->flags & ATTACH_FOLLOW ? UINT64_MAX : session->ring.end;
    resize(session, request);
    tell_start(agent, attachment);
    attach_wake(agent, stream);
    stream_take(agent, stream, NULL, 0); /* input that came with the last OPEN frame */
    return 1;
}

int send_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct failure *failure)
{
    struct writer nothing = {0};
    struct session *session = session_find(agent, request, failure);
    struct attachment *attachment = session ? attach(stream, session, failure) : NULL;
    if (!attachment || become_writer(attachment, failure))
        return -1;
    attachment->ends_input = request->flags & SEND_EOF;
    send_fields(agent, FRAME_EVENT, stream->id, &nothing);
    stream_take(agent, stream, NULL, 0);
    return 1;
}

int wait_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct writer *result, struct failure *failure)
{
    struct session *session = session_find(agent, request, failure);
    if (!session)
        return -1;
    if (session->pid)
        return attach(stream, session, failure) ? 1 : -1;
    put_session_exit(result, session);
    return 0;
}

void attach_control(struct stream *stream, const struct request *control)
{
    const struct session *session = stream->attachment->session;
    if (control->present[TAG_SIGNAL] && control->signal >= 1 && control->signal <= 64)
        session_signal(session, (int)control->signal);
    resize(session, control);
}

/* --- input -------------------------------------------------------------------- */

/* Tell a sender how much has been taken. */
static void finish_writer(struct agent *agent, struct stream *stream)
{
    uint8_t bytes[16];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_number(&writer, TAG_BYTES, stream->in.taken);
    stream_result(agent, stream, &writer);
}

void attach_took(struct agent *agent, struct stream *stream)
{
    struct attachment *attachment = stream->attachment;
    bool is_over = stream->in.broken || (stream->in.eof && !stream->in.size);
    if (!attachment->writes || !is_over)
        return;
    attachment->writes = false; /* somebody else may write now */
    if (stream->kind != KIND_SESSION_SEND)
        return;
    if (attachment->ends_input && !stream->in.broken)
        session_end_input(attachment->session);
    finish_writer(agent, stream);
}

/* --- output ------------------------------------------------------------------- */

void attach_wake(struct agent *agent, struct stream *stream)
{
    if (stream->attachment->reads)
        stream_list(stream, &agent->streams.reading);
}

static bool has_ended(const struct attachment *attachment)
{
    const struct session *session = attachment->session;
    return attachment->at >= attachment->until ||
           (!session->pid && attachment->at >= session->ended_at);
}

static void finish_reader(struct agent *agent, struct stream *stream)
{
    uint8_t bytes[64];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_number(&writer, TAG_OFFSET, stream->attachment->at);
    if (!stream->attachment->session->pid)
        put_session_exit(&writer, stream->attachment->session);
    send_frame(agent, FRAME_EOF, stream->id, 1, NULL, 0);
    stream_result(agent, stream, &writer);
}

bool attach_serve(struct agent *agent, struct stream *stream)
{
    struct source *out = &stream->out[0];
    struct attachment *attachment = stream->attachment;
    uint8_t *at = carrier_reserve(agent);
    size_t size = out->credit < FRAME_MAX ? out->credit : FRAME_MAX;
    size_t n = at ? ring_copy(&attachment->session->ring, &attachment->at, at + FRAME_HEADER, size)
                  : 0;
    if (n) {
        send_frame(agent, FRAME_DATA, stream->id, 1, at + FRAME_HEADER, n);
        out->credit -= (uint32_t)n;
    }
    if (has_ended(attachment)) {
        finish_reader(agent, stream);
        return false;
    }
    return n && attachment->at < attachment->session->ring.end;
}

void attached_output(struct agent *agent, struct session *session)
{
    for (struct attachment *each = session->attachments; each; each = each->next)
        if (!each->stream->place.list)
            attach_wake(agent, each->stream);
}

/* Readers end when they have had everything; writers and waiters now. */
void attached_end(struct agent *agent, struct session *session)
{
    uint8_t bytes[64];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    put_session_exit(&writer, session);
    for (struct attachment *each = session->attachments, *next; each; each = next) {
        next = each->next;
        if (each->reads) {
            each->writes = false;
            attach_wake(agent, each->stream);
        } else if (each->stream->kind == KIND_SESSION_WAIT) {
            stream_result(agent, each->stream, &writer);
        } else {
            finish_writer(agent, each->stream);
        }
    }
}

void attached_deleted(struct agent *agent, struct session *session)
{
    struct failure failure;
    fail(&failure, "not-found", 0, "the session was deleted");
    while (session->attachments)
        stream_error(agent, session->attachments->stream, &failure);
}
