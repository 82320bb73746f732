/* Streams: their channels, windows and ends. */
#ifndef BANGER_STREAM_H
#define BANGER_STREAM_H

#include "cgroups.h"
#include "fields.h"
#include <poll.h>
#include <sys/types.h>

struct agent;
struct listening;

enum {
    STREAMS = 64,
    WINDOW = 262144,     /* bytes that the host may send on a channel without credit */
    CREDIT_STEP = 65536, /* bytes passed on before credit is granted */
};

/* A channel from the guest to the host. */
struct source {
    int fd; /* -1: ended or never open */
    int slot;
    uint32_t credit;
    size_t left; /* bytes in the pipe when the process ended */
};

/* The channel from the host to the guest. */
struct sink {
    int fd; /* -1: input is dropped */
    int slot;
    uint32_t allowed, passed; /* window left to the host; bytes passed on since the last CREDIT */
    uint8_t *ring;
    size_t start, size;
    bool eof;
    bool broken; /* what was passed on found no reader any more */
};

enum stream_phase { STREAM_REQUESTED, STREAM_CONNECTING, STREAM_RUNNING };

struct stream {
    uint32_t id; /* 0: this slot is free */
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
};

struct stream *stream_find(struct agent *agent, uint32_t id);
struct stream *stream_add(struct agent *agent, uint32_t id);
void stream_result(struct agent *agent, struct stream *stream, const struct writer *writer);
void stream_error(struct agent *agent, struct stream *stream, const struct failure *failure);
void stream_drop(struct agent *agent, struct stream *stream);
void stream_close(struct agent *agent, struct stream *stream);
void stream_take(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size);
void stream_poll(struct agent *agent, struct stream *stream, struct pollfd *polls, nfds_t *count);
void stream_serve(struct agent *agent, struct stream *stream, const struct pollfd *polls);
void streams_drop(struct agent *agent);
void orphan_add(struct agent *agent, pid_t pid);
void reap(struct agent *agent);

#endif
