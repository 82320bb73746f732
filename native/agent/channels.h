/* The data of streams, both ways. */
#ifndef BANGER_CHANNELS_H
#define BANGER_CHANNELS_H

#include "watch.h"

#include <stddef.h>

/* Accept bytes of channel 0 (none at its EOF): pass on as many as possible, keep the rest. */
void stream_take(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size);

/* Serve an end of the stream that is ready. */
void stream_serve(struct agent *agent, struct stream *stream, enum end end);

/* Send what the pipes of an ended process held, as far as there is room and credit. */
void source_drain(struct agent *agent, struct stream *stream, int index);

#endif
