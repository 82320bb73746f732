#include "streams.h"

#include "agent.h"

#include <stdlib.h>
#include <string.h>

static void empty(struct list_of_streams *list)
{
    list->first = NULL;
    list->end = &list->first;
}

void streams_init(struct streams *streams)
{
    empty(&streams->running);
    empty(&streams->ending);
    empty(&streams->watching);
    empty(&streams->listening);
    empty(&streams->reading);
}

struct stream *stream_find(struct agent *agent, uint32_t id)
{
    struct stream *stream = id ? agent->streams.buckets[id % BUCKETS] : NULL;
    while (stream && stream->id != id)
        stream = stream->same_bucket;
    return stream;
}

/* Give a stream without anything open its first values. */
static void clear(const struct agent *agent, struct stream *stream)
{
    memset(stream, 0, sizeof *stream);
    stream->report = stream->terminal = stream->in.fd = -1;
    stream->in.window = stream->in.allowed = agent->window;
    for (int c = 0; c < 2; c++)
        stream->out[c] = (struct source){.fd = -1, .credit = agent->window, .left = SIZE_MAX};
}

struct stream *stream_add(struct agent *agent, uint32_t id)
{
    struct streams *streams = &agent->streams;
    struct stream *stream = streams->count < agent->streams_max ? malloc(sizeof *stream) : NULL;
    if (!stream)
        return NULL;
    clear(agent, stream);
    stream->id = id;
    stream->same_bucket = streams->buckets[id % BUCKETS];
    streams->buckets[id % BUCKETS] = stream;
    streams->count++;
    return stream;
}

void stream_remove(struct agent *agent, struct stream *stream)
{
    struct streams *streams = &agent->streams;
    struct stream **at = &streams->buckets[stream->id % BUCKETS];
    while (*at != stream)
        at = &(*at)->same_bucket;
    *at = stream->same_bucket;
    streams->count--;
    stream_list(stream, NULL);
    clear(agent, stream); /* a caller that still uses it finds nothing open */
    stream->same_bucket = streams->ended;
    streams->ended = stream;
}

void stream_list(struct stream *stream, struct list_of_streams *list)
{
    struct place *place = &stream->place;
    if (place->list) {
        *place->back = place->next;
        if (place->next)
            place->next->place.back = place->back;
        else
            place->list->end = place->back;
    }
    *place = (struct place){list, NULL, NULL};
    if (list) {
        place->back = list->end;
        *list->end = stream;
        list->end = &place->next;
    }
}

void streams_drop(struct agent *agent)
{
    for (int i = 0; i < BUCKETS; i++)
        while (agent->streams.buckets[i])
            stream_drop(agent, agent->streams.buckets[i]);
}

void streams_free(struct agent *agent)
{
    for (struct stream *next; agent->streams.ended; agent->streams.ended = next) {
        next = agent->streams.ended->same_bucket;
        free(agent->streams.ended);
    }
}
