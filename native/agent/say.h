/* Lines for the console (stderr on a host). */
#ifndef BANGER_SAY_H
#define BANGER_SAY_H

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

#endif
