/* Mounts that every machine needs, and copies of trees between them. */
#ifndef BANGER_MOUNTS_H
#define BANGER_MOUNTS_H

#include "fields.h"

void mount_api(void);
void open_devices(void);
void mount_without_init(void);
int copy_tree(const char *from, const char *to, struct failure *failure);

#endif
