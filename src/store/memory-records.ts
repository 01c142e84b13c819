import { type Clock, systemClock } from '../util/index.ts'
import { assertRecordWrite, type RecordStore, type RecordWrite } from './record-store.ts'

/** What a {@link memoryRecords} may be told. */
export interface MemoryRecordsOptions {
  readonly clock?: Clock | undefined
}

/** So many records are written between two clean-ups. */
const SWEEP_EVERY = 1000

/** Records in this process, for tests and for programs of one process: they end with it. Those that have expired go, and no others. */
export function memoryRecords({ clock = systemClock }: MemoryRecordsOptions = {}): RecordStore {
  const records = new Map<string, RecordWrite & { readonly value: string }>()
  let writes = 0

  function living(key: string): (RecordWrite & { readonly value: string }) | undefined {
    const record = records.get(key)
    if (record === undefined || clock.now() < record.expiresAt) return record
    records.delete(key)
    return undefined
  }
  return {
    get: (key) => living(key)?.value,
    put(key, value, write) {
      assertRecordWrite('memoryRecords', write)
      const { version, expiresAt } = write
      const known = living(key)
      if (known !== undefined && known.version >= version) return false
      records.set(key, { value, version, expiresAt })
      if (++writes % SWEEP_EVERY === 0) for (const each of [...records.keys()]) living(each)
      return true
    },
    delete: (key) => void records.delete(key),
  }
}
