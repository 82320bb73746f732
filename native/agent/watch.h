/* The epoll sets of the streams' descriptors. */
#ifndef BANGER_WATCH_H
#define BANGER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct stream;

enum end { END_SINK, END_OUT_1, END_OUT_2, ENDS = 4 /* a power of two above them */ };

/* What became ready: an end of a stream. */
struct readiness {
    uint32_t stream;
    enum end end;
};

/* Register what the stream waits for, and nothing else. To be called after whatever may have
 * changed that: a frame, an event, the end of a process. Ends a stream that cannot be watched. */
void watch_stream(struct agent *agent, struct stream *stream);

/* Close a descriptor of the stream. Nothing else may close one that may be watched. */
void close_sink(struct agent *agent, struct stream *stream);
void close_source(struct agent *agent, struct stream *stream, int index);

/* Take a source's descriptor away from the stream, open. */
int detach_source(struct agent *agent, struct stream *stream, int index);

/* Find the next end in the set that is ready now: each in turn. Returns false if there is none. */
bool watch_next(int set, struct readiness *ready);

#endif
