import { harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { assertCount, assertMethods, assertOptions, optionInvalid } from '../token/index.ts'
import { type Clock, describe, systemClock } from '../util/index.ts'
import { encryptedStore } from './encrypted-store.ts'
import type { EncryptionKeys } from './encryption-keys.ts'
import { prefixedStore } from './prefixed-store.ts'
import type { TokenStore } from './token-store.ts'

/** How a store on another machine keeps values, encrypted or not. */
export interface AdaptedStoreSettings {
  /** What the keys begin with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** Values that take more bytes than this, encrypted where they are, are neither kept nor read. Default 262,144. */
  readonly maxValueBytes?: number | undefined
  /** Told of entries that count as missing (`entry_ignored`). */
  readonly telemetry?: Telemetry | undefined
  readonly clock?: Clock | undefined
}

/** With which keys values are encrypted, or by name that they are not. */
export type EncryptionChoice =
  | { readonly encryption: EncryptionKeys; readonly plaintext?: undefined }
  | { readonly plaintext: true; readonly encryption?: undefined }

/** What such a store is told: with which keys values are encrypted, or by name that they are not. */
export type AdaptedStoreOptions = AdaptedStoreSettings & EncryptionChoice

/** What an adapter is told, once it has been checked; `prefix` is all that stands before the keys. */
export type PlainStoreSettings = {
  readonly [Name in keyof AdaptedStoreSettings]-?: NonNullable<AdaptedStoreSettings[Name]>
}

/** What the keys and channels of this package begin with, unless the user says otherwise. */
export const DEFAULT_PREFIX = 'evertoken:'

const NAMES = ['encryption', 'plaintext', 'prefix', 'maxValueBytes', 'telemetry', 'clock']

/**
 * A store on another machine, made of one that keeps values as they are: encrypted unless the options say by name that it
 * is not, and under keys that begin with the prefix.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`.
 */
export function adaptedStore(
  subject: string,
  options: AdaptedStoreOptions,
  createPlain: (settings: PlainStoreSettings) => TokenStore,
): TokenStore {
  const given: unknown = options
  assertAdaptedStoreOptions(subject, given)
  const { encryption, prefix = DEFAULT_PREFIX, maxValueBytes = 262_144, clock = systemClock } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const whole = `${prefix}token:`
  const plain = createPlain({ prefix: whole, maxValueBytes, telemetry, clock })
  const store =
    encryption === undefined ? plain : encryptedStore(plain, encryption, { telemetry, clock, maxLength: maxValueBytes })
  // Around the encryption, so that an entry is bound to its prefix too.
  return prefixedStore(store, whole)
}

/** Refuses a prefix that is no text. */
export function assertPrefix(subject: string, prefix: unknown): void {
  if (typeof prefix !== 'string') throw optionInvalid(subject, `prefix to be a string, got ${describe(prefix)}`)
}

/** Refuses what is no choice of encryption, and options that neither all such stores have nor this one. */
export function assertAdaptedStoreOptions(
  subject: string,
  options: unknown,
  own: readonly string[] = [],
): asserts options is Readonly<Record<string, unknown>> {
  assertOptions(subject, options, [...NAMES, ...own])
  const { encryption, plaintext, prefix = '', maxValueBytes, telemetry, clock } = options
  assertPrefix(subject, prefix)
  assertCount(subject, 'maxValueBytes', maxValueBytes)
  if (telemetry !== undefined) assertMethods(subject, { option: 'telemetry', value: telemetry }, ['note'])
  if (clock !== undefined) assertMethods(subject, { option: 'clock', value: clock }, ['now', 'setTimer'])
  if (plaintext !== undefined && plaintext !== true) {
    throw optionInvalid(subject, `plaintext to be true or absent, got ${describe(plaintext)}`)
  }
  if ((encryption === undefined) === (plaintext === undefined)) {
    const got = plaintext === undefined ? 'neither' : 'both'
    throw optionInvalid(subject, `either encryption or plaintext: true, got ${got}`)
  }
}
