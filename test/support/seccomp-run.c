/*
 * Runs a program under a filter of system calls, as systemd does for a unit with SystemCallFilter= and
 * SystemCallErrorNumber=: what is not on the list fails with one error, or kills the process.
 *
 *   seccomp-run ERRNO|kill PROGRAM [ARGUMENT...]
 *
 * The list is compiled in, because the numbers of system calls are known to the C compiler only:
 *   cc -O1 -DALLOWED='"allowed.inc"' seccomp-run.c, where allowed.inc has a line CALL(__NR_read) for each call
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "only x86_64 and aarch64"
#endif

/* the program is loaded once the filter is in place; the rest is what the list says */
#define CALL(number)                                     \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),   \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),

static struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#include ALLOWED
    /* the action of all others, set by main */
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: seccomp-run ERRNO|kill PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  const unsigned short count = sizeof filter / sizeof filter[0];
  if (strcmp(argv[1], "kill") != 0) {
    filter[count - 1].k = SECCOMP_RET_ERRNO | ((unsigned)atoi(argv[1]) & SECCOMP_RET_DATA);
  }
  const struct sock_fprog program = {.len = count, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("seccomp-run");
    return 1;
  }
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 1;
}
