/* Frames from the host, and the requests that they make. */
#ifndef BANGER_DISPATCH_H
#define BANGER_DISPATCH_H

#include "frame.h"

struct agent;

void dispatch(struct agent *agent, const struct frame *frame);

#endif
