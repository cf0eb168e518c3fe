// The heights of the island as a Cloud Optimized GeoTIFF: 16-bit metres in tiles, with two
// overviews, every directory before the first tile (TIFF 6.0; OGC 19-008 and 21-026).
import { deflateSync } from 'node:zlib'
import { heightAt } from './terrain.mjs'

const sizes = [512, 256, 128] // pixels per side: the image, then its overviews
const tileSize = 128
// Half the width of the square world of web Mercator (EPSG:3857), in metres.
const halfWorld = 20037508.342789244

const SHORT = 3
const LONG = 4
const DOUBLE = 12
const valueBytes = { [SHORT]: 2, [LONG]: 4, [DOUBLE]: 8 }

export function geoTiff() {
  const images = sizes.map((size) => ({ size, tiles: tilesOf(size) }))
  const headerBytes = 8
  const directoryOffsets = []
  let offset = headerBytes
  for (const image of images) {
    directoryOffsets.push(offset)
    offset += directory(image, 0, 0, 0).length
  }
  // The smallest overview comes first: what a viewer asks for first is near the directories.
  const firstTile = new Map()
  for (const image of images.toReversed()) {
    firstTile.set(image, offset)
    for (const tile of image.tiles) offset += tile.length
  }
  const directories = images.map((image, index) =>
    directory(
      image,
      directoryOffsets[index],
      firstTile.get(image),
      directoryOffsets[index + 1] ?? 0
    )
  )
  const header = Buffer.alloc(headerBytes)
  header.write('II', 'latin1') // little-endian
  header.writeUInt16LE(42, 2)
  header.writeUInt32LE(headerBytes, 4)
  return Buffer.concat([header, ...directories, ...images.toReversed().flatMap((i) => i.tiles)])
}

function tilesOf(size) {
  const tiles = []
  for (let top = 0; top < size; top += tileSize) {
    for (let left = 0; left < size; left += tileSize) tiles.push(tile(size, left, top))
  }
  return tiles
}

/** One tile, each row stored as differences between neighbours (predictor 2), then deflated. */
function tile(size, left, top) {
  const samples = Buffer.alloc(tileSize * tileSize * 2)
  for (let row = 0; row < tileSize; row++) {
    let previous = 0
    for (let column = 0; column < tileSize; column++) {
      const height = heightAt((left + column + 0.5) / size, (top + row + 0.5) / size)
      samples.writeUInt16LE((height - previous) & 0xffff, (row * tileSize + column) * 2)
      previous = height
    }
  }
  return deflateSync(samples, { level: 9 })
}

/** An image file directory with its longer values right behind it. */
function directory({ size, tiles }, ownOffset, tilesOffset, nextOffset) {
  const isOverview = size !== sizes[0]
  const offsets = []
  let offset = tilesOffset
  for (const bytes of tiles) {
    offsets.push(offset)
    offset += bytes.length
  }
  const fields = [
    [254, LONG, [isOverview ? 1 : 0]], // NewSubfileType: reduced resolution
    [256, LONG, [size]], // ImageWidth
    [257, LONG, [size]], // ImageLength
    [258, SHORT, [16]], // BitsPerSample
    [259, SHORT, [8]], // Compression: Deflate
    [262, SHORT, [1]], // PhotometricInterpretation: BlackIsZero
    [277, SHORT, [1]], // SamplesPerPixel
    [284, SHORT, [1]], // PlanarConfiguration: chunky
    [317, SHORT, [2]], // Predictor: horizontal differences
    [322, LONG, [tileSize]], // TileWidth
    [323, LONG, [tileSize]], // TileLength
    [324, LONG, offsets], // TileOffsets
    [325, LONG, tiles.map((bytes) => bytes.length)], // TileByteCounts
    [339, SHORT, [2]] // SampleFormat: signed integer
  ]
  if (!isOverview) fields.push(...georeference(size))
  return encodeDirectory(fields, ownOffset, nextOffset)
}

/** The image covers the whole world of web Mercator, north-west corner first. */
function georeference(size) {
  const metresPerPixel = (2 * halfWorld) / size
  const geoKeys = [
    [1024, 1], // GTModelType: projected
    [1025, 1], // GTRasterType: a pixel is an area
    [3072, 3857] // ProjectedCRS
  ]
  return [
    [33550, DOUBLE, [metresPerPixel, metresPerPixel, 0]], // ModelPixelScale
    [33922, DOUBLE, [0, 0, 0, -halfWorld, halfWorld, 0]], // ModelTiepoint
    [
      34735, // GeoKeyDirectory: version 1.1.0, then key, location 0 (the value itself), count, value
      SHORT,
      [1, 1, 0, geoKeys.length, ...geoKeys.flatMap(([key, value]) => [key, 0, 1, value])]
    ]
  ]
}

function encodeDirectory(fields, ownOffset, nextOffset) {
  const table = Buffer.alloc(2 + fields.length * 12 + 4)
  const longValues = []
  let longOffset = ownOffset + table.length
  table.writeUInt16LE(fields.length, 0)
  fields.forEach(([tag, type, values], index) => {
    const at = 2 + index * 12
    table.writeUInt16LE(tag, at)
    table.writeUInt16LE(type, at + 2)
    table.writeUInt32LE(values.length, at + 4)
    const encoded = encodeValues(type, values)
    if (encoded.length <= 4) {
      encoded.copy(table, at + 8)
    } else {
      table.writeUInt32LE(longOffset, at + 8)
      longValues.push(encoded)
      longOffset += encoded.length
    }
  })
  table.writeUInt32LE(nextOffset, table.length - 4)
  return Buffer.concat([table, ...longValues])
}

function encodeValues(type, values) {
  const encoded = Buffer.alloc(values.length * valueBytes[type])
  values.forEach((value, index) => {
    const at = index * valueBytes[type]
    if (type === DOUBLE) encoded.writeDoubleLE(value, at)
    else encoded.writeUIntLE(value, at, valueBytes[type])
  })
  return encoded
}
