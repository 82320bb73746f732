#include "fields.h"

#include "frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_HEADER = 6 };

enum shape { NOTHING, NUMBER, TEXT, BLOB, LIST, FILES, INTERFACE };

struct rule {
    enum shape shape;
    uint32_t kinds; /* a bit for each kind that may contain the field */
    size_t offset;
};

#define IN(kind) (1u << (kind))
#define AT(member) offsetof(struct request, member)
#define IDENTITIES (IN(KIND_BOOT) | IN(KIND_IDENTITY))
#define TREES (IN(KIND_TAR_IN) | IN(KIND_TAR_OUT))
#define FILES_ALONE \
    (IN(KIND_STAT) | IN(KIND_CHECKSUM) | IN(KIND_CHANGES) | IN(KIND_FILE))
#define LISTS (IN(KIND_LIST) | IN(KIND_READ))
#define PROGRAMS (IN(KIND_EXEC) | IN(KIND_SESSION_START))
#define PLACES (PROGRAMS | IN(KIND_SFTP))
#define SOCKETS (IN(KIND_CONNECT) | IN(KIND_LISTEN))
#define PORTS (SOCKETS | IN(KIND_UDP))
#define USERS (PLACES | SOCKETS)
#define WINDOWS (PROGRAMS | IN(KIND_SESSION_ATTACH) | IN(KIND_CONTROL))
#define SIGNALS (IN(KIND_SESSION_SIGNAL) | IN(KIND_CONTROL))
#define FLAGGED \
    (PROGRAMS | TREES | IN(KIND_POWEROFF) | IN(KIND_SESSION_ATTACH) | IN(KIND_SESSION_SEND))
#define SESSIONS_BY_NAME \
    (IN(KIND_SESSION_START) | IN(KIND_SESSION_LIST) | IN(KIND_SESSION_ATTACH) | \
     IN(KIND_SESSION_SEND) | IN(KIND_SESSION_SIGNAL) | IN(KIND_SESSION_WAIT) | \
     IN(KIND_SESSION_DELETE))

static const struct rule rules[TAG_LIMIT] = {
    [TAG_ARG] = {LIST, PROGRAMS, AT(args)},
    [TAG_ENV] = {LIST, PROGRAMS, AT(env)},
    [TAG_CWD] = {TEXT, PLACES, AT(cwd)},
    [TAG_USER] = {TEXT, USERS, AT(user)},
    [TAG_FLAGS] = {NUMBER, FLAGGED, AT(flags)},
    [TAG_ROWS] = {NUMBER, WINDOWS, AT(rows)},
    [TAG_COLUMNS] = {NUMBER, WINDOWS, AT(columns)},
    [TAG_MODES] = {BLOB, PROGRAMS, AT(modes)},
    [TAG_SIGNAL] = {NUMBER, SIGNALS, AT(signal)},
    [TAG_LINES] = {NUMBER, IN(KIND_SESSION_ATTACH), AT(lines)},
    [TAG_SINCE_NS] = {NUMBER, IN(KIND_SESSION_ATTACH), AT(since_ns)},
    [TAG_PATH] = {TEXT, TREES | LISTS | FILES_ALONE | SOCKETS, AT(path)},
    [TAG_NAME] = {LIST, IN(KIND_TAR_OUT) | LISTS | SESSIONS_BY_NAME, AT(names)},
    [TAG_UID] = {NUMBER, IN(KIND_TAR_IN) | IN(KIND_FILE), AT(uid)},
    [TAG_GID] = {NUMBER, IN(KIND_TAR_IN) | IN(KIND_FILE), AT(gid)},
    [TAG_MODE] = {NUMBER, IN(KIND_FILE), AT(mode)},
    [TAG_SIZE] = {NUMBER, IN(KIND_CHECKSUM), AT(size)},
    [TAG_OFFSET] = {NUMBER, TREES | IN(KIND_SESSION_ATTACH), AT(offset)},
    [TAG_HOST] = {TEXT, PORTS, AT(host)},
    [TAG_PORT] = {NUMBER, PORTS, AT(port)},
    [TAG_NUMBER] = {NUMBER, IN(KIND_ACCEPT) | IN(KIND_SESSION_LIST), AT(number)},
    [TAG_HOSTNAME] = {TEXT, IDENTITIES, AT(hostname)},
    [TAG_CLOCK_NS] = {NUMBER, IDENTITIES, AT(clock_ns)},
    [TAG_ENTROPY] = {BLOB, IDENTITIES, AT(entropy)},
    [TAG_FILE] = {FILES, IDENTITIES, 0},
    [TAG_CONTENT] = {BLOB, IN(KIND_FILE), AT(content)},
    [TAG_INTERFACE] = {INTERFACE, IDENTITIES, 0},
    [TAG_MAC] = {BLOB, IN(KIND_INTERFACE), AT(mac)},
    [TAG_ADDRESS] = {TEXT, IN(KIND_INTERFACE), AT(address)},
    [TAG_ADDRESS6] = {TEXT, IN(KIND_INTERFACE), AT(address6)},
    [TAG_PREFIX] = {NUMBER, IN(KIND_INTERFACE), AT(prefix)},
    [TAG_GATEWAY] = {TEXT, IN(KIND_INTERFACE), AT(gateway)},
    [TAG_ROOT] = {TEXT, IN(KIND_BOOT), AT(root)},
    [TAG_DATA] = {TEXT, IN(KIND_BOOT), AT(data)},
    [TAG_INIT] = {TEXT, IN(KIND_BOOT), AT(init)},
    [TAG_NATIVE] = {LIST, IN(KIND_BOOT) | IN(KIND_TAR_OUT), AT(native)},
    [TAG_MODULES] = {TEXT, IN(KIND_BOOT), AT(modules)},
};

int fail(struct failure *failure, const char *code, int error, const char *format, ...)
{
    va_list arguments;
    failure->code = code;
    failure->error = error;
    va_start(arguments, format);
    int n = vsnprintf(failure->message, sizeof failure->message, format, arguments);
    va_end(arguments);
    if (error && n >= 0 && (size_t)n < sizeof failure->message)
        snprintf(failure->message + n, sizeof failure->message - (size_t)n, ": %s",
                 strerror(error));
    return -1;
}

/* Move the value one byte towards its own header, which has been read, so that a NUL fits
 * after the value without touching the next field. */
static char *terminate(uint8_t *value, size_t size)
{
    memmove(value - 1, value, size);
    uint8_t *text = value - 1;
    text[size] = 0;
    return (char *)text;
}

static int append(struct list *list, char *item, struct failure *failure)
{
    if ((list->count & (list->count + 1)) == 0) { /* room for a power of two */
        size_t room = 2 * list->count + 2;
        char **items = realloc(list->items, room * sizeof *items);
        if (!items)
            return fail(failure, "no-memory", 0, "no memory for the request");
        list->items = items;
    }
    list->items[list->count++] = item;
    list->items[list->count] = NULL;
    return 0;
}

static int parse_nested(struct request *request, enum shape shape, uint8_t *value, size_t size,
                        struct failure *failure)
{
    size_t count = shape == FILES ? request->file_count : 0;
    struct request **list = shape == FILES ? &request->files : &request->interface;
    struct request *grown = realloc(*list, (count + 1) * sizeof **list);
    if (!grown)
        return fail(failure, "no-memory", 0, "no memory for the request");
    *list = grown;
    if (request_parse(grown + count, shape == FILES ? KIND_FILE : KIND_INTERFACE, value, size,
                      failure))
        return -1;
    request->file_count += shape == FILES;
    return 0;
}

static int parse_number(void *target, const uint8_t *value, size_t size, unsigned tag,
                        struct failure *failure)
{
    if (size != 8)
        return fail(failure, "bad-request", 0, "field %u is not a number", tag);
    uint64_t number = (uint64_t)get_u32(value + 4) << 32 | get_u32(value);
    memcpy(target, &number, sizeof number);
    return 0;
}

static int parse_field(struct request *request, unsigned tag, uint8_t *value, size_t size,
                       struct failure *failure)
{
    const struct rule *rule = &rules[tag];
    char *target = (char *)request + rule->offset;
    bool repeats = rule->shape == LIST || rule->shape == FILES;
    if (request->present[tag] && !repeats)
        return fail(failure, "bad-request", 0, "field %u is there twice", tag);
    request->present[tag] = true;
    if ((rule->shape == TEXT || rule->shape == LIST) && memchr(value, 0, size))
        return fail(failure, "bad-request", 0, "field %u has a NUL in it", tag);
    switch (rule->shape) {
    case NUMBER:
        return parse_number(target, value, size, tag, failure);
    case TEXT:
        *(char **)target = terminate(value, size);
        return 0;
    case BLOB:
        *(struct blob *)target = (struct blob){value, size};
        return 0;
    case LIST:
        return append((struct list *)target, terminate(value, size), failure);
    default:
        return parse_nested(request, rule->shape, value, size, failure);
    }
}

int request_parse(struct request *request, enum kind kind, uint8_t *bytes, size_t size,
                  struct failure *failure)
{
    memset(request, 0, sizeof *request);
    while (size) {
        unsigned tag = size < FIELD_HEADER ? 0 : (unsigned)(bytes[0] | bytes[1] << 8);
        size_t length = size < FIELD_HEADER ? 0 : get_u32(bytes + 2);
        int failed = 0;
        if (size < FIELD_HEADER || length > size - FIELD_HEADER)
            failed = fail(failure, "bad-request", 0, "a field is cut short");
        else if (tag >= TAG_LIMIT || !(rules[tag].kinds & IN(kind)))
            failed = fail(failure, "bad-request", 0, "field %u does not belong there", tag);
        else
            failed = parse_field(request, tag, bytes + FIELD_HEADER, length, failure);
        if (failed) {
            request_free(request);
            return -1;
        }
        bytes += FIELD_HEADER + length;
        size -= FIELD_HEADER + length;
    }
    return 0;
}

void request_free(struct request *request)
{
    free(request->args.items);
    free(request->env.items);
    free(request->names.items);
    free(request->native.items);
    free(request->files); /* FILE and INTERFACE hold no lists of their own */
    free(request->interface);
    memset(request, 0, sizeof *request);
}

void put_bytes(struct writer *writer, enum tag tag, const void *value, size_t size)
{
    if (writer->limit - writer->size < FIELD_HEADER ||
        writer->limit - writer->size - FIELD_HEADER < size) {
        writer->full = true;
        return;
    }
    uint8_t *at = writer->at + writer->size;
    at[0] = (uint8_t)tag;
    at[1] = (uint8_t)(tag >> 8);
    put_u32(at + 2, (uint32_t)size);
    memcpy(at + FIELD_HEADER, value, size);
    writer->size += FIELD_HEADER + size;
}

void put_text(struct writer *writer, enum tag tag, const char *value)
{
    put_bytes(writer, tag, value, strlen(value));
}

void put_number(struct writer *writer, enum tag tag, uint64_t value)
{
    uint8_t bytes[8];
    put_u32(bytes, (uint32_t)value);
    put_u32(bytes + 4, (uint32_t)(value >> 32));
    put_bytes(writer, tag, bytes, sizeof bytes);
}

void put_failure(struct writer *writer, const struct failure *failure)
{
    put_text(writer, TAG_CODE, failure->code);
    put_text(writer, TAG_MESSAGE, failure->message);
    if (failure->error)
        put_number(writer, TAG_ERRNO, (uint64_t)failure->error);
}
