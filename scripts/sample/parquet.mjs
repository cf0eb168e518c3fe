// Invented weather stations of the island as Parquet: 8 row groups, sorted by height, so that a query for some heights
// reads the groups whose statistics have them, and of these the columns that it asks for.
import { parquetWriteBuffer } from 'hyparquet-writer'
import { heightAt } from './terrain.mjs'

const stations = 4096
const rowsPerGroup = stations / 8

export function parquet() {
  const rows = []
  for (let cell = 0; rows.length < stations; cell++) {
    // a grid with a step that meets no corner of the noise twice
    const x = ((cell * 89) % 997) / 997
    const y = ((cell * 233) % 991) / 991
    const height = heightAt(x, y)
    if (height < 0) continue
    rows.push({ x, y, height, temperature: Math.round((18 - height * 0.0065) * 10) / 10 })
  }
  rows.sort((a, b) => a.height - b.height || a.x - b.x || a.y - b.y)
  const column = (name, type, values) => ({ name, type, data: values })
  const buffer = parquetWriteBuffer({
    columnData: [
      column(
        'station',
        'INT32',
        rows.map((_, i) => i)
      ),
      column(
        'x',
        'DOUBLE',
        rows.map(({ x }) => x)
      ),
      column(
        'y',
        'DOUBLE',
        rows.map(({ y }) => y)
      ),
      column(
        'height',
        'INT32',
        rows.map(({ height }) => height)
      ),
      column(
        'temperature',
        'DOUBLE',
        rows.map(({ temperature }) => temperature)
      )
    ],
    rowGroupSize: rowsPerGroup
  })
  return Buffer.from(buffer)
}
