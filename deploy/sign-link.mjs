// Signs a link to a file for the recipes in deploy/nginx and deploy/haproxy: whoever has it may read that file, by
// ranges too, until it expires.
//
//   RANGE_SERVER_SECRET=… node deploy/sign-link.mjs https://files.example/files/world.pmtiles [SECONDS, 3600]
//
// The secret is what the proxy has, 32 characters or more: `openssl rand -hex 32`.
import { createHash } from 'node:crypto'

const [link, seconds = '3600'] = process.argv.slice(2)
const secret = process.env.RANGE_SERVER_SECRET ?? ''
const isComplete = link !== undefined && URL.canParse(link) && /^[1-9]\d*$/.test(seconds)
if (!isComplete || secret.length < 32) {
  console.error(
    'usage: RANGE_SERVER_SECRET=(32 characters or more) node deploy/sign-link.mjs URL [SECONDS]'
  )
  process.exit(2)
}
const url = new URL(link)
const expires = Math.floor(Date.now() / 1000) + Number(seconds)
// the path as it will be sent, with its percent-encoding
const signed = `${secret} ${expires} ${url.pathname} ${secret}`
const signature = createHash('md5').update(signed).digest('base64url')
url.search = new URLSearchParams({ expires: `${expires}`, signature }).toString()
console.log(url.href)
