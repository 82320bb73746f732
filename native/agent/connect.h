/* CONNECT: a connection from inside the guest, as two channels. */
#ifndef BANGER_CONNECT_H
#define BANGER_CONNECT_H

#include "fields.h"

struct agent;
struct stream;

int connect_start(struct stream *stream, const struct request *request, struct failure *failure);
void connect_finish(struct agent *agent, struct stream *stream);
void connect_shut(const struct stream *stream);
void connect_settle(struct agent *agent, struct stream *stream);
void connect_abort(int fd);

#endif
