import { LRUCache } from 'lru-cache'
import type { Clock } from '../util/index.ts'
import type { RecordWrite } from './record-store.ts'

/** A record as it lies in the store. */
export interface SealedRecord extends RecordWrite {
  readonly text: string
}

/** The newest record that this process has seen under each key, until it expires. */
export interface NewestRecords {
  of(key: string): SealedRecord | undefined
  /** Takes note of a record that is in the store, or was. */
  saw(key: string, record: SealedRecord): void
  forget(key: string): void
}

/** However many there are, they take no more than this. A session with the tokens of a usual server has 3 kB. */
const MAX_CHARACTERS = 32 * 1024 * 1024

/** Remembers `maxEntries` of them; those that were not used for longest are forgotten. */
export function createNewestRecords(clock: Clock, maxEntries: number): NewestRecords {
  const records = new LRUCache<string, SealedRecord>({
    max: maxEntries,
    maxSize: MAX_CHARACTERS,
    sizeCalculation: ({ text }) => text.length + 1,
  })
  function of(key: string): SealedRecord | undefined {
    const record = records.get(key)
    if (record === undefined || clock.now() < record.expiresAt) return record
    records.delete(key)
    return undefined
  }
  return {
    of,
    saw(key, record) {
      if (record.version > (of(key)?.version ?? Number.NEGATIVE_INFINITY)) records.set(key, record)
    },
    forget: (key) => void records.delete(key),
  }
}
