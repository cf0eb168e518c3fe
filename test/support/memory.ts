/**
 * Memory by its address, read by the kernel as it reads what is sent: where a mapped file has become shorter, that
 * is an error and not a SIGBUS, which would end the process.
 */
import assert from 'node:assert/strict'
import { constants } from 'node:os'
import koffi from 'koffi'
import { addressOf } from '#src/storage/native/libc.ts'

interface Span {
  readonly address: number
  readonly length: number
}

const library = koffi.load(null)
koffi.struct('TestIoVector', { base: 'intptr_t', length: 'size_t' })
const processVmReadv = library.func(
  'int64_t process_vm_readv(int pid, TestIoVector *local, size_t localCount, TestIoVector *remote, size_t remoteCount, size_t flags)'
)

/**
 * @returns a copy; shorter than was asked for where the rest cannot be read, `EFAULT` when nothing can
 * @see process_vm_readv(2)
 */
export function readMemory(address: number, length: number): Buffer | 'EFAULT' {
  const into = Buffer.alloc(length)
  const local = { base: addressOf(into), length }
  const remote = { base: address, length }
  const count = Number(processVmReadv(process.pid, local, 1, remote, 1, 0))
  if (count >= 0) return into.subarray(0, count)
  assert.equal(koffi.errno(), constants.errno.EFAULT)
  return 'EFAULT'
}

/** The bytes of a window, mapped or copied. */
export function bytesOf({ address, length }: Span): Buffer {
  const bytes = readMemory(address, length)
  assert.ok(bytes !== 'EFAULT' && bytes.length === length, 'a window that cannot be read')
  return bytes
}
