import { type EncryptionKeys, encryptedStore, prefixedStore, type TokenStore } from '../../store/index.ts'
import { harmless, noTelemetry, type Telemetry } from '../../telemetry/index.ts'
import { assertCount, assertMethods, assertOptions, optionInvalid } from '../../token/index.ts'
import { type Clock, describe, systemClock } from '../../util/index.ts'
import { assertPrefix, DEFAULT_PREFIX } from './options.ts'
import { plainStore } from './plain-store.ts'
import { commandsOf, type RedisClient } from './redis-client.ts'

/** How a {@link redisStore} keeps values, encrypted or not. */
export interface RedisStoreSettings {
  /** What the keys begin with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** Values that take more bytes than this, encrypted where they are, are neither kept nor read. Default 262,144. */
  readonly maxValueBytes?: number | undefined
  /** Told of entries that count as missing (`entry_ignored`). */
  readonly telemetry?: Telemetry | undefined
  readonly clock?: Clock | undefined
}

/** What a {@link redisStore} is told: with which keys values are encrypted, or by name that they are not. */
export type RedisStoreOptions = RedisStoreSettings &
  (
    | { readonly encryption: EncryptionKeys; readonly plaintext?: undefined }
    | { readonly plaintext: true; readonly encryption?: undefined }
  )

const SUBJECT = 'redisStore'
const NAMES = ['encryption', 'plaintext', 'prefix', 'maxValueBytes', 'telemetry', 'clock']

/**
 * A store on Redis, for any client of `ioredis` or `redis`. One command an operation, about one key: a cluster will do.
 * Lifetimes are told as lengths of time, so the server's clock may differ from this machine's.
 *
 * Values are encrypted and bound to prefix and key, as with `encryptedStore`. What is found and cannot have been written
 * here (another type, an oversized or unmarked value) is deleted and counts as missing.
 *
 * Its methods throw StoreError with code `store_unavailable`.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions): TokenStore {
  const { encryption, prefix = DEFAULT_PREFIX, maxValueBytes = 262_144, clock = systemClock } = checked(options)
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const plain = plainStore({ send: commandsOf(client, SUBJECT), maxValueBytes, telemetry, clock })
  const store =
    encryption === undefined ? plain : encryptedStore(plain, encryption, { telemetry, clock, maxLength: maxValueBytes })
  // Around the encryption, so that an entry is bound to its prefix too.
  return prefixedStore(store, `${prefix}token:`)
}

function checked(options: RedisStoreOptions): RedisStoreOptions {
  const given: unknown = options
  assertOptions(SUBJECT, given, NAMES)
  const { encryption, plaintext, prefix = '', maxValueBytes, telemetry, clock } = given
  assertPrefix(SUBJECT, prefix)
  assertCount(SUBJECT, 'maxValueBytes', maxValueBytes)
  if (telemetry !== undefined) assertMethods(SUBJECT, { option: 'telemetry', value: telemetry }, ['note'])
  if (clock !== undefined) assertMethods(SUBJECT, { option: 'clock', value: clock }, ['now'])
  if (plaintext !== undefined && plaintext !== true) {
    throw optionInvalid(SUBJECT, `plaintext to be true or absent, got ${describe(plaintext)}`)
  }
  if ((encryption === undefined) === (plaintext === undefined)) {
    const got = plaintext === undefined ? 'neither' : 'both'
    throw optionInvalid(SUBJECT, `either encryption or plaintext: true, got ${got}`)
  }
  return options
}
