/** Page faults and block input, which prom-client's default metrics lack; read when they are scraped. */
import { Counter, type Registry } from 'prom-client'
import { threadFaults } from '../storage/native/rusage.ts'

/** @see getrusage(2): RUSAGE_SELF for the process, RUSAGE_THREAD for the thread that runs JavaScript */
export function registerPageFaults(registry: Registry): void {
  const registers = [registry]
  new Counter({
    name: 'process_page_faults_total',
    help: 'Page faults of the whole process: minor without, major with a wait for storage',
    labelNames: ['kind'],
    registers,
    collect() {
      const { minorPageFault, majorPageFault } = process.resourceUsage()
      this.reset()
      this.inc({ kind: 'minor' }, minorPageFault)
      this.inc({ kind: 'major' }, majorPageFault)
    }
  })
  new Counter({
    name: 'event_loop_page_faults_total',
    help: 'Page faults of the thread that runs JavaScript alone: a major one stops every connection',
    labelNames: ['kind'],
    registers,
    collect() {
      const faults = threadFaults()
      this.reset()
      this.inc({ kind: 'minor' }, faults.minor)
      this.inc({ kind: 'major' }, faults.major)
    }
  })
  new Counter({
    name: 'process_block_input_bytes_total',
    help: 'Bytes that the process made the kernel fetch from storage, by reads and by major faults alike',
    registers,
    collect() {
      this.reset()
      // ru_inblock counts in blocks of 512 bytes on Linux
      this.inc(process.resourceUsage().fsRead * 512)
    }
  })
}
