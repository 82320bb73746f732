/* Restart a program when it fails. */
#ifndef BANGER_SUPERVISE_H
#define BANGER_SUPERVISE_H

#include <sys/types.h>

/* `start` runs in a supervisor process, starts the program with the supervisor's standard
 * descriptors, and returns the program's pid or -1. Returns the supervisor's pid after the first
 * start, whose result is in `program`: shared memory. */
typedef pid_t starter(void *program);
pid_t supervise(starter *start, void *program, const char *name, const int *stdio);

#endif
