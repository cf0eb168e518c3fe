// An invented island that fills the unit square (x to the east, y to the south): its heights in
// metres and its pictures. Adds, multiplies and divides only, so that every machine gets the same island.
import { png } from './png.mjs'

// Sea from deep to shallow, then land from the beach to the snow; red, green, blue.
const seaColours = gradient([24, 58, 110], [96, 160, 200], 8)
const landColours = [
  ...gradient([222, 208, 160], [120, 168, 92], 3),
  ...gradient([104, 156, 84], [176, 152, 96], 5),
  ...gradient([160, 130, 96], [250, 250, 250], 8)
]
const shades = 10
const metresPerSeaColour = 200
const metresPerLandColour = 150

/** Height in metres at a point of the unit square, about -5200 to 1800; the sea is below 0. */
export function heightAt(x, y) {
  let sum = 0
  let weight = 0.5
  let cells = 4
  for (let octave = 0; octave < 6; octave++) {
    sum += weight * smoothNoise(x * cells, y * cells, octave)
    weight /= 2
    cells *= 2
  }
  const fromCentre = ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)) * 4
  return Math.round(6400 * (sum - 0.36) - 2600 * fromCentre)
}

/**
 * A PNG of a square part of the unit square, lit from the north-west.
 * @param {{x: number, y: number, size: number}} area its north-west corner and the length of its sides
 * @param {number} pixels width and height of the picture
 */
export function picture(area, pixels) {
  const indices = new Uint8Array(pixels * pixels)
  const step = area.size / pixels
  for (let row = 0; row < pixels; row++) {
    for (let column = 0; column < pixels; column++) {
      const x = area.x + (column + 0.5) * step
      const y = area.y + (row + 0.5) * step
      indices[row * pixels + column] = colourIndex(x, y)
    }
  }
  return png(pixels, pixels, palette(), indices)
}

function palette() {
  const shaded = landColours.flatMap((colour) =>
    Array.from({ length: shades }, (_, shade) =>
      colour.map((part) => Math.min(255, Math.round(part * (0.55 + (shade * 0.55) / (shades - 1)))))
    )
  )
  return [...seaColours, ...shaded]
}

function colourIndex(x, y) {
  const height = heightAt(x, y)
  if (height < 0) {
    const depth = Math.floor(-height / metresPerSeaColour)
    return Math.max(0, seaColours.length - 1 - depth)
  }
  const colour = Math.min(landColours.length - 1, Math.floor(height / metresPerLandColour))
  const away = 1 / 512
  const slope = heightAt(x + away, y + away) - heightAt(x - away, y - away)
  const shade = Math.round((shades - 1) * (0.6 - slope / 900))
  return seaColours.length + colour * shades + Math.max(0, Math.min(shades - 1, shade))
}

/** Noise between 0 and 1 that is smooth between the corners of cells of size 1. */
function smoothNoise(x, y, seed) {
  const cellX = Math.floor(x)
  const cellY = Math.floor(y)
  const alongX = ease(x - cellX)
  const alongY = ease(y - cellY)
  const north = mix(noise(cellX, cellY, seed), noise(cellX + 1, cellY, seed), alongX)
  const south = mix(noise(cellX, cellY + 1, seed), noise(cellX + 1, cellY + 1, seed), alongX)
  return mix(north, south, alongY)
}

/** A number between 0 and 1 that depends on nothing but three small integers. */
function noise(x, y, seed) {
  let hash = Math.imul(x, 374761393) ^ Math.imul(y, 668265263) ^ Math.imul(seed + 1, 1274126177)
  hash = Math.imul(hash ^ (hash >>> 13), 1103515245)
  hash = Math.imul(hash ^ (hash >>> 15), 2246822519)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

function ease(t) {
  return t * t * (3 - 2 * t)
}

function mix(from, to, t) {
  return from + (to - from) * t
}

function gradient(from, to, count) {
  return Array.from({ length: count }, (_, step) =>
    from.map((part, channel) => Math.round(mix(part, to[channel], step / (count - 1))))
  )
}
