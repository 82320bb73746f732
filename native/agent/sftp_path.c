/* REALPATH as OpenSSH's server does it: clients resolve the names of files that they will make. */
#include "sftp_session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 40 };

struct resolving {
    char *done; /* resolved: absolute, without links; no slash at the end unless it is the root */
    char left[PATH_MAX];
    int links;
};

/* Move the next name from what is left to `name`. False: nothing is left. */
static bool next_name(struct resolving *path, char name[PATH_MAX])
{
    const char *at = path->left + strspn(path->left, "/");
    size_t size = strcspn(at, "/");
    memcpy(name, at, size);
    name[size] = 0;
    at += size;
    memmove(path->left, at, strlen(at) + 1);
    return size > 0;
}

static void go_up(struct resolving *path)
{
    char *slash = strrchr(path->done, '/');
    slash[slash == path->done] = 0;
}

static int go_down(struct resolving *path, const char *name)
{
    size_t size = strlen(path->done);
    if (size + 1 + strlen(name) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (path->done[size - 1] != '/')
        path->done[size++] = '/';
    strcpy(path->done + size, name);
    return 0;
}

/* Put the target of the link that was just resolved before what is left. */
static int follow(struct resolving *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path->done, target, sizeof target - 1);
    if (n < 0)
        return -1;
    if (++path->links > LINKS_MAX) {
        errno = ELOOP;
        return -1;
    }
    if ((size_t)n + strlen(path->left) >= sizeof target) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(target + n, path->left);
    go_up(path);
    if (*target == '/')
        strcpy(path->done, "/");
    strcpy(path->left, target);
    return 0;
}

static int resolve_name(struct resolving *path, const char *name)
{
    struct stat found;
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        go_up(path);
        return 0;
    }
    if (go_down(path, name))
        return -1;
    if (lstat(path->done, &found)) /* only the last name may be missing */
        return errno == ENOENT && !*path->left ? 0 : -1;
    return S_ISLNK(found.st_mode) ? follow(path) : 0;
}

int sftp_resolve(const char *text, char resolved[PATH_MAX])
{
    struct resolving path = {.done = resolved};
    char name[PATH_MAX];
    if (strlen(text) >= sizeof path.left) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(path.left, text);
    if (*text == '/')
        strcpy(resolved, "/");
    else if (!getcwd(resolved, PATH_MAX))
        return -1;
    while (next_name(&path, name))
        if (resolve_name(&path, name))
            return -1;
    return 0;
}
