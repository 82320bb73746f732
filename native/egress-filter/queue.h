/* How many frames wait in a TAP for its VMM, which nothing tells but the interface's statistics.
 *
 * The interface counts a frame when the VMM takes it, so what we sent less what was counted waits.
 * A TAP drops what its queue has no room for, and passt sends a frame that was dropped again
 * only after two seconds: so no more than QUEUE frames are given to it at a time. */
#ifndef BANGER_EGRESS_QUEUE_H
#define BANGER_EGRESS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    QUEUE = 400,      /* frames; a TAP has room for 500 (TUN_READQ_SIZE, since Linux 2.6) */
    NAME_LENGTH = 16, /* of an interface, with a NUL */
};

struct queue {
    int statistics; /* /proc/net/dev of the TAP's network namespace */
    char name[NAME_LENGTH + 1];
    uint64_t sent, taken;
};

/* Tell whether the TAP takes another frame. */
bool queue_has_room(struct queue *queue);

/* Find an interface's transmitted and dropped frames in the text of /proc/net/dev; 0 if it is not
 * there. Pure. */
uint64_t count_taken(const char *text, const char *name);

#endif
