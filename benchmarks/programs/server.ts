import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// Arguments: lifetime of tokens in seconds, how long the token endpoint takes in milliseconds.
const [lifetimeSeconds = 3600, delayMs = 0] = process.argv.slice(2).map(Number)
const JSON_BODY = JSON.stringify({ text: 'x'.repeat(200 - '{"text":""}'.length) })
let tokenRequests = 0

const server = createServer((request, response) => {
  if (request.url === '/token') {
    tokenRequests++
    // A token begins to age when its request arrives, the strictest reading, and tells when it dies.
    const deadAt = Date.now() + lifetimeSeconds * 1000
    const token = `token-${tokenRequests}-${deadAt}`
    request.resume()
    request.on('end', () => {
      const answer = (): void =>
        reply(JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: lifetimeSeconds }))
      if (delayMs > 0) setTimeout(answer, delayMs)
      else answer()
    })
  } else if (request.url === '/count') reply(String(tokenRequests))
  else reply(JSON_BODY)

  function reply(body: string): void {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
  }
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
