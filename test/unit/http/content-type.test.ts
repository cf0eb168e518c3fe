/** Content-Type by name, for what the field reads by ranges. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { contentTypeOf } from '#src/http/content-type.ts'

const unknown = 'application/octet-stream'

function rows(table: Readonly<Record<string, string>>): void {
  for (const [path, contentType] of Object.entries(table)) {
    it(`${path} is ${contentType}`, () => {
      assert.equal(contentTypeOf(path), contentType)
    })
  }
}

describe('the formats of the field', () => {
  rows({
    'world.pmtiles': 'application/vnd.pmtiles',
    'world.mbtiles': 'application/vnd.sqlite3',
    'trips.parquet': 'application/vnd.apache.parquet',
    'trips.arrow': 'application/vnd.apache.arrow.file',
    'reads.bam': unknown,
    'reads.bam.bai': unknown,
    'reads.cram': unknown,
    'reads.cram.crai': unknown,
    'calls.vcf': 'text/x-vcf; charset=utf-8',
    'calls.vcf.gz': 'application/gzip',
    'calls.vcf.gz.tbi': unknown,
    'ref.fa': 'text/x-fasta; charset=utf-8',
    'dem.tif': 'image/tiff',
    'dem.tiff': 'image/tiff',
    'roads.geojson': 'application/geo+json',
    'roads.fgb': 'application/x-flatgeobuf',
    'points.laz': 'application/vnd.laszip',
    'cube.nc': 'application/netcdf',
    'cube.h5': 'application/x-hdf5'
  })
})

describe('the parts of a Zarr', () => {
  rows({
    'cube.zarr/.zarray': 'application/json',
    'cube.zarr/.zattrs': 'application/json',
    'cube.zarr/.zgroup': 'application/json',
    'cube.zarr/.zmetadata': 'application/json',
    'cube.zarr/zarr.json': 'application/json',
    'cube.zarr/0.0.0': unknown,
    'cube.zarr/12.345': unknown,
    'cube.zarr/c/0/0/0': unknown
  })
})

describe('what everybody serves', () => {
  rows({
    'index.html': 'text/html; charset=utf-8',
    'notes.txt': 'text/plain; charset=utf-8',
    'table.csv': 'text/csv; charset=utf-8',
    'data.json': 'application/json',
    'paper.pdf': 'application/pdf',
    'film.mp4': 'video/mp4',
    'film/0001.ts': 'video/mp2t',
    'picture.jpg': 'image/jpeg',
    'picture.png': 'image/png',
    'disk.zip': 'application/zip'
  })
})

describe('the name alone decides', () => {
  rows({
    README: unknown,
    'a.': unknown,
    'a.nobody-knows-this': unknown,
    '.hidden': unknown,
    'folder.html/README': unknown,
    'folder.tif/data.csv': 'text/csv; charset=utf-8',
    'DEM.TIF': 'image/tiff',
    'Trips.Parquet': 'application/vnd.apache.parquet',
    'a.b.c.png': 'image/png',
    png: unknown,
    'a.__proto__': unknown,
    'a.constructor': unknown
  })

  it('gives a media type of one line for any name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webPath()), (path) => {
        assert.match(contentTypeOf(`a.${path}`), /^[\w.+-]+\/[\w.+-]+(; charset=utf-8)?$/)
      })
    )
  })
})
