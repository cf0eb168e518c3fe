// The pictures of the island as a PMTiles archive: PNG tiles of zoom levels 0 to 2, one root
// directory, no leaf directories (PMTiles Version 3 Specification).
import { gzipSync } from 'node:zlib'
import { picture } from './terrain.mjs'

const maxZoom = 2
const tilePixels = 256
const headerBytes = 127
const maxLatitude = 85.0511287 // of web Mercator, degrees

export function pmtiles() {
  const tiles = allTiles()
  const directory = gzipSync(encodeDirectory(tiles), { level: 9 })
  const metadata = gzipSync(
    JSON.stringify({ name: 'island', description: 'An invented island', type: 'baselayer' }),
    { level: 9 }
  )
  const data = Buffer.concat(tiles.map(({ bytes }) => bytes))
  const header = encodeHeader({
    directoryBytes: directory.length,
    metadataBytes: metadata.length,
    dataBytes: data.length,
    tileCount: tiles.length
  })
  return Buffer.concat([header, directory, metadata, data])
}

/** In the order of their ids, so that the archive is clustered. */
function allTiles() {
  const tiles = []
  for (let zoom = 0; zoom <= maxZoom; zoom++) {
    const perSide = 2 ** zoom
    for (let x = 0; x < perSide; x++) {
      for (let y = 0; y < perSide; y++) {
        const area = { x: x / perSide, y: y / perSide, size: 1 / perSide }
        tiles.push({ id: tileId(zoom, x, y), bytes: picture(area, tilePixels) })
      }
    }
  }
  return tiles.sort((one, other) => one.id - other.id)
}

/** Position of a tile on the Hilbert curve of its zoom level, after all tiles of lower levels. */
function tileId(zoom, x, y) {
  const perSide = 2 ** zoom
  let id = (perSide * perSide - 1) / 3
  for (let half = perSide / 2; half >= 1; half /= 2) {
    const east = x >= half ? 1 : 0
    const south = y >= half ? 1 : 0
    id += half * half * ((3 * east) ^ south)
    x -= east * half
    y -= south * half
    if (south === 0) {
      if (east === 1) {
        x = half - 1 - x
        y = half - 1 - y
      }
      ;[x, y] = [y, x]
    }
  }
  return id
}

/** Five columns of varints: count, id differences, run lengths, lengths, offsets. */
function encodeDirectory(tiles) {
  return Buffer.from(
    [
      tiles.length,
      ...tiles.map(({ id }, index) => id - (tiles[index - 1]?.id ?? 0)),
      ...tiles.map(() => 1),
      ...tiles.map(({ bytes }) => bytes.length),
      ...tiles.map((_, index) => (index === 0 ? 1 : 0)) // offset + 1, or 0: right after the one before
    ].flatMap(varint)
  )
}

function varint(value) {
  const bytes = []
  while (value > 127) {
    bytes.push((value & 127) | 128)
    value >>>= 7
  }
  return [...bytes, value]
}

function encodeHeader({ directoryBytes, metadataBytes, dataBytes, tileCount }) {
  const header = Buffer.alloc(headerBytes)
  const metadataOffset = headerBytes + directoryBytes
  const dataOffset = metadataOffset + metadataBytes
  const none = 0
  const gzip = 2
  header.write('PMTiles', 'latin1')
  header[7] = 3 // version
  const numbers = [
    [headerBytes, directoryBytes],
    [metadataOffset, metadataBytes],
    [dataOffset, none], // leaf directories
    [dataOffset, dataBytes],
    [tileCount, tileCount, tileCount] // addressed tiles, entries, contents
  ]
  numbers.flat().forEach((number, index) => {
    header.writeBigUInt64LE(BigInt(number), 8 + index * 8)
  })
  header[96] = 1 // clustered
  header[97] = gzip // of the directory and the metadata
  header[98] = 1 // the tiles are not compressed again
  header[99] = 2 // PNG
  header[100] = 0
  header[101] = maxZoom
  const degrees = [-180, -maxLatitude, 180, maxLatitude]
  degrees.forEach((value, index) => {
    header.writeInt32LE(Math.round(value * 1e7), 102 + index * 4)
  })
  header[118] = 1 // zoom of the first view; its centre stays at 0, 0
  return header
}
