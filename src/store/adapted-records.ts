import { harmless, noTelemetry } from '../telemetry/index.ts'
import { assertCount, StoreError } from '../token/index.ts'
import { byteLength, systemClock, withDeadline } from '../util/index.ts'
import {
  type AdaptedStoreSettings,
  assertAdaptedStoreOptions,
  DEFAULT_PREFIX,
  type EncryptionChoice,
  type PlainStoreSettings,
} from './adapted-store.ts'
import { encryptedRecords } from './encrypted-records.ts'
import { assertRecordWrite, type RecordStore, recordTooLong } from './record-store.ts'
import { withOwnDeadline } from './timed-records.ts'

/** How records on another machine are kept, encrypted or not. */
export interface AdaptedRecordsSettings extends AdaptedStoreSettings {
  /** How long one answer may take, in milliseconds. Default 1,000. */
  readonly deadlineMs?: number | undefined
}

/** What such a record store is told: with which keys records are encrypted, or by name that they are not. */
export type AdaptedRecordsOptions = AdaptedRecordsSettings & EncryptionChoice

/** How an adapter is to write. */
export interface PlainWrite {
  readonly version: number
  /** From now on, in whole milliseconds; zero or less for what has expired already. */
  readonly lifetimeMs: number
}

/** What an adapter does: the same as a `RecordStore`, whose answers are not waited for any more when the signal aborts. */
export interface PlainRecords {
  get(key: string, signal: AbortSignal): Promise<string | undefined>
  put(key: string, value: string, write: PlainWrite & { readonly signal: AbortSignal }): Promise<boolean>
  delete(key: string, signal: AbortSignal): Promise<void>
}

const DEADLINE_MS = 1000
const MAX_VALUE_BYTES = 262_144

/** What a kind of record store is made of. */
export interface RecordsKind {
  /** Whose options they are, for messages. */
  readonly subject: string
  /** Names of options of its own. */
  readonly options?: readonly string[]
  readonly createPlain: (settings: PlainStoreSettings) => PlainRecords
}

/**
 * Records on another machine, made of an adapter that keeps them as they are: encrypted unless the options say by name that they are not, under keys
 * that begin with the prefix, and with an end to waiting.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`.
 */
export function adaptedRecords(
  given: AdaptedRecordsOptions,
  { subject, options: own = [], createPlain }: RecordsKind,
): RecordStore {
  const options: unknown = given
  assertAdaptedStoreOptions(subject, options, ['deadlineMs', ...own])
  assertCount(subject, 'deadlineMs', options.deadlineMs)
  const { encryption, prefix = DEFAULT_PREFIX, maxValueBytes = MAX_VALUE_BYTES, clock = systemClock } = given
  const telemetry = harmless(given.telemetry ?? noTelemetry)
  const whole = `${prefix}record:`
  const settings = { prefix: whole, maxValueBytes, telemetry, clock }
  const { deadlineMs = DEADLINE_MS } = given
  const timely = timelyRecords(createPlain(settings), { ...settings, subject, deadlineMs })
  const records =
    encryption === undefined
      ? timely
      : encryptedRecords(timely, encryption, { telemetry, clock, maxLength: maxValueBytes })
  // Around the encryption, so that a record is bound to its prefix too.
  return withOwnDeadline({
    get: (key) => records.get(whole + key),
    put: (key, value, write) => records.put(whole + key, value, write),
    delete: (key) => records.delete(whole + key),
  })
}

interface TimelySettings extends PlainStoreSettings {
  readonly subject: string
  readonly deadlineMs: number
}

/** An adapter as a record store. */
function timelyRecords(
  plain: PlainRecords,
  { subject, deadlineMs: ms, maxValueBytes, clock }: TimelySettings,
): RecordStore {
  const error = (): StoreError =>
    new StoreError(`${subject}: expected an answer within ${ms} ms, got none`, { code: 'store_timeout' })
  const deadline = { clock, ms, error }
  return {
    get: (key) => withDeadline((signal) => plain.get(key, signal), deadline),
    async put(key, value, write) {
      assertRecordWrite(subject, write)
      if (byteLength(value) > maxValueBytes) throw recordTooLong(subject, `${maxValueBytes} bytes`)
      const lifetimeMs = Math.ceil(write.expiresAt - clock.now())
      return withDeadline((signal) => plain.put(key, value, { version: write.version, lifetimeMs, signal }), deadline)
    },
    delete: (key) => withDeadline((signal) => plain.delete(key, signal), deadline),
  }
}
