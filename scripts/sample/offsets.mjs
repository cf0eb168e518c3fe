// A text in which every line is 64 bytes and begins with its own offset, so that the answer to a
// range shows at a glance whether it is the right one.

const lineBytes = 64
const lines = 1024

export function offsetsText() {
  const text = Array.from({ length: lines }, (_, index) => {
    const offset = index * lineBytes
    const start = `${String(offset).padStart(8, '0')} is where line ${index + 1} of this file begins `
    return `${start.padEnd(lineBytes - 1, '.')}\n`
  })
  return Buffer.from(text.join(''))
}
