#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

static int parse_path(const char *path, struct address *address, struct failure *failure)
{
    struct sockaddr_un *local = (struct sockaddr_un *)&address->at;
    size_t size = strlen(path);
    if (*path != '/' || size >= sizeof local->sun_path)
        return fail(failure, "bad-request", 0, "PATH is not absolute, or longer than %zu bytes",
                    sizeof local->sun_path - 1);
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, size + 1);
    address->size = sizeof *local;
    return 0;
}

static int parse_host(const char *host, uint16_t port, struct address *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->at;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->at;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        address->size = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return -1;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address->size = sizeof *v6;
    return 0;
}

int address_parse(const struct request *request, uint64_t least, struct address *address,
                  struct failure *failure)
{
    memset(address, 0, sizeof *address);
    if (!request->path == !request->host)
        return fail(failure, "bad-request", 0, "either HOST or PATH must be there");
    if (request->path)
        return parse_path(request->path, address, failure);
    if (request->port < least || request->port > 65535 ||
        parse_host(request->host, (uint16_t)request->port, address))
        return fail(failure, "bad-request", 0, "HOST is no IP address or PORT no port");
    return 0;
}

int address_explain(int error, const char *what, struct failure *failure)
{
    switch (error) {
    case ECONNREFUSED:
    case EAGAIN: /* a Unix socket whose queue is full */
        return fail(failure, "refused", error, "%s", what);
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
        return fail(failure, "unreachable", error, "%s", what);
    case ETIMEDOUT:
        return fail(failure, "timeout", error, "%s", what);
    case ENOENT:
    case ENOTDIR:
        return fail(failure, "not-found", error, "%s", what);
    case EACCES:
    case EPERM:
        return fail(failure, "denied", error, "%s", what);
    case EADDRINUSE:
        return fail(failure, "in-use", error, "%s", what);
    default:
        return fail(failure, "io", error, "%s", what);
    }
}
