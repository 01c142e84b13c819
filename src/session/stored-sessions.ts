import { assertRecordStore, type RecordStore } from '../store/index.ts'
import { assertCount, assertMethods, assertOptions, ConfigurationError } from '../token/index.ts'
import { type Clock, canonicalText, describe, randomId, sha256, systemClock } from '../util/index.ts'
import { createIndexedSessions } from './indexed-sessions.ts'
import { type EndableSessions, isOffline } from './logout.ts'
import { createSessionRecords } from './session-records.ts'
import type { SessionTokens } from './session-tokens.ts'
import type { SubjectSessions } from './subject-sessions.ts'

/** How long sessions last. */
export interface StoredSessionsOptions {
  /** A session that nothing was written to for so long is over, in milliseconds. Default 24 hours. */
  readonly idleMs?: number | undefined
  /** A session is over so long after the sign-in, whatever happens, in milliseconds. Default 30 days. */
  readonly absoluteMs?: number | undefined
  readonly clock?: Clock | undefined
}

/** Sessions in one place that all processes share, each under a random id. */
export interface StoredSessions extends SubjectSessions, EndableSessions {
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

/**
 * Keeps the tokens of users in a record store. The store sees a hash of an id and not the id, so that whoever reads it cannot use the sessions; encrypt what
 * is in it with `encryptedRecords`. Beside each session it is kept whose it is, under hashes too, so that a logout at the server can find it.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function storedSessions(records: RecordStore, options: StoredSessionsOptions = {}): StoredSessions {
  const given: unknown = options
  assertRecordStore('storedSessions', records)
  assertOptions('storedSessions', given, ['idleMs', 'absoluteMs', 'clock'])
  assertCount('storedSessions', 'idleMs', options.idleMs)
  assertCount('storedSessions', 'absoluteMs', options.absoluteMs)
  if (options.clock !== undefined) assertMethods('storedSessions', { option: 'clock', value: options.clock }, ['now'])
  const { idleMs = DAY_MS, absoluteMs = 30 * DAY_MS, clock = systemClock } = options
  const kept = createSessionRecords(records, { idleMs, absoluteMs, clock })
  const indexed = createIndexedSessions({ records, kept, absoluteMs, clock })

  function session(id: string, isOfSubject: boolean): SessionTokens {
    const key = sha256(canonicalText([1, 'session', id]))
    return {
      id,
      kind: 'stored',
      load: async () => kept.load(await key),
      // What is kept for jobs with the user's leave outlives every logout: nobody has to find it.
      save: async (set) => (isOfSubject && isOffline(set) ? kept : indexed).save(await key, set),
      clear: async () => indexed.clear(await key),
    }
  }
  return {
    create: () => session(randomId(), false),
    open(id) {
      if (typeof id === 'string' && id.length >= MIN_ID_LENGTH) return session(id, false)
      throw new ConfigurationError(`storedSessions: expected the id of a session, got ${describe(id)}`, {
        code: 'session_invalid',
      })
    },
    ofSubject: ({ issuer, clientId, subject }) => session(canonicalText(['subject', issuer, clientId, subject]), true),
    end: (logout) => indexed.end(logout),
  }
}
