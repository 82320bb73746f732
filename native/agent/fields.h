/* Fields of the guest protocol (docs/guest-protocol.md, section 5): requests in,
 * events and results out. Pure except for malloc. Fuzzed by fuzz/fuzz_fields.c. */
#ifndef BANGER_FIELDS_H
#define BANGER_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag {
    TAG_CODE = 1,
    TAG_MESSAGE = 2,
    TAG_ERRNO = 3,
    TAG_AGENT_VERSION = 4,
    TAG_BOOT_ID = 5,
    TAG_STATE = 6,
    TAG_ARCH = 7,
    TAG_STREAMS = 8,
    TAG_FEATURES = 9,
    TAG_ARG = 16,
    TAG_ENV = 17,
    TAG_CWD = 18,
    TAG_USER = 19,
    TAG_FLAGS = 20,
    TAG_ROWS = 21,
    TAG_COLUMNS = 22,
    TAG_SIGNAL = 23,
    TAG_STATUS = 24,
    TAG_PID = 25,
    TAG_SESSION = 26,
    TAG_STARTED_NS = 27,
    TAG_ENDED_NS = 28,
    TAG_READERS = 29,
    TAG_MODES = 30,
    TAG_PATH = 32,
    TAG_ENTRIES = 33,
    TAG_BYTES = 34,
    TAG_NAME = 35,
    TAG_UID = 36,
    TAG_GID = 37,
    TAG_MODE = 38,
    TAG_SIZE = 39,
    TAG_MTIME_NS = 40,
    TAG_TARGET = 41,
    TAG_OFFSET = 42,
    TAG_DIGEST = 43,
    TAG_LINES = 44,
    TAG_SINCE_NS = 45,
    TAG_HOST = 48,
    TAG_PORT = 49,
    TAG_LISTENER = 50,
    TAG_CONNECTION = 51,
    TAG_NUMBER = 52,
    TAG_HOSTNAME = 64,
    TAG_CLOCK_NS = 65,
    TAG_ENTROPY = 66,
    TAG_FILE = 67,
    TAG_CONTENT = 68,
    TAG_INTERFACE = 69,
    TAG_MAC = 70,
    TAG_ADDRESS = 71,
    TAG_PREFIX = 72,
    TAG_GATEWAY = 73,
    TAG_ROOT = 74,
    TAG_DATA = 75,
    TAG_INIT = 76,
    TAG_NATIVE = 77,
    TAG_MODULES = 78,
    TAG_ADDRESS6 = 79,
    TAG_LIMIT = 128,
};

enum kind {
    KIND_PING = 1,
    KIND_BOOT,
    KIND_IDENTITY,
    KIND_EXEC,
    KIND_TAR_IN,
    KIND_TAR_OUT,
    KIND_STAT,
    KIND_SYNC,
    KIND_POWEROFF,
    KIND_CONNECT,
    KIND_LISTENERS,
    KIND_LIST,
    KIND_READ,
    KIND_SFTP,
    KIND_LISTEN,
    KIND_ACCEPT,
    KIND_UDP,
    KIND_CHECKSUM,
    KIND_SESSION_START,
    KIND_SESSION_LIST,
    KIND_SESSION_ATTACH,
    KIND_SESSION_SEND,
    KIND_SESSION_SIGNAL,
    KIND_SESSION_WAIT,
    KIND_SESSION_DELETE,
    KIND_PROCESSES,
    KIND_CHANGES,
    KIND_LAST = KIND_CHANGES,
    /* not requests, but parsed by the same rules: */
    KIND_CONTROL,
    KIND_FILE,
    KIND_INTERFACE,
};

struct failure {
    const char *code;
    int error; /* errno, 0 if none */
    char message[256];
};

/* Fill `failure`; returns -1, so that `return fail(...)` reads well. */
__attribute__((format(printf, 4, 5))) int fail(struct failure *failure, const char *code, int error,
                                               const char *format, ...);

/* NULL-terminated; the items point into the parsed bytes. */
struct list {
    char **items;
    size_t count;
};

struct blob {
    const uint8_t *at;
    size_t size;
};

struct request {
    bool present[TAG_LIMIT];
    struct list args, env, names, native;
    char *cwd, *user, *path, *host, *hostname, *address, *address6, *gateway, *root, *data,
        *modules, *init;
    struct blob entropy, content, mac, modes;
    uint64_t flags, rows, columns, signal, uid, gid, mode, size, offset, port, number, prefix, lines;
    int64_t clock_ns, since_ns;
    struct request *files, *interface;
    size_t file_count;
};

/* Parse the fields of a request in place: texts are moved to make room for their final NUL, so
 * `bytes` must outlive `request`. On failure nothing needs to be freed. */
int request_parse(struct request *request, enum kind kind, uint8_t *bytes, size_t size,
                  struct failure *failure);
void request_free(struct request *request);

/* Writes fields; a field that does not fit is left out, and `full` is set. */
struct writer {
    uint8_t *at;
    size_t size, limit;
    bool full;
};

void put_bytes(struct writer *writer, enum tag tag, const void *value, size_t size);
void put_text(struct writer *writer, enum tag tag, const char *value);
void put_number(struct writer *writer, enum tag tag, uint64_t value);
void put_failure(struct writer *writer, const struct failure *failure);

#endif
