/* Sessions: programs that run without a host, and what they have written last. They outlive every
 * connection, and go with the machine's memory into snapshots and forks. */
#ifndef BANGER_SESSIONS_H
#define BANGER_SESSIONS_H

#include "cgroups.h"
#include "fields.h"
#include "ring.h"
#include "watch.h"

#include <sys/types.h>

struct agent;
struct attachment;

enum {
    SESSIONS = 512,      /* also those that have ended, of which the oldest make room */
    SESSION_NAME = 63,   /* longest name */
    COMMAND_MAX = 1024,  /* bytes of the command line that are kept, to be shown */
};

struct session {
    char name[SESSION_NAME + 1];
    uint32_t number; /* goes up: the order of their starts, and the key in the epoll set */
    pid_t pid;       /* 0: the program has ended, with `status` */
    struct cgroup *cgroup;
    bool is_tty;
    int status;
    int64_t started_ns, ended_ns;
    int in;               /* -1: it reads /dev/null, or its input has ended */
    int out[2];           /* -1: ended */
    bool watched[2];
    struct ring ring;
    uint64_t ended_at;    /* position in the output when the program ended */
    struct attachment *attachments;
    char command[COMMAND_MAX]; /* words, each with its NUL */
    size_t command_size;
};

struct sessions {
    struct session *all[SESSIONS]; /* by number */
    size_t count;
    uint32_t last; /* number */
    int ready;     /* epoll set of their outputs, which are always read */
    struct ring_pool pool;
};

int sessions_init(struct sessions *sessions);

/* Find the session that NAME of the request names. */
struct session *session_find(struct agent *agent, const struct request *request,
                             struct failure *failure);

/* Read output that is ready. */
void session_serve(struct agent *agent, const struct readiness *ready);

/* Find the sessions whose programs have ended. */
void sessions_reap(struct agent *agent);

/* Kill all programs, and forget everything. */
void sessions_drop(struct agent *agent);

/* End the program's input: close its pipe, or send its terminal the end-of-file character. */
void session_end_input(struct session *session);

/* Send the program's process group a signal; SIGKILL goes to all that it has started. */
void session_signal(const struct session *session, int number);

/* Write STATUS or SIGNAL of an ended program. */
void put_session_exit(struct writer *writer, const struct session *session);

/* Write the field SESSION; returns false if it does not fit. */
bool put_session(struct writer *writer, const struct session *session);

/* The requests; each is answered at once. */
int session_start(struct agent *agent, const struct request *request, struct writer *result,
                  struct failure *failure);
int session_list(struct agent *agent, const struct request *request, struct writer *result,
                 struct failure *failure);
int session_send_signal(struct agent *agent, const struct request *request,
                        struct failure *failure);
int session_delete(struct agent *agent, const struct request *request, struct failure *failure);

#endif
