/* LISTENERS: report the listening TCP sockets. The kernel has no event for changes, so the table is
 * read periodically (LISTENERS_MS in loop.c) while the host watches, and sooner while the agent is
 * awake anyway: what it carries may have started a server. */
#include "listeners.h"

#include "agent.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    LISTENERS_MAX = 400, /* they fit into one frame */
    TCP_LISTEN = 10,
    PAUSE_MS = 100, /* between two looks, so that a busy agent does not spend its time here */
};

struct listener {
    char host[INET6_ADDRSTRLEN];
    unsigned port;
};

static int compare(const void *one, const void *other)
{
    const struct listener *a = one, *b = other;
    int order = strcmp(a->host, b->host);
    return order ? order : (int)a->port - (int)b->port;
}

/* Parse a line of /proc/net/tcp or tcp6: `  0: 0100007F:1F90 ... 0A ...`. The address consists of
 * words in the machine's byte order. */
static bool parse_line(const char *line, bool is_v6, struct listener *found)
{
    unsigned words[4] = {0}, state;
    int n = is_v6 ? sscanf(line, " %*d: %8x%8x%8x%8x:%4x %*[0-9A-F]:%*4x %2x", &words[0],
                           &words[1], &words[2], &words[3], &found->port, &state)
                  : sscanf(line, " %*d: %8x:%4x %*8x:%*4x %2x", &words[0], &found->port, &state);
    return n == (is_v6 ? 6 : 3) && state == TCP_LISTEN &&
           inet_ntop(is_v6 ? AF_INET6 : AF_INET, words, found->host, sizeof found->host);
}

static size_t read_table(const char *path, bool is_v6, struct listener *found, size_t count)
{
    char line[256];
    FILE *table = fopen(path, "re");
    if (!table)
        return count;
    bool listening = fgets(line, sizeof line, table); /* the heading */
    /* Listening sockets come first, before all others. */
    while (listening && count < LISTENERS_MAX && fgets(line, sizeof line, table)) {
        listening = parse_line(line, is_v6, &found[count]);
        count += listening;
    }
    fclose(table);
    return count;
}

static void put_listener(struct writer *writer, const struct listener *listener)
{
    uint8_t bytes[96];
    struct writer nested = {bytes, 0, sizeof bytes, false};
    put_text(&nested, TAG_HOST, listener->host);
    put_number(&nested, TAG_PORT, listener->port);
    put_bytes(writer, TAG_LISTENER, nested.at, nested.size);
}

/* Send the set if it differs from the set last sent. */
static void report(struct agent *agent, struct stream *stream)
{
    static struct listener found[LISTENERS_MAX];
    static uint8_t bytes[FRAME_MAX];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    if (!carrier_room(agent))
        return; /* the host is slow: next time */
    size_t count = read_table("/proc/net/tcp", false, found, 0);
    count = read_table("/proc/net/tcp6", true, found, count);
    qsort(found, count, sizeof *found, compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare(&found[i - 1], &found[i]) != 0)
            put_listener(&writer, &found[i]);
    if (stream->seen && stream->seen_size == writer.size &&
        memcmp(stream->seen, bytes, writer.size) == 0)
        return;
    uint8_t *seen = realloc(stream->seen, writer.size + 1);
    if (!seen)
        return;
    memcpy(seen, bytes, writer.size);
    stream->seen = seen;
    stream->seen_size = writer.size;
    send_fields(agent, FRAME_EVENT, stream->id, &writer);
}

void listeners_start(struct agent *agent, struct stream *stream)
{
    stream_list(stream, &agent->streams.watching);
    report(agent, stream);
}

void listeners_look(struct agent *agent)
{
    struct timespec now = {0};
    if (!agent->streams.watching.first)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms - agent->looked_ms < PAUSE_MS)
        return;
    agent->looked_ms = now_ms;
    for (struct stream *stream = agent->streams.watching.first; stream;
         stream = stream->place.next)
        report(agent, stream);
}
