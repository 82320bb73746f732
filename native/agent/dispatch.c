#include "dispatch.h"

#include "agent.h"
#include "attach.h"
#include "boot.h"
#include "channels.h"
#include "connect.h"
#include "exec.h"
#include "files.h"
#include "identity.h"
#include "jobs.h"
#include "listen.h"
#include "listeners.h"
#include "net6.h"
#include "say.h"
#include "sftp.h"
#include "stat.h"
#include "udp.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

/* The highest version of the protocol; a build may be made for an earlier one (tests). */
#ifndef PROTOCOL_VERSION
#define PROTOCOL_VERSION 2
#endif

enum { POWEROFF_NOW = 1, REQUEST_MAX = 1 << 20 };
enum { FEATURE_SESSIONS = 1, FEATURE_ADDRESS6 = 2 };

static void protocol_error(struct agent *agent, const char *what)
{
    say("protocol error: %s", what);
    frame_skip(&agent->carrier.parser);
}

/* Agree on the highest version that both speak; returns 0 if there is none. */
static uint32_t agree(struct agent *agent, uint32_t lowest, uint32_t highest)
{
    uint32_t version = highest < PROTOCOL_VERSION ? highest : PROTOCOL_VERSION;
    if (lowest > version)
        version = 0;
    agent->negotiated = version != 0;
    agent->streams_max = version < 2 ? STREAMS_OF_VERSION_1 : STREAMS;
    agent->window = version < 2 ? WINDOW_MAX : WINDOW_FIRST;
    return version;
}

static void hello(struct agent *agent, const struct frame *frame)
{
    uint8_t reply[512];
    char boot_id[64] = "";
    struct utsname machine;
    const uint8_t *versions = frame->payload + MAGIC_SIZE + NONCE_SIZE;
    if (frame->length != HELLO_SIZE || memcmp(frame->payload, frame_magic, MAGIC_SIZE) != 0) {
        protocol_error(agent, "HELLO");
        return;
    }
    streams_drop(agent);
    agent->carrier.out_start = agent->carrier.out_end = 0;
    agent->last_stream = 0;
    uint32_t version = agree(agent, get_u16(versions), get_u16(versions + 2));
    memcpy(reply, frame->payload, MAGIC_SIZE + NONCE_SIZE);
    put_u32(reply + MAGIC_SIZE + NONCE_SIZE, version);
    struct writer writer = {reply, HELLO_SIZE, sizeof reply, false};
    put_text(&writer, TAG_AGENT_VERSION, AGENT_VERSION);
    read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
    put_text(&writer, TAG_BOOT_ID, boot_id);
    put_text(&writer, TAG_STATE, agent->booted ? "booted" : "waiting");
    put_text(&writer, TAG_ARCH, uname(&machine) ? "" : machine.machine);
    if (version >= 2) {
        put_number(&writer, TAG_STREAMS, agent->streams_max);
        put_number(&writer, TAG_FEATURES, FEATURE_SESSIONS | (has_ipv6() ? FEATURE_ADDRESS6 : 0));
    }
    send_frame(agent, FRAME_HELLO, 0, 0, writer.at, writer.size);
}

static int check(const struct agent *agent, enum kind kind, const struct request *request,
                 struct failure *failure)
{
    static const uint8_t needed[KIND_LAST + 1] = {
        [KIND_EXEC] = TAG_ARG,   [KIND_TAR_IN] = TAG_PATH,  [KIND_TAR_OUT] = TAG_PATH,
        [KIND_STAT] = TAG_PATH,  [KIND_BOOT] = TAG_ROOT,
        [KIND_LIST] = TAG_PATH,  [KIND_READ] = TAG_PATH,     [KIND_CHECKSUM] = TAG_PATH,
        [KIND_SESSION_START] = TAG_ARG, [KIND_CHANGES] = TAG_PATH,
    };
    static const uint8_t flags[KIND_LAST + 1] = {
        [KIND_EXEC] = 1 | 2 | 4 | 8, [KIND_TAR_IN] = TAR_IN_EMPTY | TAR_IN_KEEP, [KIND_TAR_OUT] = TAR_OUT_ALONE,
        [KIND_POWEROFF] = POWEROFF_NOW, [KIND_SESSION_START] = 1 | 2,
        [KIND_SESSION_ATTACH] = 1 | 2, [KIND_SESSION_SEND] = 1};
    if (request->flags & ~(uint64_t)flags[kind])
        return fail(failure, "bad-request", 0, "FLAGS %llu", (unsigned long long)request->flags);
    if (needed[kind] && !request->present[needed[kind]])
        return fail(failure, "bad-request", 0, "field %d is missing", needed[kind]);
    if (!agent->booted && kind != KIND_PING && kind != KIND_BOOT && kind != KIND_POWEROFF)
        return fail(failure, "not-booted", 0, "the machine waits for BOOT");
    return 0;
}

/* Answer with the clock, so that the host can see whether it is wrong. */
static int ping(struct writer *result, struct failure *failure)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return fail(failure, "io", errno, "read the clock");
    put_number(result, TAG_CLOCK_NS, (uint64_t)(now.tv_sec * 1000000000LL + now.tv_nsec));
    return 0;
}

/* Carry out a request about sessions, as `serve` does. */
static int serve_session(struct agent *agent, struct stream *stream,
                         const struct request *request, struct writer *result,
                         struct failure *failure)
{
    switch (stream->kind) {
    case KIND_SESSION_START:
        return session_start(agent, request, result, failure);
    case KIND_SESSION_LIST:
        return session_list(agent, request, result, failure);
    case KIND_SESSION_ATTACH:
        return attach_start(agent, stream, request, failure);
    case KIND_SESSION_SEND:
        return send_start(agent, stream, request, failure);
    case KIND_SESSION_SIGNAL:
        return session_send_signal(agent, request, failure);
    case KIND_SESSION_WAIT:
        return wait_start(agent, stream, request, result, failure);
    default: /* no other kind gets here, see open_request */
        return session_delete(agent, request, failure);
    }
}

/* Carry out a request, or start it. Returns 1 if the answer comes later. */
static int serve(struct agent *agent, struct stream *stream, const struct request *request,
                 struct writer *result, struct failure *failure)
{
    switch (stream->kind) {
    case KIND_PING:
        return ping(result, failure);
    case KIND_BOOT:
        return boot(agent, request, failure);
    case KIND_IDENTITY:
        return identity(request, failure);
    case KIND_STAT:
        return stat_path(request->path, result, failure);
    case KIND_POWEROFF:
        agent->power_off = true;
        agent->power_off_now = request->flags & POWEROFF_NOW;
        return 0;
    case KIND_EXEC:
        return exec_start(agent, stream, request, result, failure);
    case KIND_TAR_IN:
        return worker_start(agent, stream, request, tar_in, true, false, failure);
    case KIND_TAR_OUT:
        return worker_start(agent, stream, request, tar_out, false, true, failure);
    case KIND_LIST:
        return worker_start(agent, stream, request, list_files, false, true, failure);
    case KIND_READ:
        return worker_start(agent, stream, request, read_files, false, true, failure);
    case KIND_PROCESSES:
        return worker_start(agent, stream, request, list_processes, false, true, failure);
    case KIND_CHANGES:
        return worker_start(agent, stream, request, tell_changes, false, true, failure);
    case KIND_CHECKSUM:
        return worker_start(agent, stream, request, checksum, false, false, failure);
    case KIND_SFTP:
        return sftp_start(agent, stream, request, failure);
    case KIND_SYNC:
        return worker_start(agent, stream, request, sync_disks, false, false, failure);
    case KIND_LISTEN:
        return listen_start(agent, stream, request, failure);
    case KIND_ACCEPT:
        return accept_start(agent, stream, request, failure);
    case KIND_UDP:
        return udp_start(agent, stream, request, failure);
    case KIND_CONNECT:
        return connect_start(stream, request, failure);
    case KIND_LISTENERS:
        listeners_start(agent, stream);
        return 1;
    default:
        return serve_session(agent, stream, request, result, failure);
    }
}

static void run_request(struct agent *agent, struct stream *stream, uint8_t *untrusted, size_t size)
{
    static uint8_t bytes[FRAME_MAX];
    struct writer result = {bytes, 0, sizeof bytes, false};
    struct failure failure = {0};
    struct request request;
    stream->phase = STREAM_RUNNING;
    if (request_parse(&request, stream->kind, untrusted + 1, size - 1, &failure)) {
        stream_error(agent, stream, &failure);
        return;
    }
    int outcome = check(agent, stream->kind, &request, &failure);
    if (outcome == 0)
        outcome = serve(agent, stream, &request, &result, &failure);
    request_free(&request);
    free(stream->request);
    stream->request = NULL;
    if (outcome < 0)
        stream_error(agent, stream, &failure);
    else if (outcome == 0)
        stream_result(agent, stream, &result);
}

static void collect(struct agent *agent, struct stream *stream, const struct frame *frame)
{
    struct failure failure;
    size_t size = stream->request_size + frame->length;
    if (!stream->request && !(frame->flags & FRAME_MORE)) { /* most requests: no memory of their own */
        run_request(agent, stream, frame->payload, size);
        return;
    }
    uint8_t *grown = size > REQUEST_MAX ? NULL : realloc(stream->request, size + 1);
    if (size > REQUEST_MAX)
        fail(&failure, "too-large", 0, "the request is larger than %d bytes", REQUEST_MAX);
    else if (!grown)
        fail(&failure, "no-memory", 0, "no memory for the request");
    if (!grown) { /* continuation frames find no stream and are ignored */
        stream_error(agent, stream, &failure);
        return;
    }
    memcpy(grown + stream->request_size, frame->payload, frame->length);
    stream->request = grown;
    stream->request_size = size;
    if (!(frame->flags & FRAME_MORE))
        run_request(agent, stream, grown, size);
}

static void open_request(struct agent *agent, const struct frame *frame)
{
    struct failure failure;
    uint8_t kind = frame->length ? frame->payload[0] : 0;
    agent->last_stream = frame->stream;
    struct stream *stream = stream_add(agent, frame->stream);
    if (!stream) {
        fail(&failure, "too-many-streams", 0, "%u streams are open", agent->streams.count);
        send_failure(agent, frame->stream, &failure);
        return;
    }
    if (kind < KIND_PING || kind > KIND_LAST)
        fail(&failure, "bad-request", 0, "there is no request of kind %u", kind);
    else {
        stream->kind = kind;
        collect(agent, stream, frame);
        return;
    }
    stream_error(agent, stream, &failure);
}

static void control(struct stream *stream, const struct frame *frame)
{
    uint8_t bytes[256];
    struct failure failure;
    struct request request;
    if (frame->length > sizeof bytes)
        return;
    memcpy(bytes, frame->payload, frame->length);
    if (request_parse(&request, KIND_CONTROL, bytes, frame->length, &failure))
        say("CONTROL: %s", failure.message); /* CONTROL has no answer */
    else if (stream->attachment)
        attach_control(stream, &request);
    else
        exec_control(stream, &request);
}

static void credit(struct agent *agent, struct stream *stream, const struct frame *frame)
{
    if (frame->length != 4 || frame->channel < 1 || frame->channel > 2) {
        protocol_error(agent, "CREDIT");
        return;
    }
    uint32_t *window = &stream->out[frame->channel - 1].credit;
    uint32_t more = get_u32(frame->payload);
    *window = more > UINT32_MAX - *window ? UINT32_MAX : *window + more;
    if (stream->exited)
        stream_list(stream, &agent->streams.ending);
    else if (stream->attachment)
        attach_wake(agent, stream);
}

static void data(struct agent *agent, struct stream *stream, const struct frame *frame)
{
    if (frame->channel != 0 || frame->length > stream->in.allowed)
        protocol_error(agent, "DATA beyond the credit");
    else
        stream_take(agent, stream, frame->payload, frame->length);
}

static void continue_stream(struct agent *agent, struct stream *stream, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_OPEN:
        if (stream->phase == STREAM_REQUESTED)
            collect(agent, stream, frame);
        break;
    case FRAME_DATA:
        data(agent, stream, frame);
        break;
    case FRAME_EOF:
        stream->in.eof = true;
        stream_take(agent, stream, NULL, 0);
        break;
    case FRAME_CREDIT:
        credit(agent, stream, frame);
        break;
    case FRAME_CONTROL:
        control(stream, frame);
        break;
    case FRAME_CLOSE:
        stream_close(agent, stream);
        break;
    default:
        protocol_error(agent, "a frame that only the agent sends");
    }
}

void dispatch(struct agent *agent, const struct frame *frame)
{
    if (frame->type == FRAME_HELLO) {
        hello(agent, frame);
        return;
    }
    if (!agent->negotiated)
        return;
    struct stream *stream = stream_find(agent, frame->stream);
    if (stream)
        continue_stream(agent, stream, frame);
    else if (frame->type == FRAME_OPEN && frame->stream > agent->last_stream)
        open_request(agent, frame);
    /* else the frame crossed with the end of its stream, or with the refusal of its OPEN */
    stream = stream_find(agent, frame->stream);
    if (stream)
        watch_stream(agent, stream);
}
