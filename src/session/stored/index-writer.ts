import { localLock, type RecordStore } from '../../store/index.ts'
import { StoreError } from '../../token/index.ts'
import { type Clock, delay } from '../../util/index.ts'
import { type IndexRecord, indexRecordFrom } from './index-record.ts'

/**
 * Changes an index record: the change is made to what was read, or not at all. Gives what there is after it; nothing where something is there that cannot be read here,
 * which stays as it is.
 */
export type ChangeIndex = (
  key: string,
  changed: (before: IndexRecord) => IndexRecord,
) => Promise<IndexRecord | undefined>

/** Each time that somebody else was quicker, somebody else has got on. */
const MAX_TRIES = 100
/** Reads of some stores are a moment behind their writes. */
const PAUSES_MS = [50, 100, 200, 400]
/** So long a turn in this process is waited for. */
const PATIENCE_MS = 500
const DAY_MS = 24 * 60 * 60 * 1000
/** Lower than that of anything that is there: only where there is nothing this one can be written. */
const FIRST_VERSION = 0

/** @throws From the change: StoreError with code `index_contended`, and what the store throws. */
export function createIndexWriter(records: RecordStore, clock: Clock): ChangeIndex {
  const inTurn = politely(clock)

  async function write(key: string, { loggedOutAt, entries }: IndexRecord, version: number): Promise<boolean> {
    // Longer than anything in it counts: whoever has just read it must not find nothing when they write.
    const expiresAt = Math.max(clock.now(), ...entries.map(({ until }) => until)) + DAY_MS
    return records.put(key, JSON.stringify({ version, entries, loggedOutAt }), { version, expiresAt })
  }
  const change: ChangeIndex = async (key, changed) => {
    let refused: IndexRecord | undefined
    for (let tries = 0, pauses = 0; tries < MAX_TRIES; tries++) {
      const before = indexRecordFrom(await records.get(key), clock.now())
      if (before === undefined) return undefined
      if (refused !== undefined && before.version === refused.version) {
        const ms = PAUSES_MS[pauses++]
        if (ms === undefined) break
        await delay(clock, ms)
      }
      const after = changed(before)
      if (after === before) return after
      if (await write(key, after, before.version === undefined ? FIRST_VERSION : before.version + 1)) return after
      refused = before
    }
    // Something is there, or it could have been written, and nothing is read: with another key, say.
    if (refused?.version === undefined) return undefined
    throw new StoreError('expected a turn to write which sessions a user has, got newer ones every time', {
      code: 'index_contended',
    })
  }
  return (key, changed) => inTurn(key, () => change(key, changed))
}

/**
 * One task of a name at a time in this process, so that as many compete as there are processes, and not as there are sign-ins. A store that hangs holds up nobody for
 * long: the comparison is what makes a change right, and not the turn.
 */
function politely(clock: Clock): <T>(name: string, task: () => Promise<T>) => Promise<T> {
  const lock = localLock()
  return async (name, task) => {
    const patience = new AbortController()
    const cancel = clock.setTimer(() => patience.abort(), PATIENCE_MS)
    let outcome: ReturnType<typeof task> | undefined
    const begin = (): ReturnType<typeof task> => {
      cancel()
      outcome = task()
      return outcome
    }
    try {
      return await lock(name, begin, { signal: patience.signal })
    } catch (error) {
      if (outcome !== undefined) throw error
      return task()
    }
  }
}
