/* The poll loop. */
#ifndef BANGER_LOOP_H
#define BANGER_LOOP_H

struct agent;

void agent_run(struct agent *agent);

#endif
