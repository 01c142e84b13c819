import { type EntryFault, harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { assertCount, assertMethods, assertOptions } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { createEncryptionRing, type EncryptionKeys } from './encryption-keys.ts'
import { MAX_SEALED_LENGTH, seal, unseal } from './envelope.ts'
import { createGenerations } from './generations.ts'
import { oneKey } from './key-uses.ts'
import { assertStore, type TokenStore } from './token-store.ts'
import { createTurns } from './turns.ts'

/** What an {@link encryptedStore} may be told. */
export interface EncryptedStoreOptions {
  /** Told of entries that count as missing (`entry_ignored`). */
  readonly telemetry?: Telemetry | undefined
  /** Characters that an encrypted entry may have: 4 for 3 bytes, and about 150 more. Default 262,144. */
  readonly maxLength?: number | undefined
  /** Of so many entries this process remembers how new they were. Default 10,000. */
  readonly maxEntries?: number | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

const SUBJECT = 'encryptedStore'
const MAX_ENTRIES = 10_000
/** Entries that nobody can read. The others may be of use to a process with another ring or another version. */
const USELESS: ReadonlySet<EntryFault> = new Set<EntryFault>(['too_long', 'malformed', 'not_authentic'])

/**
 * Encrypts what a store keeps, with AES-256-GCM, and gives only what was written for the key that is asked for.
 *
 * An entry that was altered, cut, copied from another key, put back after a newer one, or written in clear counts as missing; so does one
 * whose own expiry has passed although the store still has it. A key that is replaced goes on decrypting for as long as it is on the ring.
 *
 * Every write has a random IV of 96 bits, which is safe for 2^32 writes with one key, counted over all processes (NIST SP 800-38D
 * section 8.3): at a hundred writes a second for 497 days. Put a new key first before that.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, `option_invalid` or `option_unknown`.
 */
export function encryptedStore(
  store: TokenStore,
  keys: EncryptionKeys,
  options: EncryptedStoreOptions = {},
): TokenStore {
  assertStore(SUBJECT, store)
  assertEncryptionOptions(SUBJECT, options)
  const { clock = systemClock, maxLength = MAX_SEALED_LENGTH, maxEntries = MAX_ENTRIES } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const ring = createEncryptionRing(keys, oneKey(SUBJECT))
  const generations = createGenerations(clock, maxEntries)
  const inTurn = createTurns()

  async function ignore(key: string, reason: EntryFault): Promise<undefined> {
    telemetry.note({ name: 'entry_ignored', reason })
    if (USELESS.has(reason)) await deleteQuietly(store, key)
  }

  return {
    async get(key, asked) {
      // What is written while the store is asked is not a reason to refuse what it had before.
      const least = generations.least(key)
      const text: unknown = await store.get(key, asked)
      if (text === undefined || text === null) return undefined
      if (typeof text !== 'string') return ignore(key, 'malformed')
      if (text.length > maxLength) return ignore(key, 'too_long')
      const entry = await unseal(key, text, ring)
      if (typeof entry === 'string') return ignore(key, entry)
      if (entry.generation < least) return ignore(key, 'rolled_back')
      generations.saw(key, entry.generation)
      return clock.now() < entry.expiresAt ? entry.value : undefined
    },
    async set(key, value, expiresAt) {
      const generation = generations.next(key)
      const text = await inTurn(seal(key, { value, expiresAt, generation }, ring))
      // An older value must not stay where the newer one has no room.
      if (text.length > maxLength) return ignore(key, 'too_long')
      await store.set(key, text, expiresAt)
      generations.saw(key, generation)
    },
    async delete(key) {
      await inTurn(Promise.resolve())
      await store.delete(key)
    },
  }
}

/** Without a word when it fails: what is left there is missing for whoever asks again. */
async function deleteQuietly(store: TokenStore, key: string): Promise<void> {
  try {
    await store.delete(key)
  } catch {
    // The question was what the entry holds, and that is answered.
  }
}

/** Refuses options that neither `encryptedStore` nor `encryptedRecords` has. */
export function assertEncryptionOptions(subject: string, options: unknown): void {
  assertOptions(subject, options, ['telemetry', 'maxLength', 'maxEntries', 'clock'])
  assertCount(subject, 'maxLength', options.maxLength)
  assertCount(subject, 'maxEntries', options.maxEntries)
  if (options.clock !== undefined) assertMethods(subject, { option: 'clock', value: options.clock }, ['now'])
  if (options.telemetry === undefined) return
  assertMethods(subject, { option: 'telemetry', value: options.telemetry }, ['note'])
}
