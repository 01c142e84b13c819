import type { RecordStore } from '../../store/index.ts'
import { optionInvalid, StoreError } from '../../token/index.ts'
import { describe } from '../../util/index.ts'
import { assertTexts } from '../check.ts'
import type { Logout } from '../logout/logout.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { type IndexNames, indexNamesFor, indexNamesOf, signedInAt } from './index-names.ts'
import type { SessionEntry } from './index-record.ts'
import { createSessionIndex, indexUnreadable, type Named, type SessionIndex } from './session-index.ts'
import type { SessionLifetime, SessionRecords } from './session-records.ts'

/** Records of sessions that are found again by whom they belong to. */
export interface IndexedSessions {
  save(key: string, set: TokenSet): Promise<boolean>
  clear(key: string): Promise<void>
  end(logout: Logout, onEnded?: (set: TokenSet) => void): Promise<readonly TokenSet[]>
}

/** What {@link createIndexedSessions} needs. */
export interface IndexedSessionsOptions extends Pick<SessionLifetime, 'absoluteMs' | 'clock'> {
  readonly records: RecordStore
  readonly kept: SessionRecords
}

/** The server's clock shows whole seconds: who signed in within the second of a logout may have done so after it. A `sid` does not come again. */
const SECOND_MS = 1000
/** Each time that there is no room, something goes. */
const MAX_TRIES = 100
/** Where nothing is over one in so many sessions ends, the oldest, so that not each sign-in has to look. */
const SHARE = 50
/** So many records are looked at at once. */
const BATCH = 100
/** A name comes before its session. */
const MINUTE_MS = 60 * 1000

/**
 * Keeps sessions, and beside them whose they are. The name comes before the session and goes after it, so that there is no session that cannot be found; and each
 * write of a session sees to it that it is named.
 */
export function createIndexedSessions({ records, kept, absoluteMs, clock }: IndexedSessionsOptions): IndexedSessions {
  const index = createSessionIndex(records, clock)

  function entryOf(key: string, { startedAt }: TokenSet, { bySid: [sid] }: IndexNames): SessionEntry {
    return { key, startedAt, until: startedAt + absoluteMs, sid }
  }
  const endAll = createEnder(kept, index)

  /** A session goes before its name does: whoever stops in between leaves nothing that cannot be found. */
  async function isNamed(name: string, entry: SessionEntry, at: number): Promise<boolean> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const outcome = await index.add(name, entry, at)
      if (typeof outcome === 'string') return outcome === 'named'
      const over = await firstOver(outcome, { kept, clock })
      await endAll(over.length > 0 ? over : outcome.slice(0, Math.ceil(outcome.length / SHARE)), [name])
    }
    throw new StoreError(`expected room for the name of a session within ${MAX_TRIES} tries, got none`, {
      code: 'index_contended',
    })
  }

  return {
    async save(key, set) {
      const names = await indexNamesOf(set)
      const entry = entryOf(key, set, names)
      const at = signedInAt(set)
      const outcomes = await Promise.all([
        ...names.bySubject.map((name) => isNamed(name, entry, at + SECOND_MS)),
        ...names.bySid.map((name) => isNamed(name, entry, at)),
      ])
      const isLoggedOut = outcomes.includes(false)
      if (!isLoggedOut && (await kept.save(key, set))) return true
      // A refresh that comes after the end leaves no name behind.
      if (isLoggedOut || (await kept.isOver(key))) await endAll([entry], allOf(names))
      return false
    },
    async clear(key) {
      const set = await kept.end(key, () => true)
      if (set === undefined) return
      const names = await indexNamesOf(set)
      const entry = entryOf(key, set, names)
      await Promise.all(allOf(names).map((name) => index.remove(name, [entry])))
    },
    async end(logout, onEnded) {
      const names = await indexNamesFor(checked(logout))
      const { entries, isComplete } = await entriesFor(index, logout, names)
      const sets = await endAll(entries, allOf(names), onEnded)
      if (!isComplete) throw indexUnreadable()
      return sets
    },
  }
}

type EndAll = (
  entries: readonly SessionEntry[],
  names: readonly string[],
  onEnded?: (set: TokenSet) => void,
) => Promise<readonly TokenSet[]>

/** Ends sessions, all that can be ended, and forgets the names of those last of all: what could not be ended has to be found again. */
function createEnder(kept: SessionRecords, index: SessionIndex): EndAll {
  return async (entries, names, onEnded = () => {}) => {
    const byName = new Map<string, SessionEntry[]>()
    const sets: TokenSet[] = []
    const ends = await Promise.allSettled(
      entries.map(async (entry) => {
        // By its sign-in: somebody else may have signed in in its place since.
        const set = await kept.end(entry.key, ({ startedAt }) => startedAt === entry.startedAt, entry.until)
        if (set !== undefined) {
          sets.push(set)
          onEnded(set)
        }
        const all = set === undefined ? names : [...names, ...allOf(await indexNamesOf(set))]
        for (const name of new Set(all)) byName.set(name, [...(byName.get(name) ?? []), entry])
      }),
    )
    const removals = await Promise.allSettled([...byName].map(([name, gone]) => index.remove(name, gone)))
    for (const outcome of [...ends, ...removals]) if (outcome.status === 'rejected') throw outcome.reason
    return sets
  }
}

/** Of the oldest, those whose sessions are over already: signed out, idle or gone. */
async function firstOver(
  entries: readonly SessionEntry[],
  { kept, clock }: Pick<IndexedSessionsOptions, 'kept' | 'clock'>,
): Promise<readonly SessionEntry[]> {
  const settled = entries.filter(({ startedAt }) => startedAt < clock.now() - MINUTE_MS)
  for (let at = 0; at < settled.length; at += BATCH) {
    const batch = settled.slice(at, at + BATCH)
    const areOver = await Promise.all(batch.map(({ key }) => kept.isOver(key)))
    const over = batch.filter((_, n) => areOver[n])
    if (over.length > 0) return over
  }
  return []
}

const END = 'storedSessions, end'

/** What comes from elsewhere must not become the name of somebody: "null" is one. */
function checked(logout: Logout): Logout {
  const { issuer, clientId, subject, sid, at } = logout
  if (subject === undefined && sid === undefined) throw optionInvalid(END, 'a subject or a sid, got neither')
  assertTexts(END, { issuer, clientId, ...(subject !== undefined && { subject }), ...(sid !== undefined && { sid }) })
  if (!Number.isFinite(at)) throw optionInvalid(END, `at to be an instant, got ${describe(at)}`)
  return logout
}

/** With `sid` those of that session only, also where one of their two names was lost. */
async function entriesFor(index: SessionIndex, logout: Logout, names: IndexNames): Promise<Named> {
  const { bySubject, bySid } = names
  const told = await Promise.all(
    (logout.sid === undefined ? bySubject : bySid).map((name) => index.logOut(name, logout.at)),
  )
  const others = logout.sid === undefined ? [] : await Promise.all(bySubject.map((name) => index.find(name)))
  const found = [
    ...told.flatMap(({ entries }) => entries),
    ...others.flat().filter(({ sid }) => sid !== undefined && bySid.includes(sid)),
  ]
  return {
    entries: [...new Map(found.map((entry) => [entry.key, entry])).values()],
    isComplete: told.every(({ isComplete }) => isComplete),
  }
}

function allOf({ bySubject, bySid }: IndexNames): readonly string[] {
  return [...bySubject, ...bySid]
}
