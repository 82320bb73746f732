/* The output ring against a flat copy of everything that was put in: whatever is put in and read in
 * pieces, a reader gets each byte once and in order, or a gap of the right size. Each three bytes of
 * the input are an act: what, and how much. */
#include "frame.h"
#include "ring.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { RINGS = 3, CHUNKS = 5, ACTS = 300 };

struct reader {
    uint64_t at, seen; /* `seen` counts what its records said */
};

struct world {
    struct ring_pool pool;
    struct ring rings[RINGS];
    struct reader readers[RINGS];
    int64_t now_ns;
};

/* What byte of the output is at a position: so no copy is needed. */
static uint8_t expected(uint64_t position)
{
    return position % 61 == 0 ? '\n' : (uint8_t)(position * 7);
}

static void put(struct world *world, struct ring *ring, uint8_t channel, size_t size)
{
    while (size) {
        size_t room, n;
        uint8_t *at = ring_reserve(ring, channel, world->now_ns, &room);
        if (!room)
            abort();
        n = room < size ? room : size;
        for (size_t i = 0; i < n; i++)
            at[i] = expected(ring->end + i);
        ring_commit(ring, n);
        size -= n;
    }
}

static void check_record(struct reader *reader, const uint8_t *header, size_t length)
{
    const uint8_t *bytes = header + RECORD_HEADER;
    if (header[12] == 0) {
        if (length != 8)
            abort();
        reader->seen += get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32;
        return;
    }
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != expected(reader->seen++))
            abort();
}

static void take(const struct ring *ring, struct reader *reader, size_t size)
{
    uint8_t *to = malloc(size ? size : 1); /* its own block: overruns are seen */
    size_t n = ring_copy(ring, &reader->at, to, size);
    if (n > size)
        abort();
    for (size_t at = 0; at < n;) {
        size_t length = get_u32(to + at + 8);
        if (n - at < RECORD_HEADER || length > n - at - RECORD_HEADER || !length)
            abort();
        check_record(reader, to + at, length);
        at += RECORD_HEADER + length;
    }
    if (reader->seen != reader->at || (!n && size >= GAP_SIZE && reader->at != ring->end))
        abort();
    free(to);
}

static void find(const struct ring *ring, uint64_t lines)
{
    uint64_t at = ring_find_lines(ring, lines), start = ring_start(ring), count = 0;
    for (uint64_t i = at; i < ring->end; i++)
        count += expected(i) == '\n' || i + 1 == ring->end;
    bool is_whole = at == start || expected(at - 1) == '\n';
    if (at < start || at > ring->end || (lines && !is_whole) || count > lines)
        abort();
    if (at > start && lines && count < lines)
        abort();
    at = ring_find_time(ring, (int64_t)lines * RECORD_NS);
    if (at < start || at > ring->end)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct world world = {0};
    ring_pool_init(&world.pool);
    world.pool.most = CHUNKS;
    for (int i = 0; i < RINGS; i++)
        if (ring_open(&world.rings[i], &world.pool))
            abort();
    for (int i = 0; i < ACTS && size >= 3; i++, bytes += 3, size -= 3) {
        struct ring *ring = &world.rings[bytes[0] % RINGS];
        size_t amount = get_u16(bytes + 1);
        world.now_ns += (int64_t)(amount % 7) * (RECORD_NS / 3);
        if (bytes[0] & 64)
            take(ring, &world.readers[bytes[0] % RINGS], amount);
        else if (bytes[0] & 32)
            find(ring, amount % 100);
        else
            put(&world, ring, 1 + (bytes[0] >> 7), amount);
        if (world.pool.chunks > CHUNKS)
            abort();
    }
    for (int i = 0; i < RINGS; i++)
        ring_close(&world.rings[i]);
    if (world.pool.chunks || world.pool.rings)
        abort();
    return 0;
}
