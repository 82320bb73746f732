/* banger-ssh-proxy HOST PROGRAM ARGUMENT...: what ssh's ProxyCommand runs, with ProxyUseFdpass.
 *
 * Connects to the ssh front that waits for clients, says which VM is meant, hands the connection to ssh
 * over stdout, and is gone: a millisecond, where Python takes twenty. Only that is done here. Whatever
 * is not as usual is left to PROGRAM (banger.client.sshproxy), which this process becomes and
 * which begins anew: there is no front, since no daemon runs, or it is another installation's; the front
 * refuses, or ends; the client takes no descriptor. So errors are said, and a daemon is started, in one
 * place.
 *
 * Owns the connection until it is handed over. Writes nothing. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FAILED = 255, NAME_MAX_BYTES = 64, ANSWER_MS = 10000 };

static const char suffix[] = ".vm", ok[] = "ok\n";

/* As banger.api.ssh: what names a VM in a host name. Returns its length, 0 if it names none. */
static size_t find_name(const char *host)
{
    size_t length = strlen(host), alphanumeric = 0;
    if (length >= sizeof suffix && strcmp(host + length - (sizeof suffix - 1), suffix) == 0)
        length -= sizeof suffix - 1;
    for (size_t i = 0; i < length; i++) {
        unsigned char letter = (unsigned char)host[i];
        if (letter >= 128 || (!isalnum(letter) && letter != '-'))
            return 0;
        alphanumeric += letter != '-';
    }
    return alphanumeric && length <= NAME_MAX_BYTES ? length : 0;
}

/* As banger.layout, but for users without a runtime directory. Returns whether it fits. */
static bool find_socket(struct sockaddr_un *place)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char conventional[64];
    struct stat found;
    if (!runtime || *runtime != '/') {
        snprintf(conventional, sizeof conventional, "/run/user/%u", (unsigned)getuid());
        if (access(conventional, W_OK) || stat(conventional, &found) || found.st_uid != getuid())
            return false;
        runtime = conventional;
    }
    place->sun_family = AF_UNIX;
    int length =
        snprintf(place->sun_path, sizeof place->sun_path, "%s/banger/ssh.sock", runtime);
    return length > 0 && (size_t)length < sizeof place->sun_path;
}

/* Tell whether the front is this installation's: beside it a link names the state directory, which is
 * found here as in banger.layout (banger.host.runtimedir). */
static bool is_ours(const struct sockaddr_un *place)
{
    char link[sizeof place->sun_path], found[PATH_MAX], ours[PATH_MAX];
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int folder = (int)(strrchr(place->sun_path, '/') - place->sun_path), length;
    snprintf(link, sizeof link, "%.*s/state", folder, place->sun_path);
    if (state && *state == '/')
        length = snprintf(ours, sizeof ours, "%s/banger", state);
    else
        length = snprintf(ours, sizeof ours, "%s/.local/state/banger", home ? home : "");
    return readlink(link, found, sizeof found) == length && memcmp(found, ours, (size_t)length) == 0;
}

/* OpenSSH gives one socket as both stdin and stdout to a program that is to hand over a descriptor. */
static bool takes_descriptor(void)
{
    struct stat given, taken;
    return fstat(STDIN_FILENO, &given) == 0 && fstat(STDOUT_FILENO, &taken) == 0 &&
           S_ISSOCK(taken.st_mode) && given.st_dev == taken.st_dev && given.st_ino == taken.st_ino;
}

/* Connect to this user's front of this installation. Returns -1 if there is none. */
static int connect_own(const struct sockaddr_un *place)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)place, sizeof *place) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == getuid() &&
        is_ours(place))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Read the answer's three bytes, and nothing of ssh's protocol, which follows them. */
static bool is_served(int fd)
{
    char answer[sizeof ok] = "";
    for (size_t size = 0; size < sizeof ok - 1;) {
        struct pollfd waiting = {fd, POLLIN, 0};
        if (poll(&waiting, 1, ANSWER_MS) != 1)
            return false;
        ssize_t n = recv(fd, answer + size, sizeof ok - 1 - size, 0);
        if (n <= 0)
            return false;
        size += (size_t)n;
    }
    return strcmp(answer, ok) == 0;
}

/* Return a connection on which ssh's protocol begins, or -1. */
static int reach_front(const char *host)
{
    struct sockaddr_un place = {0};
    char greeting[sizeof "banger-ssh 1 \n" + NAME_MAX_BYTES];
    size_t name = find_name(host);
    if (!name || !find_socket(&place))
        return -1;
    int fd = connect_own(&place);
    if (fd < 0)
        return -1;
    int size = snprintf(greeting, sizeof greeting, "banger-ssh 1 %.*s\n", (int)name, host);
    if (send(fd, greeting, (size_t)size, MSG_NOSIGNAL) == size && is_served(fd))
        return fd;
    close(fd);
    return -1;
}

static int hand_over(int fd)
{
    char byte = 0;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof fd)];
    } control = {0};
    struct iovec data = {&byte, sizeof byte};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    return sendmsg(STDOUT_FILENO, &message, MSG_NOSIGNAL) == sizeof byte ? 0 : FAILED;
}

int main(int count, char **words)
{
    if (count < 3) {
        fprintf(stderr, "usage: banger-ssh-proxy HOST PROGRAM ARGUMENT...\n");
        return 2;
    }
    int fd = takes_descriptor() ? reach_front(words[1]) : -1;
    if (fd >= 0)
        return hand_over(fd);
    execv(words[2], words + 2);
    fprintf(stderr, "banger: %s cannot be run: %s\n", words[2], strerror(errno));
    return FAILED;
}
