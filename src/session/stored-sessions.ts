import { assertRecordStore, type RecordStore } from '../store/index.ts'
import { assertCount, assertOptions, ConfigurationError } from '../token/index.ts'
import { type Clock, canonicalText, describe, randomId, sha256, systemClock } from '../util/index.ts'
import type { SessionTokens } from './session-tokens.ts'
import type { SubjectSessions } from './subject-sessions.ts'
import type { TokenSet } from './token-set.ts'
import { tokenSetFrom, tokenSetText } from './token-set-text.ts'

/** How long sessions last. */
export interface StoredSessionsOptions {
  /** A session that nothing was written to for so long is over, in milliseconds. Default 24 hours. */
  readonly idleMs?: number | undefined
  /** A session is over so long after the sign-in, whatever happens, in milliseconds. Default 30 days. */
  readonly absoluteMs?: number | undefined
  readonly clock?: Clock | undefined
}

/** Sessions in one place that all processes share, each under a random id. */
export interface StoredSessions extends SubjectSessions {
  /** A new one, whose id a browser may carry. Nothing is written before something is saved. */
  create(): SessionTokens
  /**
   * The one with this id.
   *
   * @throws ConfigurationError with code `session_invalid` for what no id can be.
   */
  open(id: string): SessionTokens
}

const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS
/** What `create` makes has 22 characters of 6 bits. */
const MIN_ID_LENGTH = 16
/** More refreshes than may be under way. */
const MARGIN = 1000
/** So often a session is ended in whose place another one begins at the same time. */
const MAX_TRIES = 5
/** What stands in the place of a session that was ended. */
const ENDED = 'ended'

/**
 * Keeps the tokens of users in a record store. The store sees a hash of an id and not the id, so that whoever reads it cannot use the sessions; encrypt what
 * is in it with `encryptedRecords`.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function storedSessions(records: RecordStore, options: StoredSessionsOptions = {}): StoredSessions {
  const given: unknown = options
  assertRecordStore('storedSessions', records)
  assertOptions('storedSessions', given, ['idleMs', 'absoluteMs', 'clock'])
  assertCount('storedSessions', 'idleMs', options.idleMs)
  assertCount('storedSessions', 'absoluteMs', options.absoluteMs)
  const { idleMs = DAY_MS, absoluteMs = 30 * DAY_MS, clock = systemClock } = options

  function endOf(set: TokenSet): number {
    return Math.min(set.startedAt + absoluteMs, clock.now() + idleMs)
  }
  function session(id: string): SessionTokens {
    const key = sha256(canonicalText([1, 'session', id]))
    return {
      id,
      kind: 'stored',
      async load() {
        const set = tokenSetFrom(unwrapped(await records.get(await key), clock.now()))
        return set !== undefined && clock.now() < set.startedAt + absoluteMs ? set : undefined
      },
      async save(set) {
        const expiresAt = endOf(set)
        const text = JSON.stringify({ expiresAt, set: tokenSetText(set) })
        return records.put(await key, text, { version: set.generation, expiresAt })
      },
      async clear() {
        for (let tries = 1; ; tries++) {
          const set = tokenSetFrom(unwrapped(await records.get(await key), clock.now()))
          // Higher than what any refresh of this session may still write, and lower than what the next sign-in will, as far as clocks agree.
          const version = Math.max(Math.floor(clock.now()), (set?.generation ?? 0) + MARGIN)
          const isEnded = await records.put(await key, ENDED, { version, expiresAt: clock.now() + DAY_MS })
          if (isEnded || set === undefined || tries === MAX_TRIES) return
        }
      },
    }
  }
  return {
    create: () => session(randomId()),
    open(id) {
      if (typeof id === 'string' && id.length >= MIN_ID_LENGTH) return session(id)
      throw new ConfigurationError(`storedSessions: expected the id of a session, got ${describe(id)}`, {
        code: 'session_invalid',
      })
    },
    ofSubject: ({ issuer, clientId, subject }) => session(canonicalText(['subject', issuer, clientId, subject])),
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
