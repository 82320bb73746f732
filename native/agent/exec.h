/* EXEC: run a program as a stream, or detached. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include "fields.h"

struct agent;
struct stream;

int exec_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct writer *result, struct failure *failure);
void exec_control(struct stream *stream, const struct request *control);

#endif
