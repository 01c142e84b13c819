import { StoreError } from '../token/index.ts'
import { type Awaitable, type Clock, withDeadline } from '../util/index.ts'
import type { RecordStore } from './record-store.ts'

/** How long a call may take, and whose it is, for messages. */
export interface TimedRecordsOptions {
  readonly subject: string
  readonly ms: number
  readonly clock: Clock
}

/** Records of whose calls each ends in time by itself. */
const timed = /* @__PURE__ */ new WeakSet<RecordStore>()

/** Says so of records. */
export function withOwnDeadline(records: RecordStore): RecordStore {
  timed.add(records)
  return records
}

/**
 * Records of which nobody waits for longer than a deadline: who holds a lock while a store hangs keeps it from everybody else. Those that have a deadline of their own
 * are left alone. What was given up may still take place.
 */
export function timedRecords(records: RecordStore, { subject, ms, clock }: TimedRecordsOptions): RecordStore {
  if (timed.has(records)) return records
  const error = (): StoreError =>
    new StoreError(`${subject}: expected an answer of the records within ${ms} ms, got none`, { code: 'store_timeout' })
  function inTime<T>(answer: Awaitable<T>): Awaitable<T> {
    // What is there already, as with records in memory, needs no timer.
    return isPromise(answer) ? withDeadline<T>(async () => answer, { clock, ms, error }) : answer
  }
  return {
    get: (key) => inTime(records.get(key)),
    put: (key, value, write) => inTime(records.put(key, value, write)),
    delete: (key) => inTime(records.delete(key)),
  }
}

function isPromise<T>(answer: Awaitable<T>): answer is PromiseLike<T> {
  return typeof Object(answer).then === 'function'
}
