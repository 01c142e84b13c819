import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

// Arguments: lifetime of tokens in seconds, how long the token endpoint takes in milliseconds, after how many milliseconds
// the API has another nonce: 0 for an API that wants no proofs.
const [lifetimeSeconds = 3600, delayMs = 0, nonceMs = 0] = process.argv.slice(2).map(Number)
const tokenType = nonceMs > 0 ? 'DPoP' : 'Bearer'
const JSON_BODY = JSON.stringify({ text: 'x'.repeat(200 - '{"text":""}'.length) })
let tokenRequests = 0
/** Nonces are numbered, so that the client's side can tell which of two is the newer one. */
let nonces = 1
let nonce = `1.${randomUUID()}`
if (nonceMs > 0) {
  setInterval(() => {
    nonce = `${++nonces}.${randomUUID()}`
  }, nonceMs)
}

const server = createServer((request, response) => {
  if (request.url === '/token') {
    tokenRequests++
    // A token begins to age when its request arrives, the strictest reading, and tells when it dies.
    const deadAt = Date.now() + lifetimeSeconds * 1000
    const token = `token-${tokenRequests}-${deadAt}`
    request.resume()
    request.on('end', () => {
      const answer = (): void =>
        reply(JSON.stringify({ access_token: token, token_type: tokenType, expires_in: lifetimeSeconds }))
      if (delayMs > 0) setTimeout(answer, delayMs)
      else answer()
    })
  } else if (request.url === '/count') reply(String(tokenRequests))
  else if (nonceMs === 0) reply(JSON_BODY)
  else {
    response.setHeader('dpop-nonce', nonce)
    if (request.url === '/open' || nonceIn(request) === nonce) reply(JSON_BODY)
    else response.writeHead(401, { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'content-length': 0 }).end()
  }

  function reply(body: string): void {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
  }
})

/** The nonce of a proof, whose signature is of no interest here. */
function nonceIn({ headers }: IncomingMessage): unknown {
  const [, payload] = String(headers.dpop).split('.')
  return payload === undefined ? undefined : JSON.parse(Buffer.from(payload, 'base64url').toString()).nonce
}

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
