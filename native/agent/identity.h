/* IDENTITY: host name, clock, entropy, files, interface. */
#ifndef BANGER_IDENTITY_H
#define BANGER_IDENTITY_H

#include "fields.h"

int identity(const struct request *request, struct failure *failure);
int identity_check(const struct request *request, struct failure *failure);
int identity_apply(const struct request *request, struct failure *failure);

#endif
