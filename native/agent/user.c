#include "user.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Parse a decimal number; false if the text is anything else. */
static bool parse_id(const char *text, unsigned *id)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || value >= UINT32_MAX)
        return false;
    *id = (unsigned)value;
    return true;
}

static void set_unknown_user(struct user *user, unsigned id)
{
    user->uid = id;
    user->gid = id;
    snprintf(user->name, sizeof user->name, "%u", id);
    strcpy(user->home, "/");
    strcpy(user->shell, "/bin/sh");
}

static void set_known_user(struct user *user, const struct passwd *entry)
{
    user->uid = entry->pw_uid;
    user->gid = entry->pw_gid;
    snprintf(user->name, sizeof user->name, "%s", entry->pw_name);
    snprintf(user->home, sizeof user->home, "%s", *entry->pw_dir ? entry->pw_dir : "/");
    snprintf(user->shell, sizeof user->shell, "%s",
             *entry->pw_shell ? entry->pw_shell : "/bin/sh");
}

static int find_group(const char *name, struct user *user, struct failure *failure)
{
    unsigned id;
    struct group *group;
    if (parse_id(name, &id))
        user->gid = id;
    else if ((group = getgrnam(name)))
        user->gid = group->gr_gid;
    else
        return fail(failure, "no-such-user", 0, "there is no group %.64s", name);
    return 0;
}

static bool has_member(const struct group *group, const char *name)
{
    for (char **member = group->gr_mem; *member; member++)
        if (strcmp(*member, name) == 0)
            return true;
    return false;
}

/* Set the groups of a user: the own one, and those of /etc/group that list the name (NULL: none).
 * Not by getgrouplist, which first asks whoever listens on nscd's socket, and waits for the answer.
 */
static void set_groups(struct user *user, const char *name)
{
    struct group *group;
    user->groups[0] = user->gid;
    user->group_count = 1;
    if (!name)
        return;
    setgrent();
    while (user->group_count < GROUPS_MAX && (group = getgrent()))
        if (group->gr_gid != user->gid && has_member(group, name))
            user->groups[user->group_count++] = group->gr_gid;
    endgrent();
}

/* Find `user`, `uid`, `user:group` or `uid:gid`; NULL means the agent's own user (root in a guest).
 * A number needs no entry in /etc/passwd. */
int find_user(const char *text, struct user *user, struct failure *failure)
{
    char name[128];
    unsigned id = geteuid();
    snprintf(name, sizeof name, "%s", text ? text : "");
    char *group = strchr(name, ':');
    if (group)
        *group++ = 0;
    memset(user, 0, sizeof *user);
    bool by_number = !text || parse_id(name, &id);
    struct passwd *entry = by_number ? getpwuid(id) : getpwnam(name);
    if (!entry && !by_number)
        return fail(failure, "no-such-user", 0, "there is no user %.64s", name);
    if (entry)
        set_known_user(user, entry);
    else
        set_unknown_user(user, id);
    if (group && find_group(group, user, failure))
        return -1;
    set_groups(user, entry ? entry->pw_name : NULL);
    return 0;
}

/* Make this process the user's: makes system calls only, for a child that shares memory. */
int become(const struct user *user)
{
    if (geteuid() != 0 && user->uid == geteuid() && user->gid == getegid())
        return 0; /* tests on a host: already the right user */
    /* Not the library's functions: they may take locks that the parent holds. */
    if (syscall(SYS_setgroups, user->group_count, user->groups) ||
        syscall(SYS_setresgid, user->gid, user->gid, user->gid))
        return -1;
    return syscall(SYS_setresuid, user->uid, user->uid, user->uid) ? -1 : 0;
}

/* Have a user's rights for some system calls; `user_leave` ends that. The real and the saved user
 * stay the agent's, so the user can neither signal nor trace it meanwhile. */
int user_enter(const struct user *user)
{
    if (geteuid() != 0) {
        errno = EPERM;
        return user->uid == geteuid() ? 0 : -1; /* tests on a host */
    }
    if (syscall(SYS_setgroups, user->group_count, user->groups) ||
        syscall(SYS_setresgid, -1, user->gid, -1) || syscall(SYS_setresuid, -1, user->uid, -1)) {
        user_leave();
        return -1;
    }
    return 0;
}

void user_leave(void)
{
    int error = errno;
    if (getuid() == 0) {
        syscall(SYS_setresuid, -1, 0, -1);
        syscall(SYS_setresgid, -1, 0, -1);
        syscall(SYS_setgroups, 0, NULL);
    }
    errno = error;
}
