/* Control groups of programs: giving a program up kills all its descendants. */
#ifndef BANGER_CGROUPS_H
#define BANGER_CGROUPS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

enum { CGROUPS = 2048 }; /* of running programs, and of ended ones with live descendants */

struct cgroup {
    int directory;
    bool is_empty;       /* known of one that no program owns */
    struct cgroup *next; /* among those that no program owns */
};

struct cgroups {
    int directory; /* which holds the groups; -1: there are none */
    int made;
    struct cgroup groups[CGROUPS];
    struct cgroup *spare, **spare_end; /* oldest first; NULL: never used */
    struct cgroup *released;           /* newest first; not looked at yet */
};

void cgroups_open(struct cgroups *cgroups);
struct cgroup *cgroup_claim(struct cgroups *cgroups);
void cgroup_release(struct cgroups *cgroups, struct cgroup *cgroup);
void cgroups_settle(struct cgroups *cgroups);
void cgroup_kill(const struct cgroup *cgroup);

/* The arguments of clone3 as of Linux 5.7, from linux/sched.h, which some systems lack. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

#define CLONE_FLAGS_GROUP 0x200000000ull
#define CLONE_FLAGS_VFORK 0x4000ull
#ifdef __SANITIZE_ADDRESS__ /* which would find the child's frames on the parent's stack */
#define CLONE_FLAGS_MEMORY 0ull
#else
#define CLONE_FLAGS_MEMORY 0x100ull
#endif

static inline __attribute__((always_inline)) long clone3_here(const struct clone_arguments *given)
{
#if defined __x86_64__
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(given), "S"(sizeof *given)
                     : "rcx", "r11", "memory");
    return result;
#elif defined __aarch64__
    register long number __asm__("x8") = SYS_clone3;
    register long result __asm__("x0") = (long)given;
    register size_t size __asm__("x1") = sizeof *given;
    __asm__ volatile("svc 0" : "+r"(result) : "r"(number), "r"(size) : "memory");
    return result;
#else
#error "no way to clone on this architecture"
#endif
}

/* Fork a child directly into the group. As after vfork, it shares the parent's memory, and the
 * parent waits until the child has executed or ended. It also shares the stack: so this is part of
 * the calling function, from which the child must not return. Moving a child of vfork afterwards
 * would wait for the kernel's RCU each time; copying the memory's tables takes a third of a
 * program's start under emulation. Returns -1 if it fails. */
static inline __attribute__((always_inline)) pid_t cgroup_fork(const struct cgroup *cgroup)
{
    const struct clone_arguments given = {
        .flags = CLONE_FLAGS_MEMORY | CLONE_FLAGS_VFORK | CLONE_FLAGS_GROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)cgroup->directory};
    long result = clone3_here(&given);
    return result < 0 ? -1 : (pid_t)result;
}

#endif
