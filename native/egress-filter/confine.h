/* What a filter that a guest took over could still ask of the kernel: next to nothing. */
#ifndef BANGER_EGRESS_CONFINE_H
#define BANGER_EGRESS_CONFINE_H

#include <stdbool.h>

/* Give up new privileges, and each system call but those of the loop; the kernel ends a process
 * that makes another. False where the host has no seccomp. */
bool confine(void);

#endif
