// Writes PNG with a palette, 8 bits per pixel (PNG Specification, Third Edition, §5 and §11).
import { deflateSync } from 'node:zlib'
import { crc32 } from './crc32.mjs'

const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')

/**
 * @param {number[][]} palette at most 256 colours: red, green, blue
 * @param {Uint8Array} indices one palette index per pixel, row by row
 */
export function png(width, height, palette, indices) {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 8 // bits per pixel
  header[9] = 3 // indexed colour
  const rows = Buffer.alloc(height * (width + 1)) // each row after a byte 0: no filter
  for (let row = 0; row < height; row++) {
    rows.set(indices.subarray(row * width, (row + 1) * width), row * (width + 1) + 1)
  }
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0))
  ])
}

function chunk(type, data) {
  const typeAndData = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(typeAndData))
  return Buffer.concat([length, typeAndData, checksum])
}
