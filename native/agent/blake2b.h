/* BLAKE2b (RFC 7693) without a key, of 32 bytes. Pure. */
#ifndef BANGER_BLAKE2B_H
#define BANGER_BLAKE2B_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLAKE2B_BLOCK = 128, BLAKE2B_DIGEST = 32 };

struct blake2b {
    uint64_t state[8];
    uint64_t passed; /* bytes before those in `block` */
    size_t held;
    uint8_t block[BLAKE2B_BLOCK];
};

void blake2b_start(struct blake2b *hash);
void blake2b_add(struct blake2b *hash, const uint8_t *bytes, size_t size);
void blake2b_end(struct blake2b *hash, uint8_t digest[BLAKE2B_DIGEST]);

#endif
