/* The terminal type (TERM) of a program. */
#include "term.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Tell whether the root or the user has a description of a terminal type. */
static bool is_described(const char *name, const char *home)
{
    static const char *const places[] = {"/etc", "/lib", "/usr/share", "/usr/lib",
                                         "/usr/local/share"};
    char path[PATH_MAX];
    if (!*name || *name == '.' || strchr(name, '/'))
        return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/terminfo/%c/%s", places[i], *name, name);
        if (access(path, R_OK) == 0)
            return true;
    }
    snprintf(path, sizeof path, "%s/.terminfo/%c/%s", home, *name, name);
    return access(path, R_OK) == 0;
}

/* Replace a TERM without description in the root by a described type that any newer terminal
 * understands; otherwise programs like top and vi refuse to run. A root without descriptions, as
 * with busybox, keeps TERM; so does a request with its own (TERMINFO, TERMINFO_DIRS).
 * Returns -1 if out of memory. */
int settle_term(struct list *env, const char *home)
{
    static const char *const fallbacks[] = {"xterm-256color", "xterm"};
    char **term = NULL;
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], "TERMINFO", 8) == 0)
            return 0;
        if (strncmp(env->items[i], "TERM=", 5) == 0)
            term = &env->items[i];
    }
    if (!term || is_described(*term + 5, home))
        return 0;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (is_described(fallbacks[i], home))
            return asprintf(term, "TERM=%s", fallbacks[i]) < 0 ? -1 : 0;
    return 0;
}
