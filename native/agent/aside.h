/* A file that is written under another name beside its own, until it is whole: an interrupted copy
 * leaves what was there, and no part of a file under the name of the whole. One at a time, in a
 * worker (worker.c). */
#ifndef BANGER_ASIDE_H
#define BANGER_ASIDE_H

#include <stdint.h>

/* From here on SIGTERM removes the file that is not whole yet, and ends the process. */
void aside_watch(void);

/* Make an empty file in a directory, which stays open until the file is placed or dropped. Returns
 * its descriptor, which holds a lock on it, or -1 with errno. */
int aside_open(int directory);

/* Go on with a part that an earlier copy has kept, from an offset, for the file of this name; 0: begin
 * anew. It is never dropped. Returns as `aside_open`; errno is EAGAIN if another copy has the part. */
int aside_resume(int directory, const char *name, uint64_t offset);

/* Give the file, if there is one, its name, in place of a file, a link or an empty directory. Returns
 * -1 with errno. */
int aside_place(const char *name);

/* Remove the file, if it has not been placed. Keeps errno. */
void aside_drop(void);

#endif
