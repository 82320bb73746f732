#include "confine.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef UNCONFINED
bool confine(void)
{
    return true;
}
#else

/* musl comes without the kernel's headers: <linux/filter.h>, <linux/seccomp.h>, <linux/audit.h>. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};

struct program {
    uint16_t length;
    const struct instruction *instructions;
};

enum {
    LOAD = 0x20,  /* BPF_LD | BPF_W | BPF_ABS */
    EQUAL = 0x15, /* BPF_JMP | BPF_JEQ | BPF_K */
    END = 0x06,   /* BPF_RET | BPF_K */
    NUMBER_AT = 0,
    ARCHITECTURE_AT = 4,
    MODE_FILTER = 2, /* SECCOMP_MODE_FILTER */
};
#define KILL_PROCESS 0x80000000U
#define ALLOW 0x7FFF0000U

#if defined(__x86_64__)
#define ARCHITECTURE 0xC000003EU
#elif defined(__aarch64__)
#define ARCHITECTURE 0xC00000B7U
#else
#error "no support for this architecture"
#endif

/* Go on to the next instruction unless it is this call, which is allowed. */
#define PERMIT(call) {EQUAL, 0, 1, (call)}, {END, 0, 0, ALLOW}

static const struct instruction filter[] = {
    {LOAD, 0, 0, ARCHITECTURE_AT},
    {EQUAL, 1, 0, ARCHITECTURE},
    {END, 0, 0, KILL_PROCESS},
    {LOAD, 0, 0, NUMBER_AT},
#ifdef SYS_poll
    PERMIT(SYS_poll),
#endif
    PERMIT(SYS_ppoll),
    PERMIT(SYS_recvfrom),
    PERMIT(SYS_sendto),
    PERMIT(SYS_pread64), /* how full the queue of a TAP is */
    PERMIT(SYS_madvise),
    PERMIT(SYS_accept4), /* whoever sets the policy */
    PERMIT(SYS_close),
    PERMIT(SYS_clock_gettime), /* where the clock is not mapped */
    PERMIT(SYS_restart_syscall), /* what poll becomes when the process was stopped */
    PERMIT(SYS_read),
    PERMIT(SYS_write),
    PERMIT(SYS_exit_group),
    {END, 0, 0, KILL_PROCESS},
};

bool confine(void)
{
    struct program program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, MODE_FILTER, &program) == 0;
}
#endif
