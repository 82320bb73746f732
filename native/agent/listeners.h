/* LISTENERS: report the listening TCP sockets. */
#ifndef BANGER_LISTENERS_H
#define BANGER_LISTENERS_H

struct agent;
struct stream;

void listeners_serve(struct agent *agent, struct stream *stream);

#endif
