/* Handles, and the requests that use open files. */
#include "sftp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Answer with a new handle, which owns the descriptor and the directory. */
int sftp_claim_handle(struct sftp *sftp, const struct sftp_request *request, int fd,
                      DIR *directory)
{
    uint8_t bytes[4];
    uint32_t handle = 0;
    while (handle < SFTP_HANDLES && sftp->handles[handle].fd >= 0)
        handle++;
    if (handle == SFTP_HANDLES) {
        if (directory)
            closedir(directory);
        else
            close(fd);
        errno = EMFILE;
        return -1;
    }
    sftp->handles[handle] = (struct sftp_handle){fd, directory};
    sftp_set_u32(bytes, handle);
    size_t begin = sftp_begin(&sftp->out, SFTP_HANDLE, request->id);
    sftp_put_bytes(&sftp->out, bytes, sizeof bytes);
    sftp_end(&sftp->out, begin);
    return SFTP_ANSWERED;
}

/* Return the request's handle, or NULL if it is not open. */
struct sftp_handle *sftp_find_handle(struct sftp *sftp, const struct sftp_request *request)
{
    bool is_ours = request->handle < SFTP_HANDLES && sftp->handles[request->handle].fd >= 0;
    return is_ours ? &sftp->handles[request->handle] : NULL;
}

/* Return the descriptor of the request's open file; -1, after the answer, if there is none. */
static int find_file(struct sftp *sftp, const struct sftp_request *request)
{
    const struct sftp_handle *handle = sftp_find_handle(sftp, request);
    if (handle && !handle->directory)
        return handle->fd;
    sftp_answer_status(sftp, request->id, SFTP_FAILURE, "The handle is not of an open file");
    return -1;
}

static int open_flags(uint32_t flags)
{
    int access = flags & SFTP_FOR_WRITING ? O_WRONLY : O_RDONLY;
    if ((flags & SFTP_FOR_READING) && (flags & SFTP_FOR_WRITING))
        access = O_RDWR;
    return access | (flags & SFTP_APPEND ? O_APPEND : 0) | (flags & SFTP_CREATE ? O_CREAT : 0) |
           (flags & SFTP_TRUNCATE ? O_TRUNC : 0) | (flags & SFTP_EXCLUSIVE ? O_EXCL : 0);
}

/* O_NONBLOCK: a pipe without a writer, or a terminal, must not stop the session. */
int sftp_open(struct sftp *sftp, const struct sftp_request *request)
{
    const struct sftp_attributes *wanted = &request->attributes;
    mode_t mode = wanted->flags & SFTP_HAS_MODE ? wanted->mode & 07777 : 0666;
    int flags = open_flags(request->flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(request->path, flags, mode);
    return fd < 0 ? -1 : sftp_claim_handle(sftp, request, fd, NULL);
}

int sftp_close(struct sftp *sftp, const struct sftp_request *request)
{
    struct sftp_handle *handle = sftp_find_handle(sftp, request);
    if (!handle) {
        errno = EBADF;
        return -1;
    }
    int failed = handle->directory ? closedir(handle->directory) : close(handle->fd);
    *handle = (struct sftp_handle){-1, NULL};
    return failed;
}

/* Read straight into the reply, which has room for the largest packet. */
int sftp_read(struct sftp *sftp, const struct sftp_request *request)
{
    struct sftp_writer *out = &sftp->out;
    size_t size = request->length < SFTP_DATA_MAX ? request->length : SFTP_DATA_MAX;
    int fd = find_file(sftp, request);
    if (fd < 0)
        return SFTP_ANSWERED;
    size_t begin = sftp_begin(out, SFTP_DATA, request->id), length = out->size;
    sftp_put_u32(out, 0);
    ssize_t n = pread(fd, out->at + out->size, size, (off_t)request->offset);
    if (n < 0 || (n == 0 && size)) {
        out->size = begin;
        return n < 0 ? -1 : sftp_answer_status(sftp, request->id, SFTP_EOF, NULL);
    }
    sftp_set_u32(out->at + length, (uint32_t)n);
    out->size += (size_t)n;
    sftp_end(out, begin);
    return SFTP_ANSWERED;
}

int sftp_write(struct sftp *sftp, const struct sftp_request *request)
{
    int fd = find_file(sftp, request);
    if (fd < 0)
        return SFTP_ANSWERED;
    for (size_t done = 0; done < request->data_size;) {
        ssize_t n = pwrite(fd, request->data + done, request->data_size - done,
                           (off_t)(request->offset + done));
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

int sftp_fstat(struct sftp *sftp, const struct sftp_request *request)
{
    struct stat found;
    int fd = find_file(sftp, request);
    if (fd < 0)
        return SFTP_ANSWERED;
    return fstat(fd, &found) ? -1 : sftp_answer_attributes(sftp, request->id, &found);
}

int sftp_fsetstat(struct sftp *sftp, const struct sftp_request *request)
{
    int fd = find_file(sftp, request);
    return fd < 0 ? SFTP_ANSWERED : sftp_apply(fd, NULL, true, &request->attributes);
}

int sftp_fsync(struct sftp *sftp, const struct sftp_request *request)
{
    const struct sftp_handle *handle = sftp_find_handle(sftp, request);
    return fsync(handle ? handle->fd : -1);
}

int sftp_fstatvfs(struct sftp *sftp, const struct sftp_request *request)
{
    struct statvfs found;
    int fd = find_file(sftp, request);
    if (fd < 0)
        return SFTP_ANSWERED;
    return fstatvfs(fd, &found) ? -1 : sftp_answer_volume(sftp, request->id, &found);
}
