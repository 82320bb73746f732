/* The agent: one process, one host connection, its streams, one loop.
 * All mutable state is in `struct agent`; all descriptors are non-blocking and close-on-exec; the
 * windows of the streams and the queue of the carrier bound the memory. */
#ifndef BANGER_AGENT_H
#define BANGER_AGENT_H

#include "carrier.h"
#include "cgroups.h"
#include "sessions.h"
#include "stream.h"
#include "streams.h"
#include "window.h"

#include <sys/resource.h>

struct agent {
    bool is_guest; /* not started with --fd: the agent owns the whole machine */
    bool booted, negotiated, power_off, power_off_now, quit;
    int init;      /* socket to PID 1, the parent; -1 */
    int data;      /* the data disk's root, for syncfs; -1 */
    int signals;   /* signalfd for SIGCHLD */
    int sinks, sources; /* epoll sets (watch.c) */
    int64_t looked_ms;  /* when the listening sockets were last read */
    struct rlimit files; /* the limit of descriptors that programs get */
    uint32_t last_stream;
    uint32_t streams_max, window; /* of the version that was agreed */
    struct window_pool pool;
    uint64_t arrivals; /* connections that LISTEN has taken: their numbers */
    struct carrier carrier;
    struct streams streams;
    struct cgroups cgroups;
    struct sessions sessions;
    pid_t *orphans; /* detached or given up: only reaped */
    size_t orphan_count, orphan_room;
};

#endif
