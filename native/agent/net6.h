/* The IPv6 address of the machine's network interface. */
#ifndef BANGER_NET6_H
#define BANGER_NET6_H

#include <netinet/in.h>
#include <stdbool.h>

bool has_ipv6(void);
void prepare_ipv6(const char *interface);
int replace_address6(int index, const struct in6_addr *address);

#endif
