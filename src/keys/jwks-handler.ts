import { ConfigurationError } from '../token/index.ts'
import { sha256 } from '../util/index.ts'
import { type KeyRing, ringKeysOf } from './key-ring.ts'

/** How a JWKS is served. */
export interface JwksHandlerOptions {
  /** For how long a server may keep what it gets, in seconds. Default 300. Less than the ring's publish delay. */
  readonly maxAgeSeconds?: number | undefined
}

/** Answers a request. */
export type JwksHandler = (request: Request) => Promise<Response>

/**
 * Serves the public keys of a ring, for a client's `jwks_uri` (RFC 7591 section 2): `GET` and `HEAD`, with `Cache-Control` and
 * `ETag`.
 *
 * @throws ConfigurationError with code `option_invalid` when servers would keep a JWKS for longer than a new key waits before it signs.
 */
export function jwksHandler(ring: KeyRing, { maxAgeSeconds = 300 }: JwksHandlerOptions = {}): JwksHandler {
  const { publishDelayMs } = ringKeysOf(ring)
  if (!Number.isInteger(maxAgeSeconds) || maxAgeSeconds < 0 || maxAgeSeconds * 1000 > publishDelayMs) {
    throw new ConfigurationError(
      `jwksHandler: expected maxAgeSeconds to be a whole number of at most ${publishDelayMs / 1000}, the publish delay, got another`,
      { code: 'option_invalid' },
    )
  }
  return async ({ method, headers }) => {
    if (method !== 'GET' && method !== 'HEAD')
      return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } })
    const text = JSON.stringify(await ring.publicJwks())
    const etag = `"${await sha256(text)}"`
    const caching = { 'cache-control': `public, max-age=${maxAgeSeconds}`, etag }
    if (matches(headers.get('if-none-match'), etag)) return new Response(null, { status: 304, headers: caching })
    return new Response(method === 'HEAD' ? null : text, {
      headers: { ...caching, 'content-type': 'application/jwk-set+json', 'x-content-type-options': 'nosniff' },
    })
  }
}

/** `If-None-Match` (RFC 9110 section 13.1.2), weak comparison. */
function matches(condition: string | null, etag: string): boolean {
  if (condition === null) return false
  return condition.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}
