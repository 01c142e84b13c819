import { ConfigurationError } from '../token/index.ts'
import { type Clock, describe, systemClock } from '../util/index.ts'
import type { JsonWebKey, PrivateKey } from './private-key.ts'
import { publicJwkOf } from './public-jwk.ts'
import { RingEntry } from './ring-entry.ts'
import { type KeyOptions, type PreparedKey, prepareKey } from './signer-from.ts'

/** One key of a `KeyRing`. It needs a `kid`, its own or one that is given here. */
export interface RingKey extends KeyOptions {
  readonly key: PrivateKey
  /**
   * Since when the public key has been where the server finds it, in milliseconds since the epoch. Default: long ago for keys that the
   * ring is made with, now for keys that are added.
   */
  readonly publishedAt?: number | undefined
}

/** When keys come into use and go out of it. */
export interface KeyRingOptions {
  /** How long a key has to be published before it signs, in milliseconds: as long as servers keep a JWKS. Default 10 minutes. */
  readonly publishDelayMs?: number | undefined
  /** How long a key is kept at the least after a newer one has come into use, in milliseconds. Default 24 hours. */
  readonly retireAfterMs?: number | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

/** Signing keys that follow each other without a gap. */
export interface KeyRing {
  /**
   * Publishes another key at once, and signs with it when it has been published for long enough.
   *
   * @throws ConfigurationError with code `key_invalid`, also for a `kid` that the ring has already.
   */
  add(key: RingKey): void
  /** All public keys that a server has to know by now (RFC 7517 section 5). */
  publicJwks(): Promise<JsonWebKeySet>
}

/** JWK Set (RFC 7517 section 5). */
export interface JsonWebKeySet {
  readonly keys: readonly JsonWebKey[]
}

/** What a client authentication needs of a ring. */
export interface RingKeys {
  /** The keys to try at one server, best first; never none. */
  inOrder(server: string): readonly PreparedKey[]
  refused(key: PreparedKey, server: string): void
  accepted(key: PreparedKey, server: string, expiresAt: number | undefined): void
}

const PUBLISH_DELAY_MS = 10 * 60_000
const RETIRE_AFTER_MS = 24 * 60 * 60_000

const inner = new WeakMap<KeyRing, RingKeys & { readonly publishDelayMs: number }>()

/**
 * Makes a ring of signing keys, oldest first. The newest key that has been published for long enough signs. A server that does not
 * know it yet gets the one before it. An older key is retired a day after its successor has come into use, when the last token that
 * it obtained has expired.
 *
 * @throws ConfigurationError with code `key_invalid` for a key that cannot sign, has no `kid`, or shares it with another; with code
 * `option_invalid` for odd times.
 */
export function keyRing(keys: readonly RingKey[], options: KeyRingOptions = {}): KeyRing {
  const { publishDelayMs = PUBLISH_DELAY_MS, retireAfterMs = RETIRE_AFTER_MS, clock = systemClock } = options
  assertMs('publishDelayMs', publishDelayMs)
  assertMs('retireAfterMs', retireAfterMs)
  const madeAt = clock.now()
  let entries: readonly RingEntry[] = []

  function add({ key, publishedAt, ...keyOptions }: RingKey, defaultPublishedAt: number): void {
    const prepared = prepareKey(key, keyOptions)
    if (prepared.kid === undefined) throw ringInvalid('every key to have a kid', 'one without')
    if (entries.some(({ prepared: { kid } }) => kid === prepared.kid)) throw ringInvalid('every kid once', 'one twice')
    const since = publishedAt ?? defaultPublishedAt
    if (Number.isNaN(since)) throw ringInvalid('publishedAt to be milliseconds since the epoch', 'no number')
    const usableAt = since + publishDelayMs
    // Sorted by age; of two with one age the later addition is the newer one.
    entries = [...entries, new RingEntry(prepared, usableAt)].sort((a, b) => a.usableAt - b.usableAt)
  }

  /** Lets go of keys whose time is over. */
  function current(now: number): readonly RingEntry[] {
    entries = entries.filter((entry, index) => {
      const successor = entries[index + 1]
      if (successor === undefined || successor.usableAt > now) return true
      // A ring that has just been made does not know what its keys obtained before.
      return now < Math.max(entry.obtainedUntil, Math.max(successor.usableAt, madeAt) + retireAfterMs)
    })
    return entries
  }

  for (const key of keys) add(key, Number.NEGATIVE_INFINITY)
  if (entries.length === 0) throw ringInvalid('at least one key', 'none')
  const ring: KeyRing = {
    add: (key) => add(key, clock.now()),
    async publicJwks() {
      const signers = await Promise.all(current(clock.now()).map(({ prepared }) => prepared.load()))
      return { keys: signers.map(publicJwkOf) }
    },
  }
  inner.set(ring, { ...ringKeys(current, clock), publishDelayMs })
  return ring
}

function ringKeys(current: (now: number) => readonly RingEntry[], clock: Clock): RingKeys {
  const entryOf = (key: PreparedKey): RingEntry | undefined =>
    current(clock.now()).find(({ prepared }) => prepared === key)
  return {
    inOrder(server) {
      const now = clock.now()
      const entries = current(now)
      const newestFirst = entries.filter(({ usableAt }) => usableAt <= now).reverse()
      // A key that is not in use yet is better than nothing.
      const ordered = [...newestFirst, ...entries.filter(({ usableAt }) => usableAt > now)]
      const byAge = ordered
        .filter((entry) => entry.refusedUntil(server) > now)
        .sort((a, b) => a.refusedUntil(server) - b.refusedUntil(server))
      const hopeful = ordered.filter((entry) => entry.refusedUntil(server) <= now)
      // A server that refuses all of them refuses the client: one request tells as much as many.
      const chosen = hopeful.length === 0 ? byAge.slice(0, 1) : [...hopeful, ...byAge]
      return chosen.map(({ prepared }) => prepared)
    },
    refused: (key, server) => entryOf(key)?.refused(server, clock.now()),
    accepted: (key, server, expiresAt) => entryOf(key)?.accepted(server, expiresAt),
  }
}

/** Whether a value is a ring of keys. */
export function isKeyRing(value: unknown): value is KeyRing {
  return inner.has(value as KeyRing)
}

/** What a client authentication needs of a ring, and how long its keys are published before they sign. */
export function ringKeysOf(ring: KeyRing): RingKeys & { readonly publishDelayMs: number } {
  const keys = inner.get(ring)
  if (keys === undefined) throw ringInvalid('a ring that keyRing made', 'another object')
  return keys
}

function assertMs(option: string, ms: unknown): void {
  if (typeof ms === 'number' && ms >= 0) return
  throw new ConfigurationError(`keyRing: expected ${option} to be milliseconds, zero or more, got ${describe(ms)}`, {
    code: 'option_invalid',
  })
}

function ringInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`keyRing: expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
