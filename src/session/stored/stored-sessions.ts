import { assertRecordStore, type RecordStore, timedRecords } from '../../store/index.ts'
import { assertCount, assertMethods, assertOptions, ConfigurationError } from '../../token/index.ts'
import { type Clock, describe, systemClock } from '../../util/index.ts'
import { type EndableSessions, isOffline } from '../logout/logout.ts'
import type { SessionTokens } from '../session-tokens.ts'
import type { SubjectSessions } from '../subject-sessions.ts'
import { createIndexedSessions } from './indexed-sessions.ts'
import { createSessionRecords } from './session-records.ts'
import { type SessionPlace, StoredSession, subjectSession } from './stored-session.ts'

/** How long sessions last. */
export interface StoredSessionsOptions {
  /** A session that nothing was written to for so long is over, in milliseconds. Default 24 hours. */
  readonly idleMs?: number | undefined
  /** A session is over so long after the sign-in, whatever happens, in milliseconds. Default 30 days. */
  readonly absoluteMs?: number | undefined
  /** How long one answer of the records may take, in milliseconds, where they have no deadline of their own. Default 1,000. */
  readonly deadlineMs?: number | undefined
  readonly clock?: Clock | undefined
}

/** Sessions in one place that all processes share, each under a random id. */
export interface StoredSessions extends SubjectSessions, EndableSessions {
  /** A new one, whose id a browser may carry. Nothing is written before something is saved. */
  create(): SessionTokens
  /**
   * The one with this id, as a browser has sent it; a new one for any other text. A sign-in that is saved there changes the id.
   *
   * @throws ConfigurationError with code `session_invalid` for what is no text, or an empty one.
   */
  open(id: string): SessionTokens
}

const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS
const DEADLINE_MS = 1000
/** What `create` makes. */
const ID = /^[\w-]{24}$/

/**
 * Keeps the tokens of users in a record store. The store sees a hash of an id and not the id, so that whoever reads it cannot use the sessions; encrypt what
 * is in it with `encryptedRecords`. Beside each session it is kept whose it is, under hashes too, so that a logout at the server can find it.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function storedSessions(records: RecordStore, options: StoredSessionsOptions = {}): StoredSessions {
  const given: unknown = options
  assertRecordStore('storedSessions', records)
  assertOptions('storedSessions', given, ['idleMs', 'absoluteMs', 'deadlineMs', 'clock'])
  assertCount('storedSessions', 'idleMs', options.idleMs)
  assertCount('storedSessions', 'absoluteMs', options.absoluteMs)
  assertCount('storedSessions', 'deadlineMs', options.deadlineMs)
  if (options.clock !== undefined)
    assertMethods('storedSessions', { option: 'clock', value: options.clock }, ['now', 'setTimer'])
  const { idleMs = DAY_MS, absoluteMs = 30 * DAY_MS, deadlineMs = DEADLINE_MS, clock = systemClock } = options
  const timed = timedRecords(records, { subject: 'storedSessions', ms: deadlineMs, clock })
  const kept = createSessionRecords(timed, { idleMs, absoluteMs, clock })
  const indexed = createIndexedSessions({ records: timed, kept, absoluteMs, clock })

  const ofBrowsers: SessionPlace = { load: kept.load, save: indexed.save, clear: indexed.clear }
  // What is kept for jobs with the user's leave outlives every logout: nobody has to find it.
  const ofSubjects: SessionPlace = {
    ...ofBrowsers,
    save: (key, set) => (isOffline(set) ? kept : indexed).save(key, set),
  }
  return {
    create: () => new StoredSession(ofBrowsers),
    open(id) {
      if (typeof id !== 'string' || id === '') {
        throw new ConfigurationError(`storedSessions: expected the id of a session, got ${describe(id)}`, {
          code: 'session_invalid',
        })
      }
      // Browsers send anything. What no session can have as its id is none, and what is saved there has an id of its own.
      return ID.test(id) ? new StoredSession(ofBrowsers, id) : new StoredSession(ofBrowsers)
    },
    ofSubject: (subject) => subjectSession(ofSubjects, subject),
    end: indexed.end,
  }
}
