/* The session: packets in, replies out, in order. It may block: it runs as a worker. Two buffers of
 * fixed size bound its memory; a client that does not read its replies stops only itself. */
#include "sftp.h"

#include "agent.h"
#include "files.h"
#include "sftp_session.h"
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { OUT_MOST = 2 * SFTP_PACKET_MAX }; /* replies that wait, and room for the largest */

static uint8_t in[SFTP_LENGTH + SFTP_PACKET_MAX], out[OUT_MOST];

static sftp_server answer_limits;

static sftp_server *const servers[SFTP_REQUESTS] = {
    [SFTP_OPEN] = sftp_open,
    [SFTP_CLOSE] = sftp_close,
    [SFTP_READ] = sftp_read,
    [SFTP_WRITE] = sftp_write,
    [SFTP_LSTAT] = sftp_lstat,
    [SFTP_FSTAT] = sftp_fstat,
    [SFTP_SETSTAT] = sftp_setstat,
    [SFTP_FSETSTAT] = sftp_fsetstat,
    [SFTP_OPENDIR] = sftp_opendir,
    [SFTP_READDIR] = sftp_readdir,
    [SFTP_REMOVE] = sftp_remove,
    [SFTP_MKDIR] = sftp_mkdir,
    [SFTP_RMDIR] = sftp_rmdir,
    [SFTP_REALPATH] = sftp_realpath,
    [SFTP_STAT] = sftp_stat,
    [SFTP_RENAME] = sftp_rename,
    [SFTP_READLINK] = sftp_readlink,
    [SFTP_SYMLINK] = sftp_symlink,
    [SFTP_POSIX_RENAME] = sftp_posix_rename,
    [SFTP_STATVFS] = sftp_statvfs,
    [SFTP_FSTATVFS] = sftp_fstatvfs,
    [SFTP_HARDLINK] = sftp_hardlink,
    [SFTP_FSYNC] = sftp_fsync,
    [SFTP_LSETSTAT] = sftp_lsetstat,
    [SFTP_LIMITS] = answer_limits,
    [SFTP_EXPAND_PATH] = sftp_expand_path,
};

/* --- answers ------------------------------------------------------------------ */

static const char *explain(enum sftp_code code)
{
    static const char *const texts[] = {
        [SFTP_OK] = "Success",
        [SFTP_EOF] = "End of file",
        [SFTP_NO_SUCH_FILE] = "No such file",
        [SFTP_PERMISSION_DENIED] = "Permission denied",
        [SFTP_FAILURE] = "Failure",
        [SFTP_BAD_MESSAGE] = "Bad message",
        [SFTP_UNSUPPORTED] = "Operation unsupported",
    };
    return texts[code];
}

/* `message`: NULL for the code's own. */
int sftp_answer_status(struct sftp *sftp, uint32_t id, enum sftp_code code, const char *message)
{
    size_t begin = sftp_begin(&sftp->out, SFTP_STATUS, id);
    sftp_put_u32(&sftp->out, code);
    sftp_put_text(&sftp->out, message ? message : explain(code));
    sftp_put_text(&sftp->out, ""); /* the message's language */
    sftp_end(&sftp->out, begin);
    return SFTP_ANSWERED;
}

/* The codes are those of OpenSSH's server: clients decide by them. */
static enum sftp_code code_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EBADF:
    case ELOOP:
        return SFTP_NO_SUCH_FILE;
    case EPERM:
    case EACCES:
    case EFAULT:
        return SFTP_PERMISSION_DENIED;
    case ENAMETOOLONG:
    case EINVAL:
        return SFTP_BAD_MESSAGE;
    case ENOSYS:
        return SFTP_UNSUPPORTED;
    default:
        return SFTP_FAILURE;
    }
}

static int answer_limits(struct sftp *sftp, const struct sftp_request *request)
{
    size_t begin = sftp_begin(&sftp->out, SFTP_EXTENDED_REPLY, request->id);
    sftp_put_u64(&sftp->out, SFTP_PACKET_MAX);
    sftp_put_u64(&sftp->out, SFTP_DATA_MAX); /* of a READ */
    sftp_put_u64(&sftp->out, SFTP_DATA_MAX); /* of a WRITE */
    sftp_put_u64(&sftp->out, SFTP_HANDLES);
    sftp_end(&sftp->out, begin);
    return SFTP_ANSWERED;
}

static void serve(struct sftp *sftp, const struct sftp_request *request)
{
    sftp_server *server = request->type < SFTP_REQUESTS ? servers[request->type] : NULL;
    if (!server) {
        sftp_answer_status(sftp, request->id, SFTP_UNSUPPORTED, NULL);
        return;
    }
    int outcome = server(sftp, request);
    int error = errno;
    if (outcome == 0)
        sftp_answer_status(sftp, request->id, SFTP_OK, NULL);
    else if (outcome < 0)
        sftp_answer_status(sftp, request->id, code_of(error),
                           code_of(error) == SFTP_FAILURE ? strerror(error) : NULL);
}

/* --- the session -------------------------------------------------------------- */

static int flush(struct sftp *sftp, struct failure *failure)
{
    if (write_all(STDOUT_FILENO, sftp->out.at, sftp->out.size))
        return fail(failure, "io", errno, "send replies");
    sftp->out.size = 0;
    return 0;
}

/* Answer one packet; a malformed request of a known length is refused and no more. */
static int serve_packet(struct sftp *sftp, uint8_t *packet, size_t size, struct failure *failure)
{
    struct sftp_request request;
    bool is_well_formed = sftp_parse(packet, size, &request);
    if (!sftp->greeted) {
        if (!is_well_formed || request.type != SFTP_INIT)
            return fail(failure, "bad-packet", 0, "the session does not begin with INIT");
        sftp->greeted = true;
        sftp_put_hello(&sftp->out);
        return 0;
    }
    if (is_well_formed)
        serve(sftp, &request);
    else
        sftp_answer_status(sftp, request.id, SFTP_BAD_MESSAGE, NULL);
    return 0;
}

/* Answer the packets that have come whole. */
static int serve_packets(struct sftp *sftp, struct failure *failure)
{
    size_t at = 0;
    while (sftp->have - at >= SFTP_LENGTH) {
        size_t size = sftp_get_u32(in + at);
        if (size == 0 || size > SFTP_PACKET_MAX)
            return fail(failure, "bad-packet", 0, "a packet of %zu bytes", size);
        if (sftp->have - at - SFTP_LENGTH < size)
            break;
        if (sftp->out.limit - sftp->out.size < SFTP_PACKET_MAX && flush(sftp, failure))
            return -1;
        if (serve_packet(sftp, in + at + SFTP_LENGTH, size, failure))
            return -1;
        at += SFTP_LENGTH + size;
    }
    sftp->have -= at;
    memmove(in, in + at, sftp->have);
    return flush(sftp, failure);
}

static int run(struct sftp *sftp, struct failure *failure)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, in + sftp->have, sizeof in - sftp->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(failure, "io", errno, "read requests");
        if (n == 0 && sftp->have)
            return fail(failure, "bad-packet", 0, "the last packet is cut short");
        if (n == 0)
            return 0;
        sftp->have += (size_t)n;
        if (serve_packets(sftp, failure))
            return -1;
    }
}

/* Enter the directory where relative names begin. */
static int enter(const struct sftp *sftp, const char *directory, struct failure *failure)
{
    if (directory && *directory != '/')
        return fail(failure, "bad-request", 0, "CWD is not absolute");
    if (directory && chdir(directory))
        return fail(failure, "bad-directory", errno, "enter %.128s", directory);
    if (!directory && chdir(sftp->user.home) && chdir("/"))
        return fail(failure, "io", errno, "enter /");
    return 0;
}

/* The worker's job. */
static int serve_session(int disk, const struct request *request, struct writer *result,
                         struct failure *failure)
{
    static struct sftp session;
    (void)result;
    session.out = (struct sftp_writer){out, 0, sizeof out, false};
    for (int i = 0; i < SFTP_HANDLES; i++)
        session.handles[i].fd = -1;
    if (disk >= 0)
        close(disk); /* the way to a directory that no user has */
    if (find_user(request->user, &session.user, failure))
        return -1;
    if (become(&session.user))
        return fail(failure, "io", errno, "become user %s", session.user.name);
    umask(022);
    return enter(&session, request->cwd, failure) ? -1 : run(&session, failure);
}

/* SFTP. The user is looked up here, so that the host hears of one that does not exist at once. */
int sftp_start(struct agent *agent, struct stream *stream, const struct request *request,
               struct failure *failure)
{
    struct user user;
    struct writer nothing = {0};
    if (find_user(request->user, &user, failure))
        return -1;
    int outcome = worker_start(agent, stream, request, serve_session, true, true, failure);
    if (outcome == 1)
        send_fields(agent, FRAME_EVENT, stream->id, &nothing);
    return outcome;
}
