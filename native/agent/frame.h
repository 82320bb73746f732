/* Frames of the guest protocol (docs/guest-protocol.md, sections 2 and 3): the parser.
 * Pure: no system calls, no allocation. Fuzzed by fuzz/fuzz_frame.c. */
#ifndef BANGER_FRAME_H
#define BANGER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER = 12,
    FRAME_MAX = 32768,
    FRAME_END = 0xE5,
    FRAME_MORE = 1, /* flag of OPEN: continuation frames follow */
    FRAME_OVERHEAD = FRAME_HEADER + 1,
    HELLO_SIZE = 28,
    MAGIC_SIZE = 8,
    NONCE_SIZE = 16,
};

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_OPEN,
    FRAME_DATA,
    FRAME_EOF,
    FRAME_CREDIT,
    FRAME_CONTROL,
    FRAME_EVENT,
    FRAME_RESULT,
    FRAME_ERROR,
    FRAME_CLOSE,
};

struct frame {
    uint8_t type, channel, flags;
    uint32_t stream, length;
    uint8_t *payload; /* valid until the parser is fed again; its receiver may change it */
};

struct frame_parser {
    bool skipping;  /* after a protocol error: search only for a HELLO */
    size_t matched; /* bytes of the HELLO pattern seen while skipping */
    size_t have;    /* bytes of the header, then of payload and end byte */
    bool in_payload;
    uint8_t header[FRAME_HEADER];
    uint8_t payload[FRAME_MAX + 1];
};

extern const uint8_t frame_magic[MAGIC_SIZE];

/* Start searching for a HELLO; drop a frame in progress. */
void frame_skip(struct frame_parser *parser);

/* Consume bytes until one frame is complete or no bytes are left; return the number consumed.
 * `*ready` says whether `*frame` is a complete, valid frame. */
size_t frame_feed(struct frame_parser *parser, const uint8_t *bytes, size_t size,
                  struct frame *frame, bool *ready);

void frame_put_header(uint8_t *at, const struct frame *frame);

static inline uint32_t get_u16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

#endif
