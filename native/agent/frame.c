#include "frame.h"

#include <string.h>

const uint8_t frame_magic[MAGIC_SIZE] = {'B', 'A', 'N', 'G', 'E', 'R', 0, 1};

/* The start of a HELLO up to its nonce: header and magic. */
static const uint8_t hello_pattern[FRAME_HEADER + MAGIC_SIZE] = {
    FRAME_HELLO, 0, 0, 0, 0, 0, 0, 0, HELLO_SIZE, 0, 0, 0, 'B', 'A', 'N', 'G', 'E', 'R', 0, 1,
};

void frame_skip(struct frame_parser *parser)
{
    parser->skipping = true;
    parser->matched = 0;
    parser->have = 0;
    parser->in_payload = false;
}

/* Search for the pattern. Its first byte occurs again only as its last, so after a mismatch only
 * the current byte can start a new match. */
static size_t find_hello(struct frame_parser *parser, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == hello_pattern[parser->matched])
            parser->matched++;
        else
            parser->matched = bytes[i] == hello_pattern[0];
        if (parser->matched < sizeof hello_pattern)
            continue;
        memcpy(parser->header, hello_pattern, FRAME_HEADER);
        memcpy(parser->payload, frame_magic, MAGIC_SIZE);
        parser->skipping = false;
        parser->matched = 0;
        parser->in_payload = true;
        parser->have = MAGIC_SIZE;
        return i + 1;
    }
    return size;
}

static bool header_is_valid(const uint8_t *header)
{
    return header[0] >= FRAME_HELLO && header[0] <= FRAME_CLOSE && header[3] == 0 &&
           get_u32(header + 8) <= FRAME_MAX;
}

static size_t take_header(struct frame_parser *parser, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;
    while (parser->have == 0 && taken < size && bytes[taken] == 0)
        taken++; /* zeros between frames are the preamble */
    size_t n = FRAME_HEADER - parser->have;
    if (n > size - taken)
        n = size - taken;
    memcpy(parser->header + parser->have, bytes + taken, n);
    parser->have += n;
    if (parser->have == FRAME_HEADER) {
        parser->have = 0;
        parser->in_payload = true;
        if (!header_is_valid(parser->header))
            frame_skip(parser);
    }
    return taken + n;
}

static size_t take_payload(struct frame_parser *parser, const uint8_t *bytes, size_t size,
                           struct frame *frame, bool *ready)
{
    uint32_t length = get_u32(parser->header + 8);
    size_t n = length + 1 - parser->have;
    if (n > size)
        n = size;
    memcpy(parser->payload + parser->have, bytes, n);
    parser->have += n;
    if (parser->have < (size_t)length + 1)
        return n;
    parser->have = 0;
    parser->in_payload = false;
    if (parser->payload[length] != FRAME_END) {
        frame_skip(parser);
        return n;
    }
    const uint8_t *header = parser->header;
    *frame = (struct frame){header[0], header[1], header[2], get_u32(header + 4), length,
                            parser->payload};
    *ready = true;
    return n;
}

size_t frame_feed(struct frame_parser *parser, const uint8_t *bytes, size_t size,
                  struct frame *frame, bool *ready)
{
    size_t taken = 0;
    *ready = false;
    while (taken < size && !*ready) {
        if (parser->skipping)
            taken += find_hello(parser, bytes + taken, size - taken);
        else if (parser->in_payload)
            taken += take_payload(parser, bytes + taken, size - taken, frame, ready);
        else
            taken += take_header(parser, bytes + taken, size - taken);
    }
    return taken;
}

void frame_put_header(uint8_t *at, const struct frame *frame)
{
    at[0] = frame->type;
    at[1] = frame->channel;
    at[2] = frame->flags;
    at[3] = 0;
    put_u32(at + 4, frame->stream);
    put_u32(at + 8, frame->length);
}
