/* The streams that are attached to a session: readers, at most one writer, waiters for its end. */
#ifndef BANGER_ATTACH_H
#define BANGER_ATTACH_H

#include "fields.h"

struct agent;
struct session;
struct stream;

struct attachment {
    struct session *session;
    struct stream *stream;
    struct attachment *next; /* of the same session */
    bool reads, writes;
    bool ends_input; /* with its own */
    uint64_t at;     /* reader: position of the next byte to send */
    uint64_t until;  /* reader: where it ends, whatever follows */
};

/* The requests SESSION_ATTACH, SESSION_SEND and SESSION_WAIT. Return 1, 0 with a result, or -1. */
int attach_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure);
int send_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct failure *failure);
int wait_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct writer *result, struct failure *failure);

/* CONTROL: a signal for the session's group, or its terminal's size. */
void attach_control(struct stream *stream, const struct request *control);

/* Note that input has been passed on, has ended, or has found no reader. */
void attach_took(struct agent *agent, struct stream *stream);

/* Have the stream served, in turn: there may be output for it, or credit. */
void attach_wake(struct agent *agent, struct stream *stream);

/* Send one frame of output, or the end. Returns whether there is more to send. */
bool attach_serve(struct agent *agent, struct stream *stream);

/* Tell all that are attached of new output, of the end, or of the session's deletion. */
void attached_output(struct agent *agent, struct session *session);
void attached_end(struct agent *agent, struct session *session);
void attached_deleted(struct agent *agent, struct session *session);

/* Take the stream from its session. */
void attach_leave(struct stream *stream);

#endif
