#include "bucket.h"

enum {
    BURSTS = 8, /* in a second: what it can hold is what comes between two */
    MOST_WAIT_MS = 1000,
};
#define SECOND_NS UINT64_C(1000000000)

void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t now_ns)
{
    *bucket = (struct bucket){.rate = rate, .at_ns = now_ns};
}

bool bucket_has(struct bucket *bucket, uint64_t now_ns)
{
    if (bucket->rate == 0)
        return true;
    uint64_t since_ns = now_ns - bucket->at_ns;
    if (since_ns > SECOND_NS)
        since_ns = SECOND_NS; /* as much as a bucket that owes no more than that can use */
    uint64_t gained = since_ns * (bucket->rate / 1024) / (SECOND_NS / 1024);
    if (gained > 0) {
        int64_t most = (int64_t)(bucket->rate / BURSTS);
        bucket->left += (int64_t)gained;
        if (bucket->left > most)
            bucket->left = most;
        bucket->at_ns = now_ns;
    }
    return bucket->left > 0;
}

void bucket_take(struct bucket *bucket, size_t size)
{
    if (bucket->rate > 0)
        bucket->left -= (int64_t)size;
}

int bucket_wait_ms(const struct bucket *bucket)
{
    if (bucket->rate == 0 || bucket->left > 0)
        return -1;
    uint64_t wait_ms = (uint64_t)-bucket->left * 1000 / bucket->rate + 1;
    return wait_ms < MOST_WAIT_MS ? (int)wait_ms : MOST_WAIT_MS;
}
