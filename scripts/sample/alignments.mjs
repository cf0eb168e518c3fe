// Invented DNA reads, aligned to two invented chromosomes, as BAM with its index. samtools does
// the encoding.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const chromosomes = { chr1: 400_000, chr2: 200_000 } // bases
const basesPerRead = 100
const basesBetweenReads = 300

/** Returns the names of the files, as far as they are there. */
export function writeAlignments(dir) {
  const bam = join(dir, 'reads.bam')
  const view = spawnSync('samtools', ['view', '--no-PG', '-b', '-o', bam, '-'], { input: sam() })
  if (view.error) console.error('samtools is missing: reads.bam and its index stay as they are')
  else if (view.status !== 0) throw new Error(`samtools view failed: ${view.stderr}`)
  else {
    const index = spawnSync('samtools', ['index', bam])
    if (index.status !== 0) throw new Error(`samtools index failed: ${index.stderr}`)
  }
  return ['reads.bam', 'reads.bam.bai'].filter((name) => existsSync(join(dir, name)))
}

function sam() {
  const random = randomIntegers()
  const lines = ['@HD\tVN:1.6\tSO:coordinate']
  for (const [name, bases] of Object.entries(chromosomes))
    lines.push(`@SQ\tSN:${name}\tLN:${bases}`)
  let number = 0
  for (const [name, bases] of Object.entries(chromosomes)) {
    let position = 1 + random(basesBetweenReads)
    while (position + basesPerRead <= bases) {
      const read = Array.from({ length: basesPerRead }, () => 'ACGT'[random(4)]).join('')
      const flags = random(2) === 0 ? 0 : 16 // on the reverse strand
      const fields = [`read${++number}`, flags, name, position, 60, `${basesPerRead}M`, '*', 0, 0]
      lines.push([...fields, read, 'I'.repeat(basesPerRead)].join('\t'))
      position += 1 + random(2 * basesBetweenReads)
    }
  }
  return `${lines.join('\n')}\n`
}

/** The same sequence on every machine: a linear congruential generator, its upper bits. */
function randomIntegers() {
  let state = 20260101
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}
