import { signEncoded } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Awaitable, base64url, randomId } from '../util/index.ts'
import type { DPoPKey } from './dpop-key.ts'

/** What one proof is about. */
export interface ProofContent {
  readonly method: string
  readonly url: URL
  /** When it is made, in milliseconds since the epoch, by the clock that the server goes by. */
  readonly wallTime: number
  readonly nonce?: string | undefined
  /** SHA-256 of the access token that goes along, in base64url. */
  readonly ath?: string | undefined
  /** Further claims. */
  readonly claims?: ProofClaims | undefined
}

/** Claims beside those of RFC 9449 section 4.2. */
export type ProofClaims = Readonly<Record<string, unknown>>

const RESERVED: ReadonlySet<string> = new Set(['jti', 'htm', 'htu', 'iat', 'ath', 'nonce'])

/**
 * Makes a DPoP proof (RFC 9449 section 4.2): at once where the signer signs at once.
 *
 * @throws ConfigurationError with code `proof_claims_invalid` or `signature_invalid`; what the signer throws.
 */
export function proofOf(
  { signer, header }: DPoPKey,
  { method, url, wallTime, nonce, ath, claims }: ProofContent,
  signal?: AbortSignal,
): Awaitable<string> {
  if (claims !== undefined) assertProofClaims(claims)
  // What is undefined is left out.
  const own = {
    jti: randomId(),
    htm: method.toUpperCase(),
    htu: htuOf(url),
    iat: Math.floor(wallTime / 1000),
    ath,
    nonce,
  }
  const payload = claims === undefined ? JSON.stringify(own) : textWith(own, claims)
  return signEncoded(signer, `${header}.${base64url(payload)}`, signal)
}

/** The further claims are made text by themselves, and read again: what they do to be serialised must not reach the rest of the proof. */
function textWith(own: object, claims: ProofClaims): string {
  let plain: unknown
  try {
    plain = JSON.parse(JSON.stringify(claims))
  } catch (cause) {
    throw invalid('claims that JSON can hold', 'another value', cause)
  }
  assertProofClaims(plain)
  return JSON.stringify({ ...plain, ...own })
}

/** The target as it is sent, without query and fragment (RFC 9449 section 4.2). Nothing is encoded or decoded on top of that. */
export function htuOf(url: URL): string {
  const { href } = url
  // Cut out of the whole, which takes a third of the time; user information, which does not belong there, takes the other way.
  if (href.includes('@')) return url.origin + url.pathname
  const end = href.search(/[?#]/)
  return end === -1 ? href : href.slice(0, end)
}

/**
 * Refuses further claims that cannot be sent, or that say what a proof says itself.
 *
 * @throws ConfigurationError with code `proof_claims_invalid`.
 */
export function assertProofClaims(claims: unknown): asserts claims is ProofClaims {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw invalid('an object of claims', 'something else')
  }
  const reserved = Object.keys(claims).find((name) => RESERVED.has(name))
  if (reserved !== undefined) throw invalid(`claims beside ${[...RESERVED].join(', ')}`, `"${reserved}"`)
}

function invalid(expected: string, came: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError(`proofClaims: expected ${expected}, got ${came}`, {
    code: 'proof_claims_invalid',
    cause,
  })
}
