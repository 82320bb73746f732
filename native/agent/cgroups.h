/* Control groups of programs: giving a program up kills all its descendants. */
#ifndef BANGER_CGROUPS_H
#define BANGER_CGROUPS_H

#include <stdbool.h>
#include <sys/types.h>

enum { CGROUPS = 192 }; /* of running programs, and of ended ones with live descendants */

struct cgroup {
    int directory; /* 0: not made yet */
    bool is_claimed;
};

struct cgroups {
    int directory; /* which holds the groups; -1: there are none */
    struct cgroup groups[CGROUPS];
};

void cgroups_open(struct cgroups *cgroups);
struct cgroup *cgroup_claim(struct cgroups *cgroups);
pid_t cgroup_fork(const struct cgroup *cgroup);
void cgroup_kill(const struct cgroup *cgroup);

#endif
