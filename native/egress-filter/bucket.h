/* How many bytes may pass one way in a second. Whole frames pass, so a bucket may owe bytes; nothing
 * passes until time has paid them. */
#ifndef BANGER_EGRESS_BUCKET_H
#define BANGER_EGRESS_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bucket {
    uint64_t rate; /* bytes in a second; 0: there is no limit */
    int64_t left;
    uint64_t at_ns;
};

/* Limit it from now on. */
void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t now_ns);

/* Tell whether something may pass now. */
bool bucket_has(struct bucket *bucket, uint64_t now_ns);

/* Note that so many bytes have passed. */
void bucket_take(struct bucket *bucket, size_t size);

/* After `bucket_has`: milliseconds until it has some, -1 if it has. */
int bucket_wait_ms(const struct bucket *bucket);

#endif
