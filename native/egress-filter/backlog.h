/* Bytes on one way, BACKLOG at most, in a ring.
 *
 * passt drops what it cannot send at once, and then waits two seconds for an acknowledgement
 * before it sends again; a slow (emulated) guest that is sent a whole TCP window at once would
 * stand still. So what passt sends is taken at once, and kept here. */
#ifndef BANGER_EGRESS_BACKLOG_H
#define BANGER_EGRESS_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BACKLOG = 16 * 1024 * 1024,
    BACKLOG_KEPT = 1024 * 1024, /* memory that stays ours while nothing is in it */
};

struct backlog {
    size_t start, size;
    size_t touched; /* the memory up to here has been written to */
    uint8_t *ring;
};

/* Get address space for the ring; memory comes as it is written to. */
bool backlog_open(struct backlog *backlog);

/* Return where more bytes go, and how many fit there (none: the backlog is full). */
uint8_t *backlog_room(const struct backlog *backlog, size_t *room);
void backlog_added(struct backlog *backlog, size_t size);

/* Return the oldest bytes, and how many there are in a row. */
const uint8_t *backlog_oldest(const struct backlog *backlog, size_t *size);
void backlog_taken(struct backlog *backlog, size_t size);

/* Add bytes, for which there is room, however they lie in the ring. */
void backlog_put(struct backlog *backlog, const uint8_t *bytes, size_t size);

/* Copy bytes that lie `offset` behind the oldest one, and leave them there. */
void backlog_peek(const struct backlog *backlog, size_t offset, uint8_t *bytes, size_t size);

/* Tell whether a frame's length is there, that far behind the oldest byte, and which one. */
bool backlog_length(const struct backlog *backlog, size_t offset, size_t *length);

#endif
