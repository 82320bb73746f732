/* Control groups of programs: giving a program up kills all its descendants. */
#ifndef BANGER_CGROUPS_H
#define BANGER_CGROUPS_H

#include <stdbool.h>
#include <sys/types.h>

enum { CGROUPS = 2048 }; /* of running programs, and of ended ones with live descendants */

struct cgroup {
    int directory;
    struct cgroup *next; /* among those that no program owns */
};

struct cgroups {
    int directory; /* which holds the groups; -1: there are none */
    int made;
    struct cgroup groups[CGROUPS];
    struct cgroup *spare, **spare_end; /* oldest first; NULL: never used */
};

void cgroups_open(struct cgroups *cgroups);
struct cgroup *cgroup_claim(struct cgroups *cgroups);
void cgroup_release(struct cgroups *cgroups, struct cgroup *cgroup);
pid_t cgroup_fork(const struct cgroup *cgroup);
void cgroup_kill(const struct cgroup *cgroup);

#endif
