import { localLock, type RecordStore } from '../store/index.ts'
import { StoreError } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import { type IndexRecord, indexRecordFrom, type SessionEntry, withEntry, withoutEntries } from './index-record.ts'

/** Which sessions there are under a name; names are hashes, and so is what is found. */
export interface SessionIndex {
  /**
   * Names a session. `signedInAt` is by the server's clock.
   *
   * @returns What was named before and had to go for want of room; `logged_out` where the sign-in is one of those that a logout has ended.
   */
  add(name: string, entry: SessionEntry, signedInAt: number): Promise<readonly SessionEntry[] | 'logged_out'>
  /** Takes note of a logout, so that no sign-in of before is named any more, and gives what is named. */
  logOut(name: string, at: number): Promise<readonly SessionEntry[]>
  /** What is named, for those who end none of it by this name. */
  find(name: string): Promise<readonly SessionEntry[]>
  remove(name: string, entries: readonly SessionEntry[]): Promise<void>
}

/** Each time that somebody else was quicker, somebody else has got on. */
const MAX_TRIES = 100
/** So long a turn in this process is waited for. */
const PATIENCE_MS = 500
const DAY_MS = 24 * 60 * 60 * 1000
/** More changes than a record sees in a day. */
const VERSIONS_A_DAY = 2 ** 20

/** Keeps an index in a record store: every change is made to what was read, or not at all. */
export function createSessionIndex(records: RecordStore, clock: Clock): SessionIndex {
  const inTurn = politely(clock)

  function change(name: string, changed: (before: IndexRecord) => IndexRecord): Promise<IndexRecord> {
    return inTurn(name, () => tryToChange(name, changed))
  }
  async function tryToChange(name: string, changed: (before: IndexRecord) => IndexRecord): Promise<IndexRecord> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const before = indexRecordFrom(await records.get(name), clock.now())
      const after = changed(before)
      if (after === before) return after
      const version = before.version === undefined ? firstVersion(clock.now(), tries) : before.version + 1
      // Longer than anything in it counts: whoever has just read it must not find nothing when they write.
      const expiresAt = Math.max(clock.now(), ...after.entries.map(({ until }) => until)) + DAY_MS
      if (await records.put(name, JSON.stringify({ ...after, version }), { version, expiresAt })) return after
    }
    throw new StoreError(`expected a turn to write which sessions a user has within ${MAX_TRIES} tries, got none`, {
      code: 'index_contended',
    })
  }

  return {
    async add(name, entry, signedInAt) {
      let outcome: readonly SessionEntry[] | 'logged_out' = []
      await change(name, (before) => {
        const isOver = before.loggedOutAt !== undefined && signedInAt <= before.loggedOutAt
        const { record, dropped } = isOver
          ? { record: before, dropped: 'logged_out' as const }
          : withEntry(before, entry)
        outcome = dropped
        return record
      })
      return outcome
    },
    async logOut(name, at) {
      const { entries } = await change(name, (before) => {
        const { loggedOutAt = Number.NEGATIVE_INFINITY } = before
        return at <= loggedOutAt ? before : { ...before, loggedOutAt: at }
      })
      return entries
    },
    find: async (name) => indexRecordFrom(await records.get(name), clock.now()).entries,
    async remove(name, entries) {
      await change(name, (before) => withoutEntries(before, entries))
    },
  }
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

/**
 * The version of a record where there is none: higher than those of one that has expired, and the same for two who find nothing at the same time, so that one of them
 * is refused and reads what the other wrote. A record that stays in the way although nobody can read it is written over.
 */
function firstVersion(now: number, tries: number): number {
  return Math.floor(now / DAY_MS) * VERSIONS_A_DAY + (tries === 0 ? 0 : Math.min(2 ** tries, VERSIONS_A_DAY / 2))
}
