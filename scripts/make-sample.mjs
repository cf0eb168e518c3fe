// Makes the files of sample/, all but its README.txt: `node scripts/make-sample.mjs`.
// Needs the development dependencies; the alignments need samtools and the video needs ffmpeg as well, and are left as
// they are without.
// A file's content is the same on every machine; its bytes may differ with the version of zlib.
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeAlignments } from './sample/alignments.mjs'
import { geoTiff } from './sample/geotiff.mjs'
import { offsetsText } from './sample/offsets.mjs'
import { parquet } from './sample/parquet.mjs'
import { pdf } from './sample/pdf.mjs'
import { pmtiles } from './sample/pmtiles.mjs'
import { picture } from './sample/terrain.mjs'
import { writeVideo } from './sample/video.mjs'
import { zip } from './sample/zip.mjs'

const sampleDir = join(dirname(dirname(fileURLToPath(import.meta.url))), 'sample')
const text = offsetsText()
const files = {
  'offsets.txt': text,
  'island.png': picture({ x: 0, y: 0, size: 1 }, 512),
  'island.tif': geoTiff(),
  'island.pmtiles': pmtiles(),
  'island.pdf': pdf(),
  'stations.parquet': parquet(),
  'archive.zip': zip({
    'hello.txt': Buffer.from('This member of the archive was read without the rest of it.\n'),
    'offsets.txt': text
  })
}

mkdirSync(sampleDir, { recursive: true })
for (const [name, bytes] of Object.entries(files)) writeFileSync(join(sampleDir, name), bytes)
const names = [...Object.keys(files), ...writeAlignments(sampleDir), ...writeVideo(sampleDir)]
for (const name of names) console.log(`${statSync(join(sampleDir, name)).size} ${name}`)
