/* The terminal type (TERM) of a program. */
#ifndef BANGER_TERM_H
#define BANGER_TERM_H

#include "fields.h"

int settle_term(struct list *env, const char *home);

#endif
