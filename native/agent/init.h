/* PID 1 until the image's init takes over. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

struct agent;

void init_main(char *name) __attribute__((noreturn));
enum init_word { INIT_SWITCH_ROOT = 's', INIT_EXEC = 'e' };
int init_ask(const struct agent *agent, enum init_word word, const char *path);

#endif
