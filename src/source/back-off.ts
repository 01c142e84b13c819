import { isEvertokenError } from '../token/index.ts'

/** What is remembered of renewals that failed in a row. */
export interface FailureMemory {
  readonly error: unknown
  /** How many failed in a row. */
  readonly count: number
  /** When the last one failed. */
  readonly at: number
  /** A number in [0, 1), drawn once per failure. */
  readonly jitter: number
}

/** A refusal that only a person can mend is asked about twelve times a minute. */
const PERMANENT_MS = 5000
/** Pauses between tries while a token is still good: nobody is waiting. */
const HELD = { firstMs: 1000, maxMs: 30_000 }
/** Pauses between tries while there is no token: everybody is waiting. */
const EMPTY = { firstMs: 50, maxMs: 1000 }

/** The earliest instant at which another try makes sense. */
export function nextAttemptAt({ error, count, at, jitter }: FailureMemory, holdsToken: boolean): number {
  const wished = retryAtOf(error)
  if (wished !== undefined) return wished
  if (isEvertokenError(error) && !error.retryable) return at + PERMANENT_MS
  if (holdsToken) return at + pause(HELD, count, jitter)
  // A first failure may have been bad luck: the next call may try at once.
  return count === 1 ? at : at + pause(EMPTY, count - 1, jitter)
}

/** When a server that asked for a pause wants to be asked again, in milliseconds since the epoch. */
export function retryAtOf(error: unknown): number | undefined {
  return isEvertokenError(error) && 'retryAt' in error ? error.retryAt : undefined
}

function pause({ firstMs, maxMs }: { firstMs: number; maxMs: number }, count: number, jitter: number): number {
  return Math.min(maxMs, firstMs * 2 ** (count - 1)) * (0.5 + jitter / 2)
}

/** What is remembered of tokens that a resource server refused. */
export interface RejectionMemory {
  readonly count: number
  readonly at: number
}

const REJECTION = { firstMs: 1000, maxMs: 60_000 }
/** Tokens that nobody refused for so long are beyond suspicion again. */
const REJECTIONS_FORGOTTEN_MS = 5 * 60 * 1000

/**
 * Whether another refused token is worth a renewal: the first is at once, the next ones with growing pauses, so that an API
 * which refuses everything does not turn into a flood of token requests.
 *
 * @returns The memory to keep, or `undefined` when it is too early.
 */
export function admitRejection(memory: RejectionMemory | undefined, now: number): RejectionMemory | undefined {
  if (memory === undefined || now - memory.at > REJECTIONS_FORGOTTEN_MS) return { count: 1, at: now }
  return now - memory.at >= pause(REJECTION, memory.count, 1) ? { count: memory.count + 1, at: now } : undefined
}
