/* SFTP version 3 (draft-ietf-secsh-filexfer-02) and OpenSSH's extensions: requests in, replies out.
 * Pure: no system calls, no allocation. Fuzzed by fuzz/fuzz_sftp.c. */
#ifndef BANGER_SFTP_WIRE_H
#define BANGER_SFTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SFTP_VERSION = 3,
    SFTP_LENGTH = 4,            /* bytes of the length before each packet */
    SFTP_PACKET_MAX = 262144,   /* as OpenSSH's server */
    SFTP_DATA_MAX = SFTP_PACKET_MAX - 1024,
    SFTP_HANDLES = 256,
};

enum sftp_type {
    SFTP_INIT = 1,
    SFTP_HELLO,
    SFTP_OPEN,
    SFTP_CLOSE,
    SFTP_READ,
    SFTP_WRITE,
    SFTP_LSTAT,
    SFTP_FSTAT,
    SFTP_SETSTAT,
    SFTP_FSETSTAT,
    SFTP_OPENDIR,
    SFTP_READDIR,
    SFTP_REMOVE,
    SFTP_MKDIR,
    SFTP_RMDIR,
    SFTP_REALPATH,
    SFTP_STAT,
    SFTP_RENAME,
    SFTP_READLINK,
    SFTP_SYMLINK,
    /* Extensions: a SFTP_EXTENDED packet with the extension's name. Never a type on the wire. */
    SFTP_POSIX_RENAME,
    SFTP_STATVFS,
    SFTP_FSTATVFS,
    SFTP_HARDLINK,
    SFTP_FSYNC,
    SFTP_LSETSTAT,
    SFTP_LIMITS,
    SFTP_EXPAND_PATH,
    SFTP_REQUESTS,
    /* Replies, and the packet of all extensions. */
    SFTP_STATUS = 101,
    SFTP_HANDLE,
    SFTP_DATA,
    SFTP_NAME,
    SFTP_ATTRS,
    SFTP_EXTENDED = 200,
    SFTP_EXTENDED_REPLY,
};

enum sftp_code {
    SFTP_OK,
    SFTP_EOF,
    SFTP_NO_SUCH_FILE,
    SFTP_PERMISSION_DENIED,
    SFTP_FAILURE,
    SFTP_BAD_MESSAGE,
    SFTP_UNSUPPORTED = 8,
};

/* Flags of OPEN. */
enum {
    SFTP_FOR_READING = 1,
    SFTP_FOR_WRITING = 2,
    SFTP_APPEND = 4,
    SFTP_CREATE = 8,
    SFTP_TRUNCATE = 16,
    SFTP_EXCLUSIVE = 32,
};

/* Flags of attributes: which ones are there. */
enum {
    SFTP_HAS_SIZE = 1,
    SFTP_HAS_OWNER = 2,
    SFTP_HAS_MODE = 4,
    SFTP_HAS_TIMES = 8,
};

struct sftp_attributes {
    uint64_t size;
    uint32_t flags, uid, gid, mode, atime, mtime;
};

struct sftp_request {
    enum sftp_type type; /* of an extension: its own; SFTP_EXTENDED: one that we do not have */
    uint32_t id;         /* of INIT: the client's version */
    uint32_t handle;     /* SFTP_HANDLES: not one of ours */
    uint64_t offset;
    uint32_t length, flags;
    struct sftp_attributes attributes;
    const char *path, *second; /* NUL-terminated, within the packet */
    const uint8_t *data;
    size_t data_size;
};

/* Parse a packet (what follows its length) in place: texts are moved to make room for their final
 * NUL. False: malformed; type and id are set if they were there, else 0. */
bool sftp_parse(uint8_t *packet, size_t size, struct sftp_request *request);

/* Writes replies. What does not fit is left out, and `full` is set. */
struct sftp_writer {
    uint8_t *at;
    size_t size, limit;
    bool full;
};

/* Begin a packet, and end it: returns where it begins, fills in the length. */
size_t sftp_begin(struct sftp_writer *out, enum sftp_type type, uint32_t id);
void sftp_end(struct sftp_writer *out, size_t begin);

void sftp_put_u32(struct sftp_writer *out, uint32_t value);
void sftp_put_u64(struct sftp_writer *out, uint64_t value);
void sftp_put_bytes(struct sftp_writer *out, const void *bytes, size_t size);
void sftp_put_text(struct sftp_writer *out, const char *text);
void sftp_put_attributes(struct sftp_writer *out, const struct sftp_attributes *attributes);
void sftp_put_hello(struct sftp_writer *out);

uint32_t sftp_get_u32(const uint8_t *at);
void sftp_set_u32(uint8_t *at, uint32_t value);

#endif
