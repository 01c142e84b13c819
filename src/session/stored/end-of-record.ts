import type { RecordStore, RecordWrite } from '../../store/index.ts'
import { StoreError } from '../../token/index.ts'
import { END_MARGIN } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import {
  ABSENT,
  ENDED,
  keptUntil,
  LAST_VERSION,
  livingRecord,
  recordFrom,
  type SessionLifetime,
  versionOf,
} from './session-record.ts'

/** Each time a refresh was quicker; there are no more than a few under way. */
const MAX_TRIES = 20

/** What ends a session by its record: see `SessionRecords`. */
export type EndRecord = (
  key: string,
  isMeant: (set: TokenSet) => boolean,
  until?: number,
) => Promise<TokenSet | undefined>

export function createEndOfRecord(records: RecordStore, lifetime: SessionLifetime): EndRecord {
  const { absoluteMs, clock } = lifetime

  /** What is left in the place of what was there, and for how long. */
  function markFor(
    text: string | undefined,
    until: number | undefined,
  ): { readonly mark: string; readonly expiresAt: number } {
    const startedAt = text === ENDED ? clock.now() : recordFrom(text)?.set.startedAt
    const over = startedAt === undefined ? until : startedAt + absoluteMs
    return { mark: over === undefined ? ABSENT : ENDED, expiresAt: keptUntil(over ?? 0, clock) }
  }
  return async (key, isMeant, until) => {
    const began = Math.floor(clock.now())
    let isBlind = false
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      // Before the look: what signs in after it has a higher generation, and stays.
      const now = Math.floor(clock.now())
      const text = await records.get(key)
      const set = livingRecord(text, lifetime)?.set
      if (set !== undefined && (!isMeant(set) || (isBlind && set.generation >= began))) return undefined
      // Higher than what any refresh of this session may still write; a clock that is behind must not keep a session from its end.
      const generation = set === undefined ? now : Math.max(now, set.generation + END_MARGIN)
      const { mark, expiresAt } = markFor(text, until)
      if (await putMark(records, { key, mark, version: versionOf(generation, LAST_VERSION), expiresAt })) return set
      // Somebody else has ended it.
      if (text === ENDED || text === ABSENT) return undefined
      if (set === undefined && isBlind) throw unreadable()
      isBlind = set === undefined
    }
    throw new StoreError(`expected the session to end within ${MAX_TRIES} tries, got newer ones`, {
      code: 'session_contended',
    })
  }
}

interface Mark extends RecordWrite {
  readonly key: string
  readonly mark: string
}

async function putMark(records: RecordStore, { key, mark, ...write }: Mark): Promise<boolean> {
  try {
    return await records.put(key, mark, write)
  } catch (error) {
    // The answer may have got lost on its way here.
    const found = await (async () => records.get(key))().catch(() => undefined)
    if (found === mark) return true
    throw error
  }
}

function unreadable(): StoreError {
  return new StoreError('expected the session to end, got a newer one that nobody can read here', {
    code: 'session_unreadable',
  })
}
