import type { Clock } from '../../util/index.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { tokenSetFrom, tokenSetText } from '../token-set/token-set-text.ts'

/** How long a session lasts. */
export interface SessionLifetime {
  readonly idleMs: number
  readonly absoluteMs: number
  readonly clock: Clock
}

/** What is kept of a session. */
export interface SessionRecord {
  readonly set: TokenSet
  /** How often its end was put off since the set was written. */
  readonly reads: number
  readonly expiresAt: number
}

/** What stands in the place of a session that was ended: for as long as that could have lasted, lest a late writer bring it back. */
export const ENDED = 'ended'
/** What stands where there was none: anybody may sign out of anything, and leaves no more than that behind. */
export const ABSENT = 'absent'

/** Versions of one generation, and the last of them, which is that of an end. Milliseconds of now times this is a safe integer until 2109. */
const VERSIONS = 2048
export const LAST_VERSION: number = VERSIONS - 1

/** The least for which a write is kept: one that is over when it comes has to stand in the way of older ones all the same. */
const MIN_KEPT_MS = 10 * 60 * 1000

/** Until when what is over at an instant is kept. */
export function keptUntil(expiresAt: number, clock: Clock): number {
  return Math.max(expiresAt, clock.now() + MIN_KEPT_MS)
}

/** Whoever puts off the end of a set must not be in the way of the next one. */
export function versionOf(generation: number, reads: number): number {
  return generation * VERSIONS + reads
}

export function recordText({ set, reads, expiresAt }: SessionRecord): string {
  return JSON.stringify({ expiresAt, reads, set: tokenSetText(set) })
}

/** What is in a text, whether it counts or not. */
export function recordFrom(text: string | undefined): SessionRecord | undefined {
  if (text === undefined || text === ENDED || text === ABSENT) return undefined
  try {
    const { expiresAt, reads, set: inside } = Object(JSON.parse(text)) as Record<string, unknown>
    const set = tokenSetFrom(inside)
    const isRecord = typeof expiresAt === 'number' && Number.isSafeInteger(reads)
    return isRecord && set !== undefined ? { set, reads: Number(reads), expiresAt } : undefined
  } catch {
    return undefined
  }
}

/** What is in a text, while it counts: by a field that was written with it, since a store may keep it for longer. */
export function livingRecord(
  text: string | undefined,
  { absoluteMs, clock }: Omit<SessionLifetime, 'idleMs'>,
): SessionRecord | undefined {
  const record = recordFrom(text)
  if (record === undefined) return undefined
  return clock.now() < Math.min(record.expiresAt, record.set.startedAt + absoluteMs) ? record : undefined
}
