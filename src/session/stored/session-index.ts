import type { RecordStore } from '../../store/index.ts'
import { isEvertokenError, StoreError } from '../../token/index.ts'
import { type Clock, canonicalText, sha256 } from '../../util/index.ts'
import {
  type IndexRecord,
  indexRecordFrom,
  othersThan,
  type SessionEntry,
  withEntry,
  withoutEntries,
} from './index-record.ts'
import { type ChangeIndex, createIndexWriter } from './index-writer.ts'

/** Which sessions there are under a name; names are hashes, and so is what is found. */
export interface SessionIndex {
  /**
   * Names a session. `signedInAt` is by the server's clock.
   *
   * @returns `logged_out` where the sign-in is one of those that a logout has ended; where there is no room, what is there, the oldest first, of which some have to go.
   * @throws StoreError with code `index_unreadable` or `index_contended`.
   */
  add(name: string, entry: SessionEntry, signedInAt: number): Promise<Naming>
  /** Takes note of a logout, so that no sign-in of before is named any more, and gives what is named. */
  logOut(name: string, at: number): Promise<Named>
  /** What is named, for those who end none of it by this name. */
  find(name: string): Promise<readonly SessionEntry[]>
  remove(name: string, entries: readonly SessionEntry[]): Promise<void>
}

/** What became of a name. */
export type Naming = 'named' | 'logged_out' | readonly SessionEntry[]

/** What is named, as far as it can be read. */
export interface Named {
  readonly entries: readonly SessionEntry[]
  readonly isComplete: boolean
}

/** Keeps an index in a record store: one record for each name, and one beside it for those who cannot read that. */
export function createSessionIndex(records: RecordStore, clock: Clock): SessionIndex {
  const change = createIndexWriter(records, clock)

  /** Changes the one record, or the other where somebody has written it whose key is unknown here: nobody takes away what they cannot read. */
  async function changeOne(name: string, changed: (before: IndexRecord) => IndexRecord): Promise<void> {
    const isChanged = (await change(name, changed)) ?? (await change(await besides(name), changed))
    if (isChanged === undefined) throw indexUnreadable()
  }
  async function read(key: string): Promise<readonly SessionEntry[]> {
    return indexRecordFrom(await records.get(key), clock.now())?.entries ?? []
  }

  return {
    async add(name, entry, signedInAt) {
      let outcome: Naming = 'named'
      let others: readonly SessionEntry[] = []
      const added = (before: IndexRecord): IndexRecord => {
        others = othersThan(before, entry)
        const isOver = before.loggedOutAt !== undefined && signedInAt <= before.loggedOutAt
        const after = isOver ? before : withEntry(before, entry)
        outcome = isOver ? 'logged_out' : after === undefined ? others : 'named'
        return after ?? before
      }
      try {
        await changeOne(name, added)
        return outcome
      } catch (error) {
        if (isTooLong(error) && others.length > 0) return others
        throw error
      }
    },
    async logOut(name, at) {
      const keys = [name, await besides(name)]
      // In both, whether something is there or not: that is how it shows what cannot be read.
      const found = await Promise.all(
        keys.map((key) =>
          change(key, (before) => {
            const { loggedOutAt = Number.NEGATIVE_INFINITY } = before
            return at <= loggedOutAt ? before : { ...before, loggedOutAt: at }
          }),
        ),
      )
      return { entries: found.flatMap((record) => record?.entries ?? []), isComplete: !found.includes(undefined) }
    },
    async find(name) {
      return (await Promise.all([read(name), read(await besides(name))])).flat()
    },
    async remove(name, entries) {
      if (!(await isTaken(change, name, entries))) await isTaken(change, await besides(name), entries)
    },
  }
}

/** Takes names away, and tells whether any of them was there. */
async function isTaken(change: ChangeIndex, key: string, entries: readonly SessionEntry[]): Promise<boolean> {
  let isThere = false
  await change(key, (before) => {
    const after = withoutEntries(before, entries)
    isThere = after !== before
    return after
  })
  return isThere
}

/** Records may have less room than we take. */
function isTooLong(error: unknown): boolean {
  return isEvertokenError(error) && error.code === 'record_too_long'
}

/** Whoever is told of it has not ended everything. */
export function indexUnreadable(): StoreError {
  return new StoreError('expected to read which sessions a user has, got records that nobody can read here', {
    code: 'index_unreadable',
  })
}

function besides(name: string): Promise<string> {
  return sha256(canonicalText([1, 'beside', name]))
}
