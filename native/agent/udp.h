/* UDP: datagrams to and from an address in the guest, as records on two channels. */
#ifndef BANGER_UDP_H
#define BANGER_UDP_H

#include "fields.h"

struct agent;
struct stream;

int udp_start(struct agent *agent, struct stream *stream, const struct request *request,
              struct failure *failure);

#endif
