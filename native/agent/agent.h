/* The agent: one process, one host connection, up to 64 streams, one poll loop.
 * All mutable state is in `struct agent`; all descriptors are non-blocking and
 * close-on-exec; the windows below bound the memory. */
#ifndef BANGER_AGENT_H
#define BANGER_AGENT_H

#include "fields.h"
#include "frame.h"

#include <poll.h>
#include <sys/types.h>

enum {
    STREAMS = 64,
    CGROUPS = 192,          /* of running programs, and of ended ones with live descendants */
    REQUEST_MAX = 1 << 20,
    WINDOW = 262144,        /* bytes that the host may send on a channel without credit */
    CREDIT_STEP = 65536,    /* bytes passed on before credit is granted */
    OUT_SIZE = 262144,      /* queued output */
    OUT_DATA_HIGH = 65536,  /* above this no DATA is queued */
    OUT_HIGH = 131072,      /* above this nothing is read from the host: control frames are
                               answers, so the queue stays bounded */
    PIPE_SIZE = 262144,
    PORT_WRITE = 4096,      /* the virtio console copies each write into one kernel buffer;
                               under emulation pages are fastest */
    AGENT_PORT = 5005,
    REPORT_MAX = 512,
    TAR_OUT_ALONE = 1,      /* FLAGS of TAR_OUT */
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

/* A channel from the guest to the host. */
struct source {
    int fd; /* -1: ended or never open */
    int slot;
    uint32_t credit;
    size_t left; /* bytes in the pipe when the process ended */
};

/* The channel from the host to the guest. */
struct sink {
    int fd; /* -1: input is dropped */
    int slot;
    uint32_t allowed, passed; /* window left to the host; bytes passed on since the last CREDIT */
    uint8_t *ring;
    size_t start, size;
    bool eof;
};

/* A control group. */
struct cgroup {
    int directory; /* 0: not made yet */
    bool is_claimed;
};

enum stream_phase { STREAM_REQUESTED, STREAM_CONNECTING, STREAM_RUNNING };

struct stream {
    uint32_t id; /* 0: this slot is free */
    enum stream_phase phase;
    int terminal; /* master of a TTY whose output has ended, until the program has; -1 */
    bool closed, is_tty, exited;
    enum kind kind;
    uint8_t *request; /* the OPEN payload so far */
    size_t request_size;
    pid_t pid; /* leader of the process group, 0 if there is none */
    struct cgroup *cgroup; /* NULL: it has none */
    int status;
    int report; /* pipe for a worker's result; -1 */
    struct sink in;
    struct source out[2];
    uint8_t *seen; /* LISTENERS: the set last sent */
    size_t seen_size;
};

struct agent {
    bool is_guest;   /* not started with --fd: the agent owns the whole machine */
    bool booted, negotiated, power_off, power_off_now, quit;
    int init;        /* socket to PID 1, the parent; -1 */
    int data;        /* the data disk's root, for syncfs; -1 */
    int signals;     /* signalfd for SIGCHLD */
    int cgroups;     /* directory of the control groups; -1 */
    struct cgroup cgroup[CGROUPS];
    uint32_t last_stream;
    struct carrier carrier;
    struct stream streams[STREAMS];
    pid_t *orphans;  /* detached or given up: only reaped */
    size_t orphan_count, orphan_room;
};

/* main.c */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* user.c: the user that a program runs as, from the root's /etc/passwd and /etc/group */
enum { GROUPS_MAX = 256 };

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int group_count;
    char name[64], home[256], shell[256];
};

/* loop.c */
void agent_run(struct agent *agent);

/* carrier.c: the byte stream to the host */
int carrier_open(struct agent *agent);
void carrier_serve(struct agent *agent, short events, bool knock);
bool carrier_waits(const struct agent *agent);
void carrier_lost(struct agent *agent);
void carrier_flush(struct agent *agent);
size_t carrier_room(const struct agent *agent); /* for DATA */
bool carrier_reads(const struct agent *agent);
uint8_t *carrier_reserve(struct agent *agent);  /* room for one frame of the largest size */
void send_frame(struct agent *agent, enum frame_type type, uint32_t stream, uint8_t channel,
                const void *payload, size_t size);
void send_fields(struct agent *agent, enum frame_type type, const struct stream *stream,
                 const struct writer *writer);

/* dispatch.c: handle a frame from the host */
void dispatch(struct agent *agent, const struct frame *frame);

/* stream.c: channels, windows, ends */
struct stream *stream_find(struct agent *agent, uint32_t id);
struct stream *stream_add(struct agent *agent, uint32_t id);
void stream_result(struct agent *agent, struct stream *stream, const struct writer *writer);
void stream_error(struct agent *agent, struct stream *stream, const struct failure *failure);
void stream_drop(struct agent *agent, struct stream *stream);
void stream_close(struct agent *agent, struct stream *stream);
void stream_take(struct agent *agent, struct stream *stream, const uint8_t *bytes, size_t size);
void stream_poll(struct agent *agent, struct stream *stream, struct pollfd *polls, nfds_t *count);
void stream_serve(struct agent *agent, struct stream *stream, const struct pollfd *polls);
void streams_drop(struct agent *agent);
void orphan_add(struct agent *agent, pid_t pid);
void reap(struct agent *agent);

/* One file for each request. Functions that return int fill the failure. */
int boot(struct agent *agent, const struct request *request, struct failure *failure);
int find_device(const char *text, char *path, size_t size, struct failure *failure);
int identity(const struct request *request, struct failure *failure);
int identity_check(const struct request *request, struct failure *failure);
int identity_apply(const struct request *request, struct failure *failure);
void loopback_up(void);
int configure_interface(const struct request *interface, struct failure *failure);
int find_user(const char *text, struct user *user, struct failure *failure);
int exec_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct writer *result, struct failure *failure);
void exec_control(struct stream *stream, const struct request *control);
int stat_path(const char *path, struct writer *writer, struct failure *failure);
int connect_start(struct stream *stream, const struct request *request, struct failure *failure);
void connect_finish(struct agent *agent, struct stream *stream);
void connect_shut(const struct stream *stream);
void connect_settle(struct agent *agent, struct stream *stream);
void listeners_serve(struct agent *agent, struct stream *stream);
void power_off(struct agent *agent);

/* cgroups.c */
void cgroups_open(struct agent *agent);
struct cgroup *cgroup_claim(struct agent *agent);
pid_t cgroup_fork(const struct cgroup *cgroup);
void cgroup_kill(const struct cgroup *cgroup);

/* term.c */
int settle_term(struct list *env, const char *home);

/* worker.c: requests that block on disks run in a process of their own. The job's return
 * value is 0 for RESULT (with the writer's fields) or -1 for ERROR. */
typedef int job(const struct agent *agent, const struct request *request, struct writer *result,
                struct failure *failure);
int worker_start(struct agent *agent, struct stream *stream, const struct request *request,
                 job *task, bool reads, bool writes, struct failure *failure);
job tar_in, tar_out, sync_disks, list_files, read_files;

/* supervise.c: restart a program when it fails. `start` runs in a supervisor process, starts the
 * program with the supervisor's standard descriptors, and returns the program's pid or -1. Returns
 * the supervisor's pid after the first start, whose result is in `program`: shared memory. */
typedef pid_t starter(void *program);
pid_t supervise(starter *start, void *program, const char *name, const int *stdio);

/* mounts.c */
void mount_api(void);
void open_devices(void);
void mount_without_init(void);

int copy_tree(const char *from, const char *to, struct failure *failure);

/* modules.c */
void load_modules(void);
int mount_modules(const char *device, const char *root, struct failure *failure);

/* init.c: PID 1 until the image's init takes over */
void init_main(char *name) __attribute__((noreturn));
enum init_word { INIT_SWITCH_ROOT = 's', INIT_EXEC = 'e' };
int init_ask(const struct agent *agent, enum init_word word, const char *path);

/* files.c */
int make_parents(const char *path);
int make_directories(const char *path);
int open_in_root(const char *root, const char *path);
int open_beneath(int base, const char *name, int flags);
int make_in_root(const char *root, const char *path);
bool is_occupied(int error);
int write_all(int fd, const void *bytes, size_t size);
ssize_t read_file(const char *path, char *text, size_t size);
int empty_directory(int fd);
int remove_tree(const char *path);
int open_pipe(int ends[2]);
void set_nonblocking(int fd);

#endif
