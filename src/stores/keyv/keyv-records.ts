import {
  type AdaptedRecordsOptions,
  type AdaptedRecordsSettings,
  adaptedRecords,
  type RecordStore,
  type WithLock,
} from '../../store/index.ts'
import { optionInvalid } from '../../token/index.ts'
import { describe } from '../../util/index.ts'
import { callsOf, type KeyvInstance } from './keyv-calls.ts'
import { plainRecords } from './plain-records.ts'

/** How {@link keyvRecords} are kept, encrypted or not. */
export type KeyvRecordsSettings = AdaptedRecordsSettings

/** What {@link keyvRecords} are told: the lock, and with which keys records are encrypted, or by name that they are not. */
export type KeyvRecordsOptions = AdaptedRecordsOptions & {
  /**
   * Held while one record is compared and written. It has to be one that all processes share; `localLock()` where there is one process. A lock that gives only
   * so many turns at a time, such as `postgresLock`, must not be the manager's own: a refresh holds a turn while it writes.
   */
  readonly lock: WithLock
}

const SUBJECT = 'keyvRecords'

/**
 * Records on whatever Keyv speaks to, for Keyv 5 (from 5.5) and 6. Give it a Keyv of its own: from then on that Keyv has a listener to its errors.
 *
 * Keyv has no way to compare and write in one step, so a lock stands around both. That is as good as the lock: a process that stops after the comparison for longer
 * than the lease may still overwrite what another one has written meanwhile. `redisRecords` and `postgresRecords` compare where they write.
 *
 * Records are encrypted and bound to prefix and key, as with `encryptedRecords`. Keyv is asked to keep a record for a day longer than it counts, and for 24.8 days at
 * the most: what Keyv finds over it deletes, whatever has been written there meanwhile.
 *
 * Its methods throw StoreError with code `store_unavailable` or `store_timeout`, also where Keyv itself keeps the error from its callers, and what the lock throws.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where there is no lock, and where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function keyvRecords(keyv: KeyvInstance, options: KeyvRecordsOptions): RecordStore {
  return adaptedRecords(options, {
    subject: SUBJECT,
    options: ['lock'],
    createPlain(settings) {
      const { lock } = options
      if (typeof lock !== 'function') throw optionInvalid(SUBJECT, `lock to be a function, got ${describe(lock)}`)
      return plainRecords({ ...settings, lock, calls: callsOf(keyv, SUBJECT, settings.clock) })
    },
  })
}
