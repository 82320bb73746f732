/* The machine's network interfaces. */
#ifndef BANGER_NET_H
#define BANGER_NET_H

#include "fields.h"

void loopback_up(void);
int configure_interface(const struct request *interface, struct failure *failure);

#endif
