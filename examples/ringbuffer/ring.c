#include "ring.h"

#include <string.h>

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

void ring_init(struct ring *ring, void *memory, size_t size)
{
    *ring = (struct ring){.data = memory, .size = size};
}

size_t ring_write(struct ring *ring, const void *bytes, size_t count)
{
    count = smaller(count, ring->size - ring->used);
    if (count == 0)
        return 0;
    size_t tail = (ring->head + ring->used) % ring->size;
    size_t first = smaller(count, ring->size - tail); /* up to the end of the memory */
    memcpy(ring->data + tail, bytes, first);
    memcpy(ring->data, (const unsigned char *)bytes + first, count - first);
    ring->used += count;
    return count;
}

size_t ring_read(struct ring *ring, void *bytes, size_t count)
{
    count = smaller(count, ring->used);
    if (count == 0)
        return 0;
    size_t first = smaller(count, ring->size - ring->head);
    memcpy(bytes, ring->data + ring->head, first);
    memcpy((unsigned char *)bytes + first, ring->data, count - first);
    ring->head = (ring->head + count) % ring->size;
    ring->used -= count;
    return count;
}
