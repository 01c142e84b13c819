import type { AccessToken } from 'evertoken'
import type { Identity } from './identities.ts'
import type { Machine } from './machine.ts'

/** What is promised in a world of one kind. */
export interface Promises {
  /** Every write to the store stays, and news is heard. */
  readonly isStoreSound: boolean
  /** Store and lock work, but for what is told to the witness as an excuse. */
  readonly isFrugal: boolean
  /** The server answers. */
  readonly isServerUp: boolean
}

/** One call of a caller. */
export interface Call {
  readonly machine: Machine
  readonly identity: Identity
  readonly rejected?: AccessToken | undefined
  readonly abort?: AbortController | undefined
}

/** What one process knows of one identity. */
export interface Memory {
  readonly given: Set<string>
  /** Deleted, or refused and replaced: not to be given any more. */
  readonly gone: Set<string>
  lastRefusalAt: number
  /** When the last deletion began that has ended. */
  deletedAt: number
}

/** A call that is under way. */
export interface OpenCall extends Call {
  readonly number: number
  readonly memory: Memory
  readonly beganAt: number
  /** What was gone then. */
  readonly gone: ReadonlySet<string>
  readonly deletedAt: number
  readonly mayBeGivenRefused: boolean
}
