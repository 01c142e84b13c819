import { type EntryFault, harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { systemClock } from '../util/index.ts'
import { assertEncryptionOptions, type EncryptedStoreOptions } from './encrypted-store.ts'
import { createEncryptionRing, type EncryptionKeys, type EncryptionRing } from './encryption-keys.ts'
import { type Entry, MAX_SEALED_LENGTH, seal, unseal } from './envelope.ts'
import { keyPerName } from './key-uses.ts'
import { createNewestRecords, type SealedRecord } from './newest-records.ts'
import { assertRecordStore, assertRecordWrite, type RecordStore, recordTooLong } from './record-store.ts'
import { createTurns } from './turns.ts'

/** What {@link encryptedRecords} may be told; `maxEntries` counts records that this process remembers as they are in the store. */
export type EncryptedRecordsOptions = EncryptedStoreOptions

const SUBJECT = 'encryptedRecords'
const MAX_ENTRIES = 10_000

/**
 * Encrypts what a record store keeps, with AES-256-GCM, and gives only what was written for the key that is asked for.
 *
 * A record that was altered, cut, copied from another key, written in clear or with a key that is not on the ring counts as missing, and stays where it is:
 * a higher version replaces it. One that is older than what this process has seen in its place is put right: the newer one is given, and written again. So the
 * versions of a key have to go on growing when it was deleted or has expired; a first version that is the time does that.
 *
 * Each record is encrypted with a key of its own, made of that of the ring with HKDF: a key of the ring is good for any number of records, and 2^32 writes of each.
 *
 * `put` throws ConfigurationError with code `record_too_long` for what has more than `maxLength` characters when it is encrypted.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, `option_invalid` or `option_unknown`.
 */
export function encryptedRecords(
  records: RecordStore,
  keys: EncryptionKeys,
  options: EncryptedRecordsOptions = {},
): RecordStore {
  assertRecordStore(SUBJECT, records)
  assertEncryptionOptions(SUBJECT, options)
  const { clock = systemClock, maxLength = MAX_SEALED_LENGTH, maxEntries = MAX_ENTRIES } = options
  const newest = createNewestRecords(clock, maxEntries)
  const inTurn = createTurns()
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const opener = { ring: createEncryptionRing(keys, keyPerName(SUBJECT)), maxLength, telemetry }

  async function get(key: string): Promise<string | undefined> {
    // What is written while the store is asked is not a reason to take what it had before for older.
    const known = newest.of(key)
    const text: unknown = await records.get(key)
    // Deleted, expired, evicted or lost: nobody can tell. It is remembered all the same, lest an older one should take its place.
    if (text === undefined || text === null) return undefined
    const found = await opened(key, text, opener)
    if (found === undefined) return undefined
    if (known === undefined || found.generation >= known.version) {
      newest.saw(key, { text: String(text), version: found.generation, expiresAt: found.expiresAt })
      return clock.now() < found.expiresAt ? found.value : undefined
    }
    telemetry.note({ name: 'entry_ignored', reason: 'rolled_back' })
    await putQuietly(records, key, known)
    return (await opened(key, known.text, opener))?.value
  }

  return {
    get,
    async put(key, value, write) {
      assertRecordWrite(SUBJECT, write)
      const { version, expiresAt } = write
      const text = await inTurn(seal(key, { value, expiresAt, generation: version }, opener.ring))
      if (text.length > maxLength) throw recordTooLong(SUBJECT, `${maxLength} characters`)
      const known = newest.of(key)
      if (known !== undefined && known.version >= version) {
        // What the store has lost goes back to where it was: who was signed out is not to be signed in again by a late write.
        if ((await get(key)) === undefined) await putQuietly(records, key, known)
        return false
      }
      const isWritten = await records.put(key, text, write)
      if (isWritten) newest.saw(key, { text, version, expiresAt })
      return isWritten
    },
    async delete(key) {
      await inTurn(Promise.resolve())
      await records.delete(key)
      newest.forget(key)
    },
  }
}

interface Opener {
  readonly ring: EncryptionRing
  readonly maxLength: number
  readonly telemetry: Telemetry
}

/** What is in a record; nothing where it does not tell, whose reason is noted. */
async function opened(key: string, text: unknown, { ring, maxLength, telemetry }: Opener): Promise<Entry | undefined> {
  const found = await entryIn()
  if (typeof found !== 'string') return found
  telemetry.note({ name: 'entry_ignored', reason: found })
  return undefined

  async function entryIn(): Promise<Entry | EntryFault> {
    if (typeof text !== 'string') return 'malformed'
    return text.length > maxLength ? 'too_long' : unseal(key, text, ring)
  }
}

/** Without a word when it fails: whoever asks has the newer one, and asking again tries again. */
async function putQuietly(records: RecordStore, key: string, { text, ...write }: SealedRecord): Promise<void> {
  try {
    await records.put(key, text, write)
  } catch {
    // The question was what the record holds, and that is answered.
  }
}
