import type { Awaitable } from '../util/index.ts'

/**
 * The port for news between processes that share a store: what one of them has deleted, or seen refused, the others
 * forget from their memory. News may be lost, so memory keeps nothing for long all the same.
 */
export interface Invalidations {
  /** Tells the others that what was kept under a key does not count any more. */
  publish(key: string): Awaitable<void>
  /** Calls back for every key that another process tells of; the returned function ends that. */
  subscribe(onKey: (key: string) => void): () => void
}
