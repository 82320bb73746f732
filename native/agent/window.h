/* The windows of channel 0 (docs/guest-protocol.md, section 4), and what waits in them. */
#ifndef BANGER_WINDOW_H
#define BANGER_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;

enum {
    WINDOW_FIRST = 32768,   /* of a new stream: one frame */
    WINDOW_MAX = 262144,    /* also the first of version 1 */
    WINDOW_POOL = 16 << 20, /* what the windows of all streams may have beyond the first */
    CREDIT_STEP = 65536, /* bytes passed on before credit is granted, or half of a small window */
    BULK = 8192,         /* DATA of this size comes from a sender that has more */
};

/* What the windows of all streams share. */
struct window_pool {
    uint32_t left;
    uint8_t *spare; /* a ring of the largest size, kept since its pages cost time; NULL: none */
};

/* Note bytes that were passed on; returns the CREDIT that is due: 0 mostly. */
uint32_t window_pass(struct sink *in, size_t passed, struct window_pool *pool);

/* Keep bytes that cannot be passed on yet. They fit if they are within the credit. Returns false
 * if there is no memory. */
bool window_keep(struct sink *in, const uint8_t *bytes, size_t size, struct window_pool *pool);

/* The oldest bytes that are kept, in one piece, and how many of them to forget. */
size_t window_oldest(const struct sink *in, const uint8_t **bytes);
void window_forget(struct sink *in, size_t size, struct window_pool *pool);

/* Forget what is kept, and return what was lent. */
void window_end(struct sink *in, struct window_pool *pool);

#endif
