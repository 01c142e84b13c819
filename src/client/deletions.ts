import type { EntryHistory } from '../source/index.ts'

/** So many requests are remembered whose tokens were deleted. */
const MAX_ENTRIES = 10_000
const NO_HISTORY: EntryHistory = { changes: 0, deletedAt: 0 }

/** What one process remembers of tokens that were deleted, by the shape of their requests. */
export interface Deletions {
  of(shape: string): EntryHistory
  /** This process has deleted a token. */
  deleted(shape: string, now: number): void
  /** Another process tells that it has. */
  heard(shape: string): void
}

/** Remembers deletions; those that are longest ago go. */
export function createDeletions(): Deletions {
  const histories = new Map<string, EntryHistory>()
  // Never the same again, even for a history that went and came back.
  let changes = 0

  function note(shape: string, deletedAt: number): void {
    histories.delete(shape)
    histories.set(shape, { changes: ++changes, deletedAt })
    const [oldest] = histories.keys()
    if (histories.size > MAX_ENTRIES && oldest !== undefined) histories.delete(oldest)
  }
  const of = (shape: string): EntryHistory => histories.get(shape) ?? NO_HISTORY
  return {
    of,
    deleted: (shape, now) => note(shape, Math.floor(now)),
    heard: (shape) => note(shape, of(shape).deletedAt),
  }
}
