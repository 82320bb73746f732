/* LISTENERS: report the listening TCP sockets. */
#ifndef BANGER_LISTENERS_H
#define BANGER_LISTENERS_H

struct agent;
struct stream;

/* Begin to report to the stream. */
void listeners_start(struct agent *agent, struct stream *stream);

/* Read the sockets and report changes, unless this was done a moment ago. */
void listeners_look(struct agent *agent);

#endif
