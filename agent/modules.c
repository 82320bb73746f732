#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* EEXIST: built in or loaded before. A module that fails may not be needed here. */
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
        say("module %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Load the modules that /modules/order lists, in its order. */
void load_modules(void)
{
    char name[256];
    FILE *order = fopen("/modules/order", "re");
    if (!order)
        return; /* a kernel with everything built in */
    while (fgets(name, sizeof name, order)) {
        name[strcspn(name, "\r\n")] = 0;
        if (*name)
            load(name);
    }
    fclose(order);
}
