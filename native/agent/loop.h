/* The loop. */
#ifndef BANGER_LOOP_H
#define BANGER_LOOP_H

struct agent;

/* Descriptors that the agent may have open: four for each stream, one for each control group. */
enum { FILES_MAX = 16384 };

void agent_run(struct agent *agent);

#endif
