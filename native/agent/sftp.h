/* SFTP: a worker (worker.c) that has become the user serves the session. */
#ifndef BANGER_SFTP_H
#define BANGER_SFTP_H

#include "fields.h"

struct agent;
struct stream;

int sftp_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct failure *failure);

#endif
