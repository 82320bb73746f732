/* Requests that block on disks run in a process of their own. */
#ifndef BANGER_WORKER_H
#define BANGER_WORKER_H

#include "jobs.h"

struct agent;
struct stream;

int worker_start(struct agent *agent, struct stream *stream, const struct request *request,
                 job *task, bool reads, bool writes, struct failure *failure);

#endif
