/* The byte stream to the host: a port, a vsock, or a descriptor; its queue of frames. */
#ifndef BANGER_CARRIER_H
#define BANGER_CARRIER_H

#include "fields.h"
#include "frame.h"

struct agent;

enum {
    OUT_SIZE = 262144,     /* queued output */
    OUT_DATA_HIGH = 65536, /* above this no DATA is queued */
    OUT_HIGH = 131072,     /* above this nothing is read from the host: control frames are
                              answers, so the queue stays bounded */
};

enum carrier_kind { CARRIER_SOCKET, CARRIER_PORT, CARRIER_VSOCK };

struct carrier {
    enum carrier_kind kind;
    int fd;       /* -1: no host (vsock) */
    int listener; /* vsock; else -1 */
    int edge;     /* epoll: wakes once when the port's host returns; else -1 */
    bool gone;    /* the host's side of the port is closed */
    struct frame_parser parser;
    uint8_t *out;
    size_t out_start, out_end;
    uint8_t in[16384];
    size_t in_start, in_end;
};

int carrier_open(struct agent *agent);
void carrier_serve(struct agent *agent, short events, bool knock);
bool carrier_waits(const struct agent *agent);
void carrier_lost(struct agent *agent);
void carrier_flush(struct agent *agent);
bool carrier_room(const struct agent *agent); /* for a frame of DATA */
bool carrier_reads(const struct agent *agent);
uint8_t *carrier_reserve(struct agent *agent); /* room for one frame of the largest size */
void send_frame(struct agent *agent, enum frame_type type, uint32_t stream, uint8_t channel,
                const void *payload, size_t size);
void send_fields(struct agent *agent, enum frame_type type, uint32_t stream,
                 const struct writer *writer);

#endif
