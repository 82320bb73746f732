/* Start programs: user, environment, pipes or terminal, control group, process. */
#ifndef BANGER_PROGRAM_H
#define BANGER_PROGRAM_H

#include "cgroups.h"
#include "fields.h"

#include <sys/types.h>

struct agent;

/* What its standard descriptors are; without any, its outputs are pipes and its input is /dev/null.
 * With DETACH all are /dev/null; with SUPERVISE as well, its outputs are the console. */
enum { PROGRAM_TTY = 1, PROGRAM_STDIN = 2, PROGRAM_DETACH = 4, PROGRAM_SUPERVISE = 8 };

/* A program that runs. The descriptors are the agent's ends: -1 where there is none. */
struct program {
    pid_t pid; /* leader of its session and process group; a supervisor's with SUPERVISE */
    bool is_tty;
    struct cgroup *cgroup; /* NULL: it has none */
    int in, out[2];        /* `in` and `out[0]` are the master of a terminal */
};

/* Start the program that ARG, ENV, CWD, USER, ROWS and COLUMNS of the request describe; return when
 * it has been executed. The caller owns everything in `program`, and reaps it. */
int program_start(struct agent *agent, const struct request *request, uint64_t flags,
                  struct program *program, struct failure *failure);

/* Give a terminal the size that the request names. */
void program_resize(int terminal, const struct request *request);

#endif
