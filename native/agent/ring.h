/* The newest output of a session, in records with their times.
 *
 * A record is, in memory as on the wire (docs/guest-protocol.md, SESSION_ATTACH):
 *     0   8   time      i64, CLOCK_REALTIME in nanoseconds of its first byte
 *     8   4   length    of the bytes that follow
 *     12  1   channel   1 stdout or terminal, 2 stderr; 0: a gap, whose u64 is how many bytes are lost
 *     13  3   zero
 * Pure but for mmap. Fuzzed by fuzz/fuzz_ring.c. */
#ifndef BANGER_RING_H
#define BANGER_RING_H

#include <stddef.h>
#include <stdint.h>

enum {
    RECORD_HEADER = 16,
    GAP_SIZE = RECORD_HEADER + 8,
    CHUNK_SIZE = 32768,  /* memory is taken in pieces of this size */
    RING_CHUNKS = 130,   /* of one ring: more than 4 MiB, headers and a last chunk that has just
                            been begun not counted */
    POOL_CHUNKS = 2048,  /* of all rings: 64 MiB */
    POOL_SHARE = 8,      /* but at most this part of the machine's memory */
    RECORD_NS = 1000000000, /* output of one channel within this time is one record */
};

struct chunk;
struct ring;

/* The memory of all rings. When it is used up, the largest ring gives its oldest chunk to the one
 * that needs another; each ring keeps one. */
struct ring_pool {
    size_t chunks, most;
    struct ring *rings;
};

struct ring {
    struct ring_pool *pool;
    struct ring *next; /* in the pool */
    struct chunk *first, *last;
    size_t chunks;
    uint64_t end; /* position behind the newest byte: how many have ever been put in */
    struct {      /* what ring_commit adds to */
        uint8_t channel;
        int64_t time_ns;
    } put;
};

void ring_pool_init(struct ring_pool *pool);

/* Returns -1 if there is no memory for its first chunk. */
int ring_open(struct ring *ring, struct ring_pool *pool);
void ring_close(struct ring *ring);

/* Position of the oldest byte that is kept. */
uint64_t ring_start(const struct ring *ring);

/* Return where to put output that comes now, and how much fits there: at least one byte. The
 * oldest output makes room. ring_commit keeps the first `size` bytes of it. */
uint8_t *ring_reserve(struct ring *ring, uint8_t channel, int64_t now_ns, size_t *room);
void ring_commit(struct ring *ring, size_t size);

/* Copy whole records and parts of them from position `*at` on, as many as fit; return their size
 * and move `*at` behind them. What is kept no more becomes a gap. */
size_t ring_copy(const struct ring *ring, uint64_t *at, uint8_t *to, size_t size);

/* Position of the first record that may have output of `time_ns` or later. */
uint64_t ring_find_time(const struct ring *ring, int64_t time_ns);

/* Position where the last `lines` lines begin; one without its line end counts. */
uint64_t ring_find_lines(const struct ring *ring, uint64_t lines);

#endif
