import type { TokenStore } from '../store/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Clock, canonicalText, describe, sha256, systemClock } from '../util/index.ts'
import type { NonceKey, NonceStore } from './nonce-store.ts'

/** What a {@link sharedNonceStore} may be told. */
export interface SharedNonceStoreOptions {
  /** How long a nonce is shared after it was set. Default 5 minutes. */
  readonly lifetimeMs?: number | undefined
  /** What the names of the entries begin with. Default `dpop-nonce:`. */
  readonly prefix?: string | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

/**
 * Servers give nonces that are good for minutes. One that is older is refused, and costs what having none costs: one more round trip.
 */
const LIFETIME_MS = 5 * 60_000

/**
 * Shares DPoP nonces (RFC 9449 section 8) through a token store, for processes that sign with one key. Names of entries are SHA-256
 * hashes that show neither origin nor thumbprint.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function sharedNonceStore(store: TokenStore, options: SharedNonceStoreOptions = {}): NonceStore {
  assertStore(store)
  assertOptions(options)
  const { lifetimeMs = LIFETIME_MS, prefix = 'dpop-nonce:', clock = systemClock } = options

  async function entryOf({ role, origin, jkt }: NonceKey): Promise<string> {
    return prefix + (await sha256(canonicalText(['nonce', role, origin, jkt])))
  }

  return {
    get: async (key) => store.get(await entryOf(key)),
    set: async (key, nonce) => store.set(await entryOf(key), nonce, clock.now() + lifetimeMs),
  }
}

function assertStore(store: unknown): void {
  for (const method of ['get', 'set']) {
    if (typeof Object(store)[method] !== 'function') throw optionInvalid(`a store with a method "${method}"`, store)
  }
}

function assertOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw optionInvalid('options to be an object', options)
  const { lifetimeMs, prefix, clock, ...others } = options as Readonly<Record<string, unknown>>
  for (const name of Object.keys(others)) {
    throw new ConfigurationError(`sharedNonceStore: expected options out of lifetimeMs, prefix, clock, got "${name}"`, {
      code: 'option_unknown',
    })
  }
  const isLength = typeof lifetimeMs === 'number' && lifetimeMs > 0 && Number.isFinite(lifetimeMs)
  if (lifetimeMs !== undefined && !isLength) {
    throw optionInvalid('lifetimeMs to be milliseconds above zero', lifetimeMs)
  }
  if (prefix !== undefined && typeof prefix !== 'string') throw optionInvalid('prefix to be a string', prefix)
  if (clock !== undefined && typeof Object(clock).now !== 'function') {
    throw optionInvalid('clock to have a method "now"', clock)
  }
}

function optionInvalid(expected: string, came: unknown): ConfigurationError {
  return new ConfigurationError(`sharedNonceStore: expected ${expected}, got ${describe(came)}`, {
    code: 'option_invalid',
  })
}
