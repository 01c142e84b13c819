import type { RecordStore } from '../store/index.ts'
import { StoreError } from '../token/index.ts'
import type { Awaitable, Clock } from '../util/index.ts'
import type { TokenSet } from './token-set.ts'
import { tokenSetFrom, tokenSetText } from './token-set-text.ts'

/** The records of sessions, by their keys. */
export interface SessionRecords {
  load(key: string): Promise<TokenSet | undefined>
  save(key: string, set: TokenSet): Promise<boolean>
  /**
   * Ends the session that is there, if it is the one that is meant: nothing that comes of it is kept after this. Gives what it had. Where there is none yet, the one
   * that is about to be saved is not.
   *
   * @throws StoreError with code `session_contended`.
   */
  end(key: string, isMeant: (set: TokenSet) => boolean): Promise<TokenSet | undefined>
}

/** How long a session lasts. */
export interface SessionLifetime {
  readonly idleMs: number
  readonly absoluteMs: number
  readonly clock: Clock
}

const DAY_MS = 24 * 60 * 60 * 1000
/** What stands in the place of a session that was ended. */
const ENDED = 'ended'
/** More writes than may be under way. */
const MARGIN = 1000
/** Versions of one generation, and the last of them, which is that of an end. Milliseconds of now times this is a safe integer until 2109. */
const VERSIONS = 2048
const LAST = VERSIONS - 1
/** Each time a refresh was quicker; there are no more than a few under way. */
const MAX_TRIES = 20

/** Reads and writes the records of sessions. */
export function createSessionRecords(
  records: RecordStore,
  { idleMs, absoluteMs, clock }: SessionLifetime,
): SessionRecords {
  function write(key: string, set: TokenSet, reads: number): Awaitable<boolean> {
    const expiresAt = endOf(set)
    const text = JSON.stringify({ expiresAt, reads, set: tokenSetText(set) })
    return records.put(key, text, { version: versionOf(set.generation, reads), expiresAt })
  }
  function endOf({ startedAt, sessionExpiresAt = Number.POSITIVE_INFINITY }: TokenSet): number {
    return Math.min(startedAt + absoluteMs, clock.now() + idleMs, sessionExpiresAt)
  }
  /** A session that is used does not become idle; not each of its requests has to say so. */
  async function keepAlive(key: string, { set, reads, expiresAt }: SessionRecord): Promise<void> {
    if (endOf(set) < expiresAt + idleMs / 2 || reads + 1 >= LAST) return
    try {
      await write(key, set, reads + 1)
    } catch {
      // The next request says so.
    }
  }
  async function load(key: string): Promise<TokenSet | undefined> {
    const record = recordFrom(await records.get(key), clock.now())
    if (record === undefined || clock.now() >= record.set.startedAt + absoluteMs) return undefined
    await keepAlive(key, record)
    return record.set
  }
  return {
    load,
    save: async (key, set) => write(key, set, 0),
    async end(key, isMeant) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        // Before the look: what signs in after it has a higher generation, and stays.
        const now = Math.floor(clock.now())
        const set = await load(key)
        if (set !== undefined && !isMeant(set)) return undefined
        // Higher than what any refresh of this session may still write; a clock that is behind must not keep a session from its end.
        const generation = set === undefined ? now : Math.max(now, set.generation + MARGIN)
        const mark = { version: versionOf(generation, LAST), expiresAt: now + DAY_MS }
        if ((await records.put(key, ENDED, mark)) || set === undefined) return set
      }
      throw new StoreError(`expected the session to end within ${MAX_TRIES} tries, got newer ones`, {
        code: 'session_contended',
      })
    },
  }
}

/** A record that counts. */
interface SessionRecord {
  readonly set: TokenSet
  /** How often its end was put off since the set was written. */
  readonly reads: number
  readonly expiresAt: number
}

/** Whoever puts off the end of a set must not be in the way of the next one. */
function versionOf(generation: number, reads: number): number {
  return generation * VERSIONS + reads
}

/** What is in a text, while it counts: by a field that was written with it, since a store may keep it for longer. */
function recordFrom(text: string | undefined, now: number): SessionRecord | undefined {
  if (text === undefined || text === ENDED) return undefined
  try {
    const { expiresAt, reads, set: inside } = Object(JSON.parse(text)) as Record<string, unknown>
    const set = tokenSetFrom(inside)
    const counts = typeof expiresAt === 'number' && now < expiresAt && Number.isSafeInteger(reads)
    return counts && set !== undefined ? { set, reads: Number(reads), expiresAt } : undefined
  } catch {
    return undefined
  }
}
