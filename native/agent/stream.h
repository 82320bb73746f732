/* Streams: the requests that are open, their channels, and the end of each kind. */
#ifndef BANGER_STREAM_H
#define BANGER_STREAM_H

#include "cgroups.h"
#include "fields.h"
#include "streams.h"

#include <sys/types.h>

struct agent;
struct attachment;
struct listening;

/* A channel from the guest to the host. */
struct source {
    int fd;       /* -1: ended or never open */
    bool watched; /* is in the epoll set `sources` */
    uint32_t credit;
    size_t left; /* bytes in the pipe when the process ended */
};

/* The channel from the host to the guest. `allowed`, `passed` and `size` add up to `window`. */
struct sink {
    int fd;       /* -1: input is dropped */
    bool watched; /* is in the epoll set `sinks` */
    bool is_bulk; /* the newest DATA was large: a larger window makes the stream faster */
    bool eof;
    bool broken; /* what was passed on found no reader any more */
    uint32_t window;          /* bytes that the host may have under way, and the ring may hold */
    uint32_t lent;            /* the part of it that is the pool's */
    uint32_t allowed, passed; /* window left to the host; bytes passed on since the last CREDIT */
    uint64_t taken;           /* bytes that were written to `fd` */
    uint8_t *ring;            /* NULL: nothing waits */
    size_t room, start, size;
};

enum stream_phase { STREAM_REQUESTED, STREAM_CONNECTING, STREAM_RUNNING };

struct stream {
    uint32_t id; /* 0: it has ended, and is freed at the end of the loop's turn */
    enum stream_phase phase;
    int terminal; /* master of a TTY whose output has ended, until the program has; -1 */
    bool closed, is_tty, exited;
    enum kind kind;
    uint8_t *request; /* the OPEN payload so far */
    size_t request_size;
    pid_t pid; /* leader of the process group, 0 if there is none */
    struct cgroup *cgroup; /* NULL: it has none */
    int status;
    int report; /* pipe for a worker's result; -1 */
    struct sink in;
    struct source out[2];
    uint8_t *seen; /* LISTENERS: the set last sent */
    size_t seen_size;
    struct listening *listening; /* LISTEN */
    struct attachment *attachment; /* to a session */
    struct stream *same_bucket;  /* streams.c */
    struct place place;
};

void stream_result(struct agent *agent, struct stream *stream, const struct writer *writer);
void stream_error(struct agent *agent, struct stream *stream, const struct failure *failure);
/* Refuse a request that has no stream. */
void send_failure(struct agent *agent, uint32_t id, const struct failure *failure);

/* End a stream that cannot go on. */
void stream_fail(struct agent *agent, struct stream *stream, const struct failure *failure);
void stream_drop(struct agent *agent, struct stream *stream);
void stream_close(struct agent *agent, struct stream *stream);

/* Note the process of a stream, whose end ends the stream. */
void stream_runs(struct agent *agent, struct stream *stream, pid_t pid);

/* Send what an ended process has left, and its result. */
void stream_settle(struct agent *agent, struct stream *stream);

void orphan_add(struct agent *agent, pid_t pid);
void reap(struct agent *agent);

#endif
