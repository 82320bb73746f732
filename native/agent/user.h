/* The user that a program runs as, from the root's /etc/passwd and /etc/group. */
#ifndef BANGER_USER_H
#define BANGER_USER_H

#include "fields.h"
#include <sys/types.h>

enum { GROUPS_MAX = 256 };

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int group_count;
    char name[64], home[256], shell[256];
};

int find_user(const char *text, struct user *user, struct failure *failure);
int become(const struct user *user);
int user_enter(const struct user *user);
void user_leave(void);

#endif
