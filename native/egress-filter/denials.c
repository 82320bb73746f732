#include "denials.h"

static bool is_same(const struct flow *one, const struct flow *other)
{
    return one->address == other->address && one->port == other->port &&
           one->protocol == other->protocol;
}

/* Return where a flow is or goes: its own place, a free one, or the oldest. */
static struct denial *find_place(struct denials *denials, const struct flow *flow)
{
    struct denial *oldest = denials->all;
    for (size_t i = 0; i < denials->count; i++) {
        if (is_same(&denials->all[i].flow, flow))
            return &denials->all[i];
        if (denials->all[i].last_s < oldest->last_s)
            oldest = &denials->all[i];
    }
    if (denials->count < MOST_DENIALS)
        oldest = &denials->all[denials->count++];
    *oldest = (struct denial){.flow = *flow};
    return oldest;
}

void note_denial(struct denials *denials, const struct flow *flow, uint64_t now_s)
{
    struct denial *denial = find_place(denials, flow);
    denial->last_s = now_s;
    denial->times += denial->times < UINT32_MAX;
}

static uint8_t *put(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
    return at + size;
}

size_t write_denials(const struct denials *denials, uint8_t bytes[MOST_DENIALS * DENIAL_SIZE])
{
    uint8_t *at = bytes;
    for (const struct denial *each = denials->all; each < denials->all + denials->count; each++) {
        at = put(at, each->last_s, 8);
        at = put(at, each->flow.address, 4);
        at = put(at, each->flow.port, 2);
        at = put(at, each->flow.protocol, 1);
        at = put(at, 0, 1);
        at = put(at, each->times, 4);
    }
    return (size_t)(at - bytes);
}
