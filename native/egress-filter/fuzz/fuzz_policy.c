/* A policy and flows: the first byte is how many flows follow, of seven bytes each; the rest is the
 * policy. Judged by the rule written down once more in the plainest way, and noted as denials. */
#include "denials.h"
#include "policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Odd addresses are the host's. */
static bool is_own(void *context, uint32_t address)
{
    (void)context;
    return address & 1;
}

static bool is_whole(const uint8_t *rules, size_t size)
{
    if (size % 12 || size > 256 * 12)
        return false;
    for (const uint8_t *at = rules; at < rules + size; at += 12) {
        uint64_t address = (uint64_t)at[4] << 24 | at[5] << 16 | at[6] << 8 | at[7];
        if (at[0] > 1 || at[2] > 32 || at[3] || memcmp(at + 8, at + 10, 2) > 0 ||
            address % (1ULL << (32 - at[2])))
            return false;
    }
    return true;
}

static bool expect(const uint8_t *rules, size_t size, const struct flow *flow)
{
    uint32_t first = flow->address >> 24;
    if (first == 0 || first == 127 || (first > 223 && flow->address != 0xFFFFFFFF))
        return false;
    for (const uint8_t *at = rules; at < rules + size; at += 12) {
        uint64_t base = (uint64_t)at[4] << 24 | at[5] << 16 | at[6] << 8 | at[7];
        uint64_t count = 1ULL << (32 - at[2]);
        if (at[1] != 0 && at[1] != flow->protocol)
            continue;
        if (flow->address < base || flow->address >= base + count)
            continue;
        if (flow->port < (at[8] << 8 | at[9]) || flow->port > (at[10] << 8 | at[11]))
            continue;
        if (at[0] == 0)
            return false;
        if (count == 1 || flow->address % 2 == 0)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct policy policy;
    static struct denials denials;
    static uint8_t written[MOST_DENIALS * DENIAL_SIZE];
    size_t flows = size > 0 ? bytes[0] : 0;
    if (size < 1 + flows * 7)
        return 0;
    const uint8_t *rules = bytes + 1 + flows * 7;
    size_t length = size - 1 - flows * 7;
    uint8_t *exact = malloc(length + 1); /* as long as it is, so that each byte beyond is seen */
    memcpy(exact, rules, length);
    bool fine = parse_policy(&policy, exact, length);
    if (fine != is_whole(rules, length))
        abort();
    for (const uint8_t *at = bytes + 1; at < rules; at += 7) {
        struct flow flow = {(uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
                                at[3],
                            (uint16_t)(at[4] << 8 | at[5]), at[6]};
        if (fine && is_allowed(&policy, &flow, is_own, NULL) != expect(rules, length, &flow))
            abort();
        note_denial(&denials, &flow, at[6]);
    }
    if (write_denials(&denials, written) != denials.count * DENIAL_SIZE)
        abort();
    free(exact);
    return 0;
}
