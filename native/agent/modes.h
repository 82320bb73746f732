/* The modes of a terminal, as ssh clients send them. */
#ifndef BANGER_MODES_H
#define BANGER_MODES_H

#include "fields.h"

enum { MODE_SIZE = 5 };

int set_modes(int terminal, const struct blob *modes);

#endif
