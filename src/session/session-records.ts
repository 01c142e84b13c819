import type { RecordStore } from '../store/index.ts'
import { StoreError } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
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
/** Each time a refresh was quicker; there are no more than a few under way. */
const MAX_TRIES = 20

/** Reads and writes the records of sessions. */
export function createSessionRecords(
  records: RecordStore,
  { idleMs, absoluteMs, clock }: SessionLifetime,
): SessionRecords {
  async function load(key: string): Promise<TokenSet | undefined> {
    const set = tokenSetFrom(unwrapped(await records.get(key), clock.now()))
    return set !== undefined && clock.now() < set.startedAt + absoluteMs ? set : undefined
  }
  return {
    load,
    async save(key, set) {
      const { startedAt, sessionExpiresAt = Number.POSITIVE_INFINITY } = set
      const expiresAt = Math.min(startedAt + absoluteMs, clock.now() + idleMs, sessionExpiresAt)
      const text = JSON.stringify({ expiresAt, set: tokenSetText(set) })
      return records.put(key, text, { version: set.generation, expiresAt })
    },
    async end(key, isMeant) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        // Before the look: what signs in after it has a higher generation, and stays.
        const now = Math.floor(clock.now())
        const set = await load(key)
        if (set === undefined) {
          await records.put(key, ENDED, { version: now, expiresAt: now + DAY_MS })
          return undefined
        }
        if (!isMeant(set)) return undefined
        // Higher than what any refresh of this session may still write; a clock that is behind must not keep a session from its end.
        const version = Math.max(now, set.generation + MARGIN)
        if (await records.put(key, ENDED, { version, expiresAt: now + DAY_MS })) return set
      }
      throw new StoreError(`expected the session to end within ${MAX_TRIES} tries, got newer ones`, {
        code: 'session_contended',
      })
    },
  }
}

/** The set in a record, while it counts: by a field that was written with it, since a store may keep it for longer. */
function unwrapped(text: string | undefined, now: number): unknown {
  if (text === undefined || text === ENDED) return undefined
  try {
    const { expiresAt, set } = Object(JSON.parse(text)) as Record<string, unknown>
    return typeof expiresAt === 'number' && now < expiresAt ? set : undefined
  } catch {
    return undefined
  }
}
