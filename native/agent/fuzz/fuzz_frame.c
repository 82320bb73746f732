/* The frame parser: any bytes, in pieces of any size, then a preamble and a HELLO, which must
 * be found. The first byte of the input says how large the pieces are. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool feed(struct frame_parser *parser, const uint8_t *bytes, size_t size)
{
    bool hello = false;
    while (size) {
        struct frame frame;
        bool ready;
        size_t taken = frame_feed(parser, bytes, size, &frame, &ready);
        if (taken == 0 || taken > size)
            abort();
        if (ready && (frame.length > FRAME_MAX || frame.type < FRAME_HELLO ||
                      frame.type > FRAME_CLOSE || frame.payload[frame.length] != FRAME_END))
            abort();
        if (ready)
            hello = frame.type == FRAME_HELLO && frame.length == HELLO_SIZE;
        bytes += taken;
        size -= taken;
    }
    return hello;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t opening[FRAME_MAX + FRAME_OVERHEAD + FRAME_OVERHEAD + HELLO_SIZE];
    struct frame_parser *parser = malloc(sizeof *parser);
    struct frame hello = {FRAME_HELLO, 0, 0, 0, HELLO_SIZE, NULL};
    memset(parser, 0xAA, sizeof *parser);
    frame_skip(parser);
    if (size && bytes[0] & 1)
        parser->skipping = false; /* as behind a HELLO */
    size_t step = size ? 1 + (bytes[0] >> 1) : 1;
    for (size_t at = 1; at < size; at += step)
        feed(parser, bytes + at, size - at < step ? size - at : step);
    uint8_t *at = opening + FRAME_MAX + FRAME_OVERHEAD;
    frame_put_header(at, &hello);
    memcpy(at + FRAME_HEADER, frame_magic, MAGIC_SIZE);
    at[FRAME_HEADER + HELLO_SIZE] = FRAME_END;
    if (!feed(parser, opening, sizeof opening))
        abort();
    free(parser);
    return 0;
}
