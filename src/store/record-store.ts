import { assertMethods, ConfigurationError, optionInvalid } from '../token/index.ts'
import { type Awaitable, describe } from '../util/index.ts'

/** How a record is written. */
export interface RecordWrite {
  /** A whole number that grows with every write; what is there with the same or a higher one stays. */
  readonly version: number
  /** Until when it is kept, in milliseconds since the epoch. */
  readonly expiresAt: number
}

/** The port for what exists nowhere else, such as the tokens of a user. Values are opaque strings; a failure is an error, never "not there". */
export interface RecordStore {
  /** The value that is there, or `undefined` when there is none or it has expired. */
  get(key: string): Awaitable<string | undefined>
  /** Compares the versions and writes in one step; tells whether it has written. */
  put(key: string, value: string, write: RecordWrite): Awaitable<boolean>
  /** Forgets a value, if there is one, whatever its version. */
  delete(key: string): Awaitable<void>
}

/**
 * Refuses what is no record store, where it is handed in.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertRecordStore(subject: string, records: unknown): void {
  assertMethods(subject, { option: 'records', value: records }, ['get', 'put', 'delete'])
}

/**
 * Refuses a version that cannot be compared, and an end that is no instant, before anything is written.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertRecordWrite(subject: string, write: unknown): void {
  const { version, expiresAt } = Object(write)
  if (!Number.isSafeInteger(version) || version < 0) {
    throw optionInvalid(subject, `version to be a whole number, got ${describe(version)}`)
  }
  if (typeof expiresAt !== 'number' || Number.isNaN(expiresAt)) {
    throw optionInvalid(subject, `expiresAt to be an instant, got ${describe(expiresAt)}`)
  }
}

/** What cannot be kept: dropping it without a word would lose what exists nowhere else. */
export function recordTooLong(subject: string, most: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected a record of ${most} at the most, got more`, {
    code: 'record_too_long',
  })
}
