/* STAT. */
#ifndef BANGER_STAT_H
#define BANGER_STAT_H

#include "fields.h"

int stat_path(const char *path, struct writer *writer, struct failure *failure);

#endif
