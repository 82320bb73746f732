/* The kernel's modules: those needed at boot, and the tree of all. */
#ifndef BANGER_MODULES_H
#define BANGER_MODULES_H

#include "fields.h"

void load_modules(void);
int mount_modules(const char *device, const char *root, struct failure *failure);

#endif
