// Writes a ZIP archive (APPNOTE.TXT §4.3): deflated members, then the central directory, which a
// reader finds by a suffix range.
import { deflateRawSync } from 'node:zlib'
import { crc32 } from './crc32.mjs'

const version = 20 // 2.0, the first with deflate
const deflated = 8
const date = 0x5c21 // 2026-01-01 as in MS-DOS

/** @param {Record<string, Buffer>} members contents by ASCII name */
export function zip(members) {
  const local = []
  const central = []
  let offset = 0
  for (const [name, content] of Object.entries(members)) {
    const data = deflateRawSync(content, { level: 9 })
    const fields = [
      ...[u16(version), u16(0), u16(deflated), u16(0), u16(date), u32(crc32(content))],
      ...[u32(data.length), u32(content.length), u16(name.length), u16(0)]
    ]
    const record = Buffer.concat([u32(0x04034b50), ...fields, Buffer.from(name, 'latin1'), data])
    // After the shared fields: comment length, disk, internal and external attributes, offset.
    const own = [u16(0), u16(0), u16(0), u32(0), u32(offset), Buffer.from(name, 'latin1')]
    local.push(record)
    central.push(Buffer.concat([u32(0x02014b50), u16(version), ...fields, ...own]))
    offset += record.length
  }
  const directory = Buffer.concat(central)
  const end = [u32(0x06054b50), u16(0), u16(0), u16(central.length), u16(central.length)]
  end.push(u32(directory.length), u32(offset), u16(0))
  return Buffer.concat([...local, directory, ...end])
}

function u16(value) {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function u32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
