/* LISTEN: a socket in the guest whose connections the host takes; ACCEPT: the host takes one. */
#ifndef BANGER_LISTEN_H
#define BANGER_LISTEN_H

#include "fields.h"

struct agent;
struct stream;
struct listening;

int listen_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure);
void listen_serve(struct agent *agent, struct stream *stream);
int accept_start(struct agent *agent, struct stream *stream, const struct request *request,
                 struct failure *failure);

/* Remove what a listening stream has made, and the connections that the host has not taken. */
void listen_end(struct listening *listening);

#endif
