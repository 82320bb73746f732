#include "policy.h"

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t mask(uint8_t prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

static bool parse_rule(struct rule *rule, const uint8_t *at)
{
    rule->allows = at[0] == 1;
    rule->protocol = at[1];
    rule->prefix = at[2];
    rule->network = (uint32_t)get_u16(at + 4) << 16 | get_u16(at + 6);
    rule->first = get_u16(at + 8);
    rule->last = get_u16(at + 10);
    return at[0] <= 1 && at[2] <= 32 && at[3] == 0 && rule->first <= rule->last &&
           (rule->network & ~mask(rule->prefix)) == 0;
}

bool parse_policy(struct policy *policy, const uint8_t *bytes, size_t size)
{
    struct rule rule;
    if (size % RULE_SIZE || size / RULE_SIZE > MOST_RULES)
        return false;
    for (size_t i = 0; i < size; i += RULE_SIZE)
        if (!parse_rule(&rule, bytes + i))
            return false;
    policy->count = size / RULE_SIZE;
    for (size_t i = 0; i < policy->count; i++)
        parse_rule(&policy->rules[i], bytes + i * RULE_SIZE);
    return true;
}

static bool matches(const struct rule *rule, const struct flow *flow)
{
    return (rule->protocol == 0 || rule->protocol == flow->protocol) &&
           (flow->address & mask(rule->prefix)) == rule->network && rule->first <= flow->port &&
           flow->port <= rule->last;
}

bool is_allowed(const struct policy *policy, const struct flow *flow, is_own_address *is_own,
                void *context)
{
    if (!is_outside(flow->address))
        return false;
    for (const struct rule *rule = policy->rules; rule < policy->rules + policy->count; rule++) {
        if (!matches(rule, flow))
            continue;
        if (!rule->allows)
            return false;
        if (rule->prefix == 32 || !is_own(context, flow->address))
            return true;
    }
    return false;
}
