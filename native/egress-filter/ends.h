/* What both ways of the filter have in common: its last words, its end, and its sockets. */
#ifndef BANGER_EGRESS_ENDS_H
#define BANGER_EGRESS_ENDS_H

#include "border.h"

#include <stddef.h>
#include <stdint.h>

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A side has closed, or broke the rules: that is how every filter ends. */
_Noreturn void end(void);

/* As above, with the reason that the kernel gave. */
_Noreturn void fail(void);

/* Receive what is there, at most `room` bytes; ends the program if the side has closed. */
size_t receive(int fd, uint8_t *bytes, size_t room);

/* Send what is taken at once, and return how much that is. */
size_t deliver(int fd, const uint8_t *bytes, size_t size);

/* The same of a TAP's queue, where each is one frame. One that is put while the TAP is down is lost. */
size_t take_frame(int fd, uint8_t *bytes, size_t room);
size_t put_frame(int fd, const uint8_t *bytes, size_t size);

/* Leave if the back end sent a length that no frame has. */
void require_length(size_t length);

/* Pass frames between a VMM's socket and the back end's until either closes. */
_Noreturn void pass_streams(struct border *border, int guest, int world);

/* Wait for a TAP's queue from `guest`, then pass frames between it and the back end until `guest`,
 * which the VMM holds, or the back end closes. */
_Noreturn void pass_tap(struct border *border, int guest, int world);

#endif
