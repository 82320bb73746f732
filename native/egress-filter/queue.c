#include "queue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SENT_FIELD = 9, /* proc_net(5): eight fields of what was received, then bytes and packets */
    DROPPED_FIELD = 11,
    TEXT = 4096,
};

/* Return what follows `name` and a colon on a line of its own. */
static const char *find_fields(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, "\n ");
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1;
    }
    return NULL;
}

uint64_t count_taken(const char *text, const char *name)
{
    uint64_t taken = 0;
    const char *at = find_fields(text, name);
    for (int field = 0; at && field <= DROPPED_FIELD; field++) {
        char *after;
        uint64_t value = strtoull(at, &after, 10);
        if (field == SENT_FIELD || field == DROPPED_FIELD)
            taken += value;
        at = after;
    }
    return taken;
}

bool queue_has_room(struct queue *queue)
{
    char text[TEXT];
    if (queue->sent - queue->taken < QUEUE)
        return true;
    ssize_t n = pread(queue->statistics, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    queue->taken = count_taken(text, queue->name);
    if (queue->taken > queue->sent)
        queue->sent = queue->taken; /* frames of the namespace's own */
    return queue->sent - queue->taken < QUEUE;
}
