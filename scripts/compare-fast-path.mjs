// Compares answers with and without the fast path for far more requests than the test run does.
//
//   npm run build && npx tsc -b test
//   node scripts/compare-fast-path.mjs [REQUESTS] [SEED]     default: 200000 requests, a seed of the clock
//
// Prints how many requests were sent, how many the fast path answered, and what was different; exit status 1 then.
// 200,000 requests take about ten minutes on two cores. What fails is found again with the same seed.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const [requests = '200000', seed = `${Date.now() % 1_000_000_000}`] = process.argv.slice(2)
if (!/^\d+$/.test(requests) || !/^\d+$/.test(seed)) {
  console.error('compare-fast-path.mjs [REQUESTS] [SEED]: both are whole numbers')
  process.exit(2)
}
const test = fileURLToPath(
  new URL('../dist/test/e2e/fast-path-differences.test.js', import.meta.url)
)
console.log(`${requests} requests, seed ${seed}`)
const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', test], {
  stdio: 'inherit',
  env: { ...process.env, FAST_PATH_REQUESTS: requests, FAST_PATH_SEED: seed }
})
process.exit(status ?? 1)
