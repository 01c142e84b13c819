import { createHash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { type Answer, type Handler, type SeenRequest, tokenJson } from './hostile-server.ts'

/** A DPoP proof as it came in. */
export interface SeenProof {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** The proof of a request; fails when it has none, or two. */
export function proofOf({ headers }: Pick<SeenRequest, 'headers'>): SeenProof {
  const value = headers.dpop
  if (typeof value !== 'string') throw new Error('expected a request with one DPoP header')
  return { header: { ...decodeProtectedHeader(value) }, claims: decodeJwt(value) }
}

/** `ath` of an access token (RFC 9449 section 4.2). */
export function athOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

/** An API's demand for a nonce (RFC 9449 section 9). */
export function nonceDemand(
  nonce: string | readonly string[] | undefined,
  challenge: string | readonly string[] = 'DPoP error="use_dpop_nonce"',
): Answer {
  return {
    status: 401,
    headers: { 'www-authenticate': challenge, ...(nonce !== undefined && { 'dpop-nonce': nonce }) },
  }
}

/** Demands a nonce of every request that has another one, and leaves the rest to `handler`. */
export function demandingNonce(nonce: () => string, handler: Handler): Handler {
  return (request) => (proofOf(request).claims.nonce === nonce() ? handler(request) : nonceDemand(nonce()))
}

/** An authorization server's demand for a nonce (RFC 9449 section 8). */
export function nonceRefusal(nonce: string | readonly string[] | undefined): Answer {
  return {
    status: 400,
    body: JSON.stringify({ error: 'use_dpop_nonce' }),
    ...(nonce !== undefined && { headers: { 'dpop-nonce': nonce } }),
  }
}

/** An authorization server that takes what it gets: token, pushed authorization and revocation requests. */
export const accepting: Handler = (request) => {
  if (request.url === '/request') return { status: 201, body: '{"request_uri":"urn:example:request","expires_in":60}' }
  return request.url === '/token' ? tokenJson({ token_type: 'DPoP' })(request) : {}
}
