/* BOOT: assemble the root and start the image's init. */
#ifndef BANGER_BOOT_H
#define BANGER_BOOT_H

#include "fields.h"

struct agent;

int boot(struct agent *agent, const struct request *request, struct failure *failure);

#endif
