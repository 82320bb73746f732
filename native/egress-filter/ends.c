#include "ends.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void say(const char *format, ...)
{
    char line[256] = "banger-egress-filter: ";
    size_t start = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + start, sizeof line - start - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nobody listens: nothing to be done about it */
}

_Noreturn void end(void)
{
    _exit(0);
}

_Noreturn void fail(void)
{
    say("%s", strerror(errno));
    end();
}

/* Return how much a call has moved; nothing if it has to be made again. */
static size_t moved(ssize_t n)
{
    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN && errno != EINTR)
        fail();
    return 0;
}

size_t receive(int fd, uint8_t *bytes, size_t room)
{
    ssize_t n = recv(fd, bytes, room, MSG_DONTWAIT);
    if (n == 0)
        end();
    return moved(n);
}

size_t deliver(int fd, const uint8_t *bytes, size_t size)
{
    return moved(send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL));
}

size_t take_frame(int fd, uint8_t *bytes, size_t room)
{
    ssize_t n = read(fd, bytes, room);
    if (n == 0)
        end();
    return moved(n);
}

size_t put_frame(int fd, const uint8_t *bytes, size_t size)
{
    ssize_t n = write(fd, bytes, size);
    return n < 0 && errno == EIO ? size : moved(n);
}

void require_length(size_t length)
{
    if (length <= LONGEST_FRAME)
        return;
    say("passt sent a frame of %lu bytes", (unsigned long)length);
    end();
}
