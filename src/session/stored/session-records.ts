import type { RecordStore } from '../../store/index.ts'
import type { Awaitable } from '../../util/index.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { createEndOfRecord } from './end-of-record.ts'
import {
  keptUntil,
  LAST_VERSION,
  livingRecord,
  recordText,
  type SessionLifetime,
  type SessionRecord,
  versionOf,
} from './session-record.ts'

export type { SessionLifetime } from './session-record.ts'

/** The records of sessions, by their keys. */
export interface SessionRecords {
  load(key: string): Promise<TokenSet | undefined>
  /** Whether there is none that counts; a look that keeps nothing alive. */
  isOver(key: string): Promise<boolean>
  save(key: string, set: TokenSet): Promise<boolean>
  /**
   * Ends the session that is there, if it is the one that is meant: nothing that comes of it is kept after this. Gives what it had. Where there is none yet, the one
   * that is about to be saved is not: for ten minutes, or until the instant at which it would be over.
   *
   * @throws StoreError with code `session_contended`, or `session_unreadable` where something is there that can be neither read nor replaced.
   */
  end(key: string, isMeant: (set: TokenSet) => boolean, until?: number): Promise<TokenSet | undefined>
}

/** Reads and writes the records of sessions. */
export function createSessionRecords(records: RecordStore, lifetime: SessionLifetime): SessionRecords {
  const { idleMs, absoluteMs, clock } = lifetime

  function write(key: string, set: TokenSet, reads: number): Awaitable<boolean> {
    const expiresAt = endOf(set)
    const text = recordText({ set, reads, expiresAt })
    return records.put(key, text, {
      version: versionOf(set.generation, reads),
      expiresAt: keptUntil(expiresAt, clock),
    })
  }
  function endOf({ startedAt, sessionExpiresAt = Number.POSITIVE_INFINITY }: TokenSet): number {
    return Math.min(startedAt + absoluteMs, clock.now() + idleMs, sessionExpiresAt)
  }
  /** A session that is used does not become idle; not each of its requests has to say so. */
  async function keepAlive(key: string, { set, reads, expiresAt }: SessionRecord): Promise<void> {
    if (endOf(set) < expiresAt + idleMs / 2 || reads + 1 >= LAST_VERSION) return
    try {
      await write(key, set, reads + 1)
    } catch {
      // The next request says so.
    }
  }
  return {
    async load(key) {
      const record = livingRecord(await records.get(key), lifetime)
      if (record === undefined) return undefined
      await keepAlive(key, record)
      return record.set
    },
    isOver: async (key) => livingRecord(await records.get(key), lifetime) === undefined,
    save: async (key, set) => write(key, set, 0),
    end: createEndOfRecord(records, lifetime),
  }
}
