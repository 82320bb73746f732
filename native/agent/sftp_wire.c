#include "sftp_wire.h"

#include <string.h>

/* The fields of a request, in their order: `p` a path, `q` a second one, `h` a handle, `o` an
 * offset, `n` a length, `d` data, `f` the flags of OPEN, `a` attributes. */
static const char *const shapes[SFTP_REQUESTS] = {
    [SFTP_OPEN] = "pfa",     [SFTP_CLOSE] = "h",         [SFTP_READ] = "hon",
    [SFTP_WRITE] = "hod",    [SFTP_LSTAT] = "p",         [SFTP_FSTAT] = "h",
    [SFTP_SETSTAT] = "pa",   [SFTP_FSETSTAT] = "ha",     [SFTP_OPENDIR] = "p",
    [SFTP_READDIR] = "h",    [SFTP_REMOVE] = "p",        [SFTP_MKDIR] = "pa",
    [SFTP_RMDIR] = "p",      [SFTP_REALPATH] = "p",      [SFTP_STAT] = "p",
    [SFTP_RENAME] = "pq",    [SFTP_READLINK] = "p",      [SFTP_SYMLINK] = "pq",
    [SFTP_STATVFS] = "p",    [SFTP_POSIX_RENAME] = "pq", [SFTP_FSTATVFS] = "h",
    [SFTP_HARDLINK] = "pq",  [SFTP_FSYNC] = "h",         [SFTP_LSETSTAT] = "pa",
    [SFTP_LIMITS] = "",      [SFTP_EXPAND_PATH] = "p",
};

static const struct {
    const char *name, *version;
    enum sftp_type type;
} extensions[] = {
    {"posix-rename@openssh.com", "1", SFTP_POSIX_RENAME},
    {"statvfs@openssh.com", "2", SFTP_STATVFS},
    {"fstatvfs@openssh.com", "2", SFTP_FSTATVFS},
    {"hardlink@openssh.com", "1", SFTP_HARDLINK},
    {"fsync@openssh.com", "1", SFTP_FSYNC},
    {"lsetstat@openssh.com", "1", SFTP_LSETSTAT},
    {"limits@openssh.com", "1", SFTP_LIMITS},
    {"expand-path@openssh.com", "1", SFTP_EXPAND_PATH},
};
enum { EXTENSIONS = sizeof extensions / sizeof *extensions, MORE_ATTRIBUTES = 1u << 31 };

/* --- requests in -------------------------------------------------------------- */

struct reader {
    uint8_t *at;
    size_t left;
    bool broken; /* something was cut short or malformed: every value from there on is 0 */
};

uint32_t sftp_get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t take_u32(struct reader *reader)
{
    if (reader->left < 4) {
        reader->broken = true;
        reader->left = 0;
        return 0;
    }
    uint32_t value = sftp_get_u32(reader->at);
    reader->at += 4;
    reader->left -= 4;
    return value;
}

static uint64_t take_u64(struct reader *reader)
{
    uint64_t high = take_u32(reader);
    return high << 32 | take_u32(reader);
}

static uint8_t *take_bytes(struct reader *reader, size_t *size)
{
    uint8_t *bytes = reader->at;
    *size = take_u32(reader);
    if (*size > reader->left) {
        reader->broken = true;
        *size = reader->left = 0;
    }
    if (reader->broken)
        return NULL;
    bytes += 4;
    reader->at += *size;
    reader->left -= *size;
    return bytes;
}

/* Move a text one byte towards its length, which has been read, so that a NUL fits behind it. */
static const char *take_text(struct reader *reader)
{
    size_t size;
    uint8_t *bytes = take_bytes(reader, &size);
    if (!bytes || memchr(bytes, 0, size)) {
        reader->broken = true;
        return NULL;
    }
    uint8_t *text = bytes - 1;
    memmove(text, bytes, size);
    text[size] = 0;
    return (const char *)text;
}

static uint32_t take_handle(struct reader *reader)
{
    size_t size;
    const uint8_t *bytes = take_bytes(reader, &size);
    uint32_t handle = bytes && size == 4 ? sftp_get_u32(bytes) : SFTP_HANDLES;
    return handle < SFTP_HANDLES ? handle : SFTP_HANDLES;
}

static void take_attributes(struct reader *reader, struct sftp_attributes *attributes)
{
    size_t size;
    uint32_t flags = attributes->flags = take_u32(reader);
    if (flags & SFTP_HAS_SIZE)
        attributes->size = take_u64(reader);
    if (flags & SFTP_HAS_OWNER) {
        attributes->uid = take_u32(reader);
        attributes->gid = take_u32(reader);
    }
    if (flags & SFTP_HAS_MODE)
        attributes->mode = take_u32(reader);
    if (flags & SFTP_HAS_TIMES) {
        attributes->atime = take_u32(reader);
        attributes->mtime = take_u32(reader);
    }
    uint32_t more = flags & MORE_ATTRIBUTES ? take_u32(reader) : 0;
    for (; more && !reader->broken; more--) { /* pairs of a name and a value, none of them ours */
        take_bytes(reader, &size);
        take_bytes(reader, &size);
    }
}

static void take_field(struct reader *reader, char field, struct sftp_request *request)
{
    switch (field) {
    case 'p':
        request->path = take_text(reader);
        break;
    case 'q':
        request->second = take_text(reader);
        break;
    case 'h':
        request->handle = take_handle(reader);
        break;
    case 'o':
        request->offset = take_u64(reader);
        break;
    case 'n':
        request->length = take_u32(reader);
        break;
    case 'd':
        request->data = take_bytes(reader, &request->data_size);
        break;
    case 'f':
        request->flags = take_u32(reader);
        break;
    default:
        take_attributes(reader, &request->attributes);
    }
}

static enum sftp_type take_extension(struct reader *reader)
{
    const char *name = take_text(reader);
    for (size_t i = 0; name && i < EXTENSIONS; i++)
        if (strcmp(name, extensions[i].name) == 0)
            return extensions[i].type;
    return SFTP_EXTENDED;
}

bool sftp_parse(uint8_t *packet, size_t size, struct sftp_request *request)
{
    memset(request, 0, sizeof *request);
    if (!size)
        return false;
    struct reader reader = {packet + 1, size - 1, false};
    request->type = packet[0];
    request->handle = SFTP_HANDLES;
    request->id = take_u32(&reader);
    if (request->type == SFTP_EXTENDED)
        request->type = take_extension(&reader);
    else if (request->type >= SFTP_POSIX_RENAME)
        request->type = SFTP_EXTENDED; /* no request of the protocol */
    const char *shape = request->type < SFTP_REQUESTS ? shapes[request->type] : NULL;
    for (; shape && *shape; shape++)
        take_field(&reader, *shape, request);
    return !reader.broken;
}

/* --- replies out -------------------------------------------------------------- */

void sftp_set_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put(struct sftp_writer *out, const void *bytes, size_t size)
{
    if (out->limit - out->size < size) {
        out->full = true;
        return;
    }
    memcpy(out->at + out->size, bytes, size);
    out->size += size;
}

void sftp_put_u32(struct sftp_writer *out, uint32_t value)
{
    uint8_t bytes[4];
    sftp_set_u32(bytes, value);
    put(out, bytes, sizeof bytes);
}

void sftp_put_u64(struct sftp_writer *out, uint64_t value)
{
    sftp_put_u32(out, (uint32_t)(value >> 32));
    sftp_put_u32(out, (uint32_t)value);
}

void sftp_put_bytes(struct sftp_writer *out, const void *bytes, size_t size)
{
    sftp_put_u32(out, (uint32_t)size);
    put(out, bytes, size);
}

void sftp_put_text(struct sftp_writer *out, const char *text)
{
    sftp_put_bytes(out, text, strlen(text));
}

void sftp_put_attributes(struct sftp_writer *out, const struct sftp_attributes *attributes)
{
    sftp_put_u32(out, attributes->flags);
    if (attributes->flags & SFTP_HAS_SIZE)
        sftp_put_u64(out, attributes->size);
    if (attributes->flags & SFTP_HAS_OWNER) {
        sftp_put_u32(out, attributes->uid);
        sftp_put_u32(out, attributes->gid);
    }
    if (attributes->flags & SFTP_HAS_MODE)
        sftp_put_u32(out, attributes->mode);
    if (attributes->flags & SFTP_HAS_TIMES) {
        sftp_put_u32(out, attributes->atime);
        sftp_put_u32(out, attributes->mtime);
    }
}

size_t sftp_begin(struct sftp_writer *out, enum sftp_type type, uint32_t id)
{
    size_t begin = out->size;
    uint8_t byte = (uint8_t)type;
    sftp_put_u32(out, 0);
    put(out, &byte, 1);
    sftp_put_u32(out, id);
    return begin;
}

void sftp_end(struct sftp_writer *out, size_t begin)
{
    if (!out->full)
        sftp_set_u32(out->at + begin, (uint32_t)(out->size - begin - SFTP_LENGTH));
}

/* The answer to INIT: our version in the place of an id, and what we have beyond it. */
void sftp_put_hello(struct sftp_writer *out)
{
    size_t begin = sftp_begin(out, SFTP_HELLO, SFTP_VERSION);
    for (size_t i = 0; i < EXTENSIONS; i++) {
        sftp_put_text(out, extensions[i].name);
        sftp_put_text(out, extensions[i].version);
    }
    sftp_end(out, begin);
}
