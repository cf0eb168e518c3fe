/**
 * For `node --require`: from here on the kernel refuses one system call to the main thread and to all threads that
 * it starts, by a seccomp filter, as container engines do it. REFUSED_SYSCALL is its number, REFUSED_WITH the errno.
 * @see seccomp(2)
 */
import assert from 'node:assert/strict'
import koffi from 'koffi'

const PR_SET_NO_NEW_PRIVS = 38
const PR_SET_SECCOMP = 22
const SECCOMP_MODE_FILTER = 2
const SECCOMP_RET_ALLOW = 0x7fff0000
const SECCOMP_RET_ERRNO = 0x00050000
// <linux/bpf_common.h>
const loadWord = 0x20
const jumpIfEqual = 0x15
const giveBack = 0x06

const number = Number(process.env.REFUSED_SYSCALL)
const errno = Number(process.env.REFUSED_WITH)
const lib = koffi.load(null)
const prctl = lib.func('int prctl(int option, size_t a, size_t b, size_t c, size_t d)')

// struct sock_filter: code, jump if true, jump if false, value; the number is the first word of struct seccomp_data
const steps = [
  [loadWord, 0, 0, 0],
  [jumpIfEqual, 0, 1, number],
  [giveBack, 0, 0, SECCOMP_RET_ERRNO | errno],
  [giveBack, 0, 0, SECCOMP_RET_ALLOW]
] as const
const filter = Buffer.alloc(8 * steps.length)
for (const [i, [code, whenTrue, whenFalse, value]] of steps.entries()) {
  filter.writeUInt16LE(code, 8 * i)
  filter.writeUInt8(whenTrue, 8 * i + 2)
  filter.writeUInt8(whenFalse, 8 * i + 3)
  filter.writeUInt32LE(value, 8 * i + 4)
}
// struct sock_fprog
const program = Buffer.alloc(16)
program.writeUInt16LE(steps.length, 0)
program.writeBigUInt64LE(BigInt(koffi.address(filter)), 8)

assert.equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0)
assert.equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, Number(koffi.address(program)), 0, 0), 0)
const call = lib.func('int64_t syscall(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d)')
assert.equal(Number(call(number, -1, 0, 0, 0)), -1)
assert.equal(koffi.errno(), errno, 'the call is not refused')
