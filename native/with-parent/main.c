/* Becomes a program that the kernel kills when the parent of the process ends (prctl(2),
 * PR_SET_PDEATHSIG), which outlasts execve.
 *
 * Run as `banger-with-parent COMMAND...` inside a jail, whose monitor is the parent: bubblewrap's own
 * --die-with-parent would end the monitor with banger's daemon as well. A parent that has ended
 * before this call is not noticed: in a process namespace it has no number to look for. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **words)
{
    if (count < 2) {
        fprintf(stderr, "usage: banger-with-parent COMMAND...\n");
        return 2;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
        execv(words[1], words + 1);
    fprintf(stderr, "banger-with-parent: %s: %s\n", words[1], strerror(errno));
    return 1;
}
