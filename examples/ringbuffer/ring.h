/* A ring buffer of bytes: first in, first out, in a fixed piece of memory. */
#ifndef RING_H
#define RING_H

#include <stddef.h>

struct ring {
    unsigned char *data; /* the caller's memory */
    size_t size;         /* how many bytes fit */
    size_t head;         /* where the next byte is read */
    size_t used;         /* how many bytes are in it */
};

/* Make an empty ring in `size` bytes of memory that the caller owns. */
void ring_init(struct ring *ring, void *memory, size_t size);

/* Put in as many of `count` bytes as fit; return how many did. */
size_t ring_write(struct ring *ring, const void *bytes, size_t count);

/* Take out up to `count` bytes, oldest first; return how many there were. */
size_t ring_read(struct ring *ring, void *bytes, size_t count);

#endif
