#include "ring.h"

#include "frame.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

enum { CHUNK_ROOM = CHUNK_SIZE - 32 };

struct chunk {
    struct chunk *next;
    uint64_t start;  /* position of its first byte of output */
    uint32_t used;   /* of `bytes` */
    uint32_t newest; /* where its last record begins */
    uint64_t unused; /* keeps the size the same on all machines */
    uint8_t bytes[CHUNK_ROOM];
};

_Static_assert(sizeof(struct chunk) <= CHUNK_SIZE, "a chunk is of whole pages");

/* --- memory ------------------------------------------------------------------- */

void ring_pool_init(struct ring_pool *pool)
{
    struct sysinfo info;
    *pool = (struct ring_pool){.most = POOL_CHUNKS};
    if (sysinfo(&info))
        return;
    uint64_t share = (uint64_t)info.totalram * info.mem_unit / POOL_SHARE / CHUNK_SIZE;
    if (share < pool->most)
        pool->most = (size_t)share;
}

/* Take the oldest chunk out of the ring. */
static struct chunk *take_oldest(struct ring *ring)
{
    struct chunk *chunk = ring->first;
    if (!chunk)
        return NULL;
    ring->first = chunk->next;
    if (!ring->first)
        ring->last = NULL;
    ring->chunks--;
    return chunk;
}

static struct ring *find_largest(const struct ring_pool *pool)
{
    struct ring *largest = pool->rings;
    for (struct ring *ring = pool->rings; ring; ring = ring->next)
        if (ring->chunks > largest->chunks)
            largest = ring;
    return largest;
}

static struct chunk *map_chunk(struct ring_pool *pool)
{
    if (pool->chunks >= pool->most)
        return NULL;
    void *memory = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    if (memory == MAP_FAILED)
        return NULL;
    pool->chunks++;
    return memory;
}

/* Find a chunk for the ring: a new one, else the oldest of the largest ring, else its own. NULL
 * only if it has none yet. */
static struct chunk *find_chunk(struct ring *ring)
{
    struct chunk *chunk = ring->chunks < RING_CHUNKS ? map_chunk(ring->pool) : NULL;
    if (chunk)
        return chunk;
    struct ring *largest = ring->chunks < RING_CHUNKS ? find_largest(ring->pool) : ring;
    return take_oldest(largest->chunks > 1 ? largest : ring);
}

static bool add_chunk(struct ring *ring)
{
    struct chunk *chunk = find_chunk(ring);
    if (!chunk)
        return false;
    chunk->next = NULL;
    chunk->start = ring->end;
    chunk->used = chunk->newest = 0;
    if (ring->last)
        ring->last->next = chunk;
    else
        ring->first = chunk;
    ring->last = chunk;
    ring->chunks++;
    return true;
}

int ring_open(struct ring *ring, struct ring_pool *pool)
{
    *ring = (struct ring){.pool = pool, .next = pool->rings};
    pool->rings = ring;
    if (add_chunk(ring))
        return 0;
    ring_close(ring);
    return -1;
}

void ring_close(struct ring *ring)
{
    struct ring **at = &ring->pool->rings;
    while (*at != ring)
        at = &(*at)->next;
    *at = ring->next;
    for (struct chunk *chunk; (chunk = take_oldest(ring)); ring->pool->chunks--)
        munmap(chunk, CHUNK_SIZE);
}

uint64_t ring_start(const struct ring *ring)
{
    return ring->first->start;
}

/* --- in ----------------------------------------------------------------------- */

static int64_t get_time(const uint8_t *header)
{
    return (int64_t)((uint64_t)get_u32(header + 4) << 32 | get_u32(header));
}

static void put_header(uint8_t *at, int64_t time_ns, size_t length, uint8_t channel)
{
    memset(at, 0, RECORD_HEADER);
    put_u64(at, (uint64_t)time_ns);
    put_u32(at + 8, (uint32_t)length);
    at[12] = channel;
}

/* Tell whether output that comes now belongs to the chunk's last record. */
static bool continues(const struct chunk *chunk, uint8_t channel, int64_t now_ns)
{
    const uint8_t *header = chunk->bytes + chunk->newest;
    return chunk->used && header[12] == channel && now_ns >= get_time(header) &&
           now_ns - get_time(header) < RECORD_NS;
}

uint8_t *ring_reserve(struct ring *ring, uint8_t channel, int64_t now_ns, size_t *room)
{
    size_t header = continues(ring->last, channel, now_ns) ? 0 : RECORD_HEADER;
    if (ring->last->used + header >= CHUNK_ROOM) {
        add_chunk(ring); /* succeeds: the ring has a chunk that it could use again */
        header = RECORD_HEADER;
    }
    ring->put.channel = channel;
    ring->put.time_ns = now_ns;
    *room = CHUNK_ROOM - ring->last->used - header;
    return ring->last->bytes + ring->last->used + header;
}

void ring_commit(struct ring *ring, size_t size)
{
    struct chunk *chunk = ring->last;
    if (continues(chunk, ring->put.channel, ring->put.time_ns)) {
        uint8_t *length = chunk->bytes + chunk->newest + 8;
        put_u32(length, get_u32(length) + (uint32_t)size);
    } else {
        chunk->newest = chunk->used;
        put_header(chunk->bytes + chunk->used, ring->put.time_ns, size, ring->put.channel);
        chunk->used += RECORD_HEADER;
    }
    chunk->used += (uint32_t)size;
    ring->end += size;
}

/* --- out ---------------------------------------------------------------------- */

/* A walk over the records from the one at a position on. */
struct walk {
    const struct chunk *chunk;
    size_t offset; /* in the chunk, of the next record */
    uint64_t next; /* its position */
    const uint8_t *header;
    uint64_t position; /* of the present record */
    size_t length;
};

static struct walk walk_from(const struct ring *ring, uint64_t at)
{
    const struct chunk *chunk = ring->first;
    while (chunk->next && chunk->next->start <= at)
        chunk = chunk->next;
    return (struct walk){.chunk = chunk, .next = chunk->start};
}

static bool walk_on(struct walk *walk)
{
    while (walk->chunk && walk->offset == walk->chunk->used) {
        walk->chunk = walk->chunk->next;
        walk->offset = 0;
    }
    if (!walk->chunk)
        return false;
    walk->header = walk->chunk->bytes + walk->offset;
    walk->length = get_u32(walk->header + 8);
    walk->position = walk->next;
    walk->next += walk->length;
    walk->offset += RECORD_HEADER + walk->length;
    return true;
}

static size_t copy_gap(const struct ring *ring, uint64_t *at, uint8_t *to, size_t size)
{
    if (*at >= ring_start(ring) || size < GAP_SIZE)
        return 0;
    put_header(to, get_time(ring->first->bytes), 8, 0);
    put_u64(to + RECORD_HEADER, ring_start(ring) - *at);
    *at = ring_start(ring);
    return GAP_SIZE;
}

size_t ring_copy(const struct ring *ring, uint64_t *at, uint8_t *to, size_t size)
{
    size_t used = copy_gap(ring, at, to, size);
    if (*at < ring_start(ring))
        return 0;
    for (struct walk walk = walk_from(ring, *at);
         size - used > RECORD_HEADER && walk_on(&walk);) {
        if (walk.next <= *at)
            continue;
        size_t skipped = (size_t)(*at - walk.position);
        size_t room = size - used - RECORD_HEADER;
        size_t n = walk.length - skipped < room ? walk.length - skipped : room;
        put_header(to + used, get_time(walk.header), n, walk.header[12]);
        memcpy(to + used + RECORD_HEADER, walk.header + RECORD_HEADER + skipped, n);
        used += RECORD_HEADER + n;
        *at += n;
    }
    return used;
}

uint64_t ring_find_time(const struct ring *ring, int64_t time_ns)
{
    struct walk walk = walk_from(ring, 0);
    while (walk_on(&walk))
        if (get_time(walk.header) > time_ns - RECORD_NS)
            return walk.position;
    return ring->end;
}

/* Count the line ends of a record; the position behind number `wanted`, if that is in it, goes to
 * `*found`. */
static uint64_t count_lines(const struct walk *walk, uint64_t wanted, uint64_t *found)
{
    const uint8_t *bytes = walk->header + RECORD_HEADER, *end = bytes + walk->length;
    uint64_t count = 0;
    for (const uint8_t *at = bytes; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
        if (++count == wanted)
            *found = walk->position + (uint64_t)(at + 1 - bytes);
    return count;
}

uint64_t ring_find_lines(const struct ring *ring, uint64_t lines)
{
    uint64_t count = 0, found = ring_start(ring), last = 0;
    for (struct walk walk = walk_from(ring, 0); walk_on(&walk);) {
        count += count_lines(&walk, 0, &found);
        last = walk.header[RECORD_HEADER + walk.length - 1] != '\n';
    }
    if (!lines)
        return ring->end;
    if (count + last <= lines)
        return found;
    uint64_t wanted = count + last - lines, seen = 0;
    for (struct walk walk = walk_from(ring, 0); seen < wanted && walk_on(&walk);)
        seen += count_lines(&walk, wanted - seen, &found);
    return found;
}
