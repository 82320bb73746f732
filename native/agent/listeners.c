/* LISTENERS: report the listening TCP sockets. The kernel has no event for changes, so the table is
 * read periodically (LISTENERS_MS in loop.c) while the host watches, and sooner while the agent is
 * awake anyway: what it carries may have started a server. */
#include "listeners.h"

#include "agent.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LISTENERS_MAX = 400, /* they fit into one frame */
    TCP_LISTEN = 10,
    PART = 1024, /* of a table, read at once; a line has less than 200 bytes */
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

/* What follows reads and parses without the library's streams and scanf: an emulated clone translates
 * all code that runs here, and most of theirs would be run by nothing else. */

static bool take_hex(const char **at, int digits, unsigned *value)
{
    for (*value = 0; digits; digits--, (*at)++) {
        char c = **at;
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
            return false;
        *value = *value << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    return true;
}

/* Take ` 0100007F:1F90`. The address consists of words in the machine's byte order. */
static bool take_address(const char **at, int words, unsigned *address, unsigned *port)
{
    if (*(*at)++ != ' ')
        return false;
    for (int i = 0; i < words; i++)
        if (!take_hex(at, 8, &address[i]))
            return false;
    return *(*at)++ == ':' && take_hex(at, 4, port);
}

/* Parse a line of /proc/net/tcp or tcp6: `  0: 0100007F:1F90 00000000:0000 0A ...`. */
static bool parse_line(const char *line, bool is_v6, struct listener *found)
{
    unsigned address[4], other[4], port, state;
    int words = is_v6 ? 4 : 1;
    const char *at = strchr(line, ':');
    if (!at)
        return false;
    at++;
    return take_address(&at, words, address, &found->port) &&
           take_address(&at, words, other, &port) && *at++ == ' ' && take_hex(&at, 2, &state) &&
           state == TCP_LISTEN &&
           inet_ntop(is_v6 ? AF_INET6 : AF_INET, address, found->host, sizeof found->host);
}

static size_t read_table(const char *path, bool is_v6, struct listener *found, size_t count)
{
    char text[PART];
    size_t held = 0;
    ssize_t n;
    bool in_heading = true, listening = true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return count;
    /* Listening sockets come first, before all others. */
    while (listening && (n = read(fd, text + held, sizeof text - held)) > 0) {
        char *line = text, *end;
        held += (size_t)n;
        while (listening && (end = memchr(line, '\n', held))) {
            *end = 0;
            if (!in_heading) {
                listening = count < LISTENERS_MAX && parse_line(line, is_v6, &found[count]);
                count += listening;
            }
            in_heading = false;
            held -= (size_t)(end + 1 - line);
            line = end + 1;
        }
        memmove(text, line, held);
    }
    close(fd);
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
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now); /* the vDSO, too, would be translated */
    int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms - agent->looked_ms < PAUSE_MS)
        return;
    agent->looked_ms = now_ms;
    for (struct stream *stream = agent->streams.watching.first; stream;
         stream = stream->place.next)
        report(agent, stream);
}
