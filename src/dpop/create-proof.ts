import type { PrivateKey } from '../keys/index.ts'
import { type AccessToken, ConfigurationError } from '../token/index.ts'
import { type Awaitable, type Clock, parseUrl, redactedUrl, systemClock } from '../util/index.ts'
import { type DPoPKey, type LoadDPoPKey, prepareDPoPKey } from './dpop-key.ts'
import { type ProofClaims, proofOf } from './proof.ts'
import { athOf, hashOf } from './token-hash.ts'

/** What a proof that is made by hand is about. */
export interface CreateProofOptions {
  /** HTTP method of the request, `htm`. */
  readonly method: string
  /** URL of the request; query and fragment are left out of `htu`. */
  readonly url: string | URL
  /** The nonce that the server gave last. */
  readonly nonce?: string | undefined
  /** The access token that is sent along; none in a request to the authorization server. */
  readonly accessToken?: AccessToken | string | undefined
  /** Further claims. */
  readonly claims?: ProofClaims | undefined
  /** Where `iat` comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
  readonly signal?: AbortSignal | undefined
}

/** By key object, so that a key is made ready once. */
const loaders = /* @__PURE__ */ new WeakMap<object, LoadDPoPKey>()
/** Those that are ready. */
const ready = /* @__PURE__ */ new WeakMap<object, DPoPKey>()

/**
 * Makes one DPoP proof (RFC 9449 section 4.2), for a transport of one's own. Good for one request: every try needs another.
 *
 * @throws ConfigurationError with code `key_invalid`, `url_invalid` or `proof_claims_invalid`; what the signer throws.
 */
export async function createProof(key: PrivateKey, options: CreateProofOptions): Promise<string> {
  const { method, nonce, accessToken, claims, clock = systemClock, signal } = options
  const url = typeof options.url === 'string' ? parseUrl(options.url) : options.url
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    const came = url === undefined ? 'something else' : redactedUrl(url)
    throw new ConfigurationError(`createProof: expected an absolute http or https URL, got ${came}`, {
      code: 'url_invalid',
    })
  }
  const wallTime = clock.wallTime()
  const sign = (dpopKey: DPoPKey, ath: string | undefined): Awaitable<string> =>
    proofOf(dpopKey, { method, url, wallTime, nonce: nonce ?? undefined, ath, claims }, signal)
  const ath = accessToken === undefined ? undefined : hash(accessToken)
  const dpopKey = typeof key === 'object' ? ready.get(key) : undefined
  // What is there is not waited for.
  if (dpopKey !== undefined && typeof ath !== 'object') return sign(dpopKey, ath)
  return sign(await readyKey(key), await ath)
}

function hash(token: AccessToken | string): Awaitable<string> {
  return typeof token === 'string' ? hashOf(token) : athOf(token)
}

async function readyKey(key: PrivateKey): Promise<DPoPKey> {
  if (typeof key !== 'object') return prepareDPoPKey(key)()
  const load = loaders.get(key) ?? prepareDPoPKey(key)
  loaders.set(key, load)
  const made = await load()
  ready.set(key, made)
  return made
}
