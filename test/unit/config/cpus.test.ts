import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cgroupCpus, grantedCpus, parseCfsQuota, parseCpuMax } from '#src/config/cpus.ts'

/** Reads from a table instead of the machine. */
function files(texts: Readonly<Record<string, string>>) {
  return (file: string) => texts[file]
}

describe('the CPUs that a cgroup grants', () => {
  it('cpu.max of v2 is quota and period, or max', () => {
    const check = (text: string | undefined, cpus: number) =>
      assert.equal(parseCpuMax(text), cpus, text)
    check('200000 100000\n', 2)
    check('50000 100000\n', 0.5)
    check('max 100000\n', Number.POSITIVE_INFINITY)
    check(undefined, Number.POSITIVE_INFINITY)
    check('', Number.POSITIVE_INFINITY)
    check('200000', Number.POSITIVE_INFINITY)
    check('0 0', Number.POSITIVE_INFINITY)
    check('-1 100000', Number.POSITIVE_INFINITY)
  })

  it('cpu.cfs_quota_us of v1 is -1 without a limit', () => {
    assert.equal(parseCfsQuota('150000\n', '100000\n'), 1.5)
    assert.equal(parseCfsQuota('-1\n', '100000\n'), Number.POSITIVE_INFINITY)
    assert.equal(parseCfsQuota(undefined, '100000\n'), Number.POSITIVE_INFINITY)
    assert.equal(parseCfsQuota('150000\n', undefined), Number.POSITIVE_INFINITY)
  })

  it('the lowest limit of the group and of those above it holds (v2)', () => {
    const read = files({
      '/proc/self/cgroup': '0::/pods/a/b\n',
      '/sys/fs/cgroup/pods/a/b/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/pods/a/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/pods/cpu.max': '800000 100000\n'
    })
    assert.equal(cgroupCpus(read), 3)
  })

  it('inside a container the group is the root of the mount (v2)', () => {
    const read = files({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cpu.max': '200000 100000'
    })
    assert.equal(cgroupCpus(read), 2)
  })

  it("a container may see the machine's path and only its own folder (v1)", () => {
    const read = files({
      '/proc/self/cgroup': '5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/docker/1\n',
      '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '400000\n',
      '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n'
    })
    assert.equal(cgroupCpus(read), 4)
  })

  it('whole CPUs count, at least one, and no more than the machine has', () => {
    const limited = (quota: number) =>
      files({ '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': `${quota} 100000` })
    assert.equal(grantedCpus(limited(250_000), 8), 2)
    assert.equal(grantedCpus(limited(20_000), 8), 1)
    assert.equal(grantedCpus(limited(1_600_000), 8), 8)
    assert.equal(grantedCpus(files({}), 8), 8)
  })
})
