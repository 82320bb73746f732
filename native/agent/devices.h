/* Disks, by path or serial number. */
#ifndef BANGER_DEVICES_H
#define BANGER_DEVICES_H

#include "fields.h"

int find_device(const char *text, char *path, size_t size, struct failure *failure);

#endif
