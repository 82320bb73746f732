#include "backlog.h"

#include <string.h>
#include <sys/mman.h>

bool backlog_open(struct backlog *backlog)
{
    void *ring = mmap(NULL, BACKLOG, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *backlog = (struct backlog){0};
    if (ring == MAP_FAILED)
        return false;
    madvise(ring, BACKLOG, MADV_NOHUGEPAGE); /* else the first byte costs two megabytes */
    backlog->ring = ring;
    return true;
}

uint8_t *backlog_room(const struct backlog *backlog, size_t *room)
{
    size_t end = (backlog->start + backlog->size) % BACKLOG;
    size_t free = BACKLOG - backlog->size;
    *room = free < BACKLOG - end ? free : BACKLOG - end;
    return backlog->ring + end;
}

void backlog_added(struct backlog *backlog, size_t size)
{
    size_t end = (backlog->start + backlog->size) % BACKLOG + size;
    backlog->size += size;
    if (end > backlog->touched)
        backlog->touched = end;
}

const uint8_t *backlog_oldest(const struct backlog *backlog, size_t *size)
{
    size_t row = BACKLOG - backlog->start;
    *size = backlog->size < row ? backlog->size : row;
    return backlog->ring + backlog->start;
}

void backlog_taken(struct backlog *backlog, size_t size)
{
    backlog->start = (backlog->start + size) % BACKLOG;
    backlog->size -= size;
    if (backlog->size > 0)
        return;
    backlog->start = 0; /* the same memory again, so that a quiet ring stays small */
    if (backlog->touched > BACKLOG_KEPT) {
        madvise(backlog->ring + BACKLOG_KEPT, BACKLOG - BACKLOG_KEPT, MADV_DONTNEED);
        backlog->touched = BACKLOG_KEPT;
    }
}

void backlog_put(struct backlog *backlog, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *at = backlog_room(backlog, &room);
        size_t part = size < room ? size : room;
        memcpy(at, bytes, part);
        backlog_added(backlog, part);
        bytes += part, size -= part;
    }
}

void backlog_peek(const struct backlog *backlog, size_t offset, uint8_t *bytes, size_t size)
{
    size_t at = (backlog->start + offset) % BACKLOG;
    size_t part = size < BACKLOG - at ? size : BACKLOG - at;
    memcpy(bytes, backlog->ring + at, part);
    memcpy(bytes + part, backlog->ring, size - part);
}

bool backlog_length(const struct backlog *backlog, size_t offset, size_t *length)
{
    uint8_t at[4];
    if (backlog->size < offset + sizeof at)
        return false;
    backlog_peek(backlog, offset, at, sizeof at);
    *length = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    return true;
}
