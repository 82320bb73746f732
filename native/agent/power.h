/* POWEROFF. */
#ifndef BANGER_POWER_H
#define BANGER_POWER_H

struct agent;

void power_off(struct agent *agent);

#endif
