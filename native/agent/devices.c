#include "devices.h"

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEVICE_WAIT_MS = 5000 };

static bool find_serial(const char *serial, char *path, size_t size)
{
    char file[300], text[64];
    bool found = false;
    DIR *blocks = opendir("/sys/block");
    for (struct dirent *entry; blocks && !found && (entry = readdir(blocks));) {
        snprintf(file, sizeof file, "/sys/block/%s/serial", entry->d_name);
        if (read_file(file, text, sizeof text) < 0 || strcmp(text, serial) != 0)
            continue;
        snprintf(path, size, "/dev/%s", entry->d_name);
        found = access(path, F_OK) == 0;
    }
    if (blocks)
        closedir(blocks);
    return found;
}

/* Find `/dev/NAME` or `serial:NAME`; wait for it, since drivers probe on their own time. */
int find_device(const char *text, char *path, size_t size, struct failure *failure)
{
    static const char prefix[] = "serial:";
    bool by_serial = strncmp(text, prefix, sizeof prefix - 1) == 0;
    for (int waited = 0; waited <= DEVICE_WAIT_MS; waited += 10) {
        snprintf(path, size, "%s", text);
        if (by_serial ? find_serial(text + sizeof prefix - 1, path, size) : !access(path, F_OK))
            return 0;
        poll(NULL, 0, 10);
    }
    return fail(failure, "io", ENODEV, "find the disk %.64s", text);
}
