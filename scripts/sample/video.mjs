// A video of a test pattern with a clock, as MP4 whose index stands first: a player that seeks asks for the range of
// the second that it wants. ffmpeg does the encoding.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Returns the name of the file, if it is there. */
export function writeVideo(dir) {
  const file = join(dir, 'clock.mp4')
  const { error, status, stderr } = spawnSync('ffmpeg', [
    ...['-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc=size=320x240:rate=10:duration=20'],
    // a key frame each second, so that a seek decodes little; one thread, for the same bytes each time
    ...['-c:v', 'libx264', '-preset', 'veryslow', '-crf', '30', '-g', '10', '-pix_fmt', 'yuv420p'],
    ...[
      '-threads',
      '1',
      '-movflags',
      '+faststart',
      '-fflags',
      '+bitexact',
      '-flags:v',
      '+bitexact',
      file
    ]
  ])
  if (error) console.error('ffmpeg is missing: clock.mp4 stays as it is')
  else if (status !== 0) throw new Error(`ffmpeg failed: ${stderr}`)
  return ['clock.mp4'].filter((name) => existsSync(join(dir, name)))
}
