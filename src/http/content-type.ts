/** Content-Type by the file's name, never by its bytes: mapped bytes must not be read by JavaScript. */
import { Mime } from 'mime'
import otherTypes from 'mime/types/other.js'
import standardTypes from 'mime/types/standard.js'

const types = new Mime(standardTypes, otherTypes)
// Formats that are read by ranges and that the registry of file extensions lacks, or has under another type.
types.define(
  {
    'application/vnd.pmtiles': ['pmtiles'],
    'application/vnd.apache.parquet': ['parquet', 'geoparquet'],
    'application/vnd.apache.arrow.file': ['arrow', 'feather'],
    'application/vnd.apache.arrow.stream': ['arrows'],
    'application/vnd.sqlite3': ['sqlite', 'sqlite3', 'mbtiles', 'gpkg'],
    'application/vnd.duckdb': ['duckdb', 'ddb'],
    'application/x-hdf5': ['h5', 'hdf5', 'he5'],
    'application/netcdf': ['nc', 'nc4', 'cdf'],
    'application/x-flatgeobuf': ['fgb'],
    'application/vnd.las': ['las'],
    'application/vnd.laszip': ['laz'],
    'application/x-npy': ['npy'],
    'application/x-npz': ['npz'],
    'application/zstd': ['zst'],
    'application/gzip': ['gz', 'bgz'],
    'image/tiff': ['tif', 'tiff', 'btf', 'cog'],
    // htsget has names for the first two, which are not registered and which other servers do not send
    'application/octet-stream': ['bam', 'cram', 'bai', 'csi', 'tbi', 'crai', 'gzi', 'fai', 'bin'],
    'text/x-vcf': ['vcf'],
    'text/x-bed': ['bed'],
    'text/x-gff3': ['gff', 'gff3', 'gtf'],
    'text/x-fasta': ['fa', 'fasta', 'fna'],
    'text/x-fastq': ['fq', 'fastq'],
    // a video segment far more often than TypeScript, where files are read by ranges
    'video/mp2t': ['ts', 'm2ts'],
    'application/json': ['zarray', 'zgroup', 'zattrs', 'zmetadata']
  },
  true
)

/** @param path of the file; only its last name counts */
export function contentTypeOf(path: string): string {
  const dot = path.lastIndexOf('.')
  const extension = dot > path.lastIndexOf('/') ? path.slice(dot + 1) : ''
  if (extension === lastExtension) return lastType
  lastType = typeOf(extension)
  lastExtension = extension
  return lastType
}
// of many files that are asked for once, the next is like the last
let lastExtension: string | undefined
let lastType = ''

function typeOf(extension: string): string {
  // a number is the place of a Zarr chunk (0.0.123), not a format
  const known = /^\d*$/.test(extension) ? null : types.getType(extension)
  const type = known ?? 'application/octet-stream'
  return type.startsWith('text/') ? `${type}; charset=utf-8` : type
}
