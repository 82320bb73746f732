/* The table of streams, and the lists of those that need more than their events. */
#ifndef BANGER_STREAMS_H
#define BANGER_STREAMS_H

#include <stddef.h>
#include <stdint.h>

struct agent;
struct stream;

enum {
    STREAMS = 2048,
    STREAMS_OF_VERSION_1 = 64,
    BUCKETS = 1024, /* numbers go up one by one, so their low bits are spread evenly */
};

/* A list, oldest first. */
struct list_of_streams {
    struct stream *first, **end;
};

/* Where in a list a stream is; a stream is in one list at most. */
struct place {
    struct list_of_streams *list; /* NULL: in none */
    struct stream *next, **back;
};

struct streams {
    struct stream *buckets[BUCKETS];
    struct stream *ended; /* freed at the end of the loop's turn */
    uint32_t count;
    struct list_of_streams running;   /* with a process that has not ended */
    struct list_of_streams ending;    /* with a process that has: to be served without an event */
    struct list_of_streams watching;  /* LISTENERS */
    struct list_of_streams listening; /* LISTEN */
    struct list_of_streams reading;   /* SESSION_ATTACH: with output or an end to be told */
};

void streams_init(struct streams *streams);
struct stream *stream_find(struct agent *agent, uint32_t id);

/* Returns NULL if there are too many, or no memory. */
struct stream *stream_add(struct agent *agent, uint32_t id);

/* Take the stream out of the table; it is freed by streams_free. */
void stream_remove(struct agent *agent, struct stream *stream);

/* Move the stream into a list; NULL: into none. */
void stream_list(struct stream *stream, struct list_of_streams *list);

void streams_drop(struct agent *agent);
void streams_free(struct agent *agent);

#endif
