import { LRUCache } from 'lru-cache'
import type { Clock } from '../util/index.ts'

/** Numbers for the writes of each entry, and the highest number that has been seen of each. */
export interface Generations {
  /** Higher than every number that was seen or given before under this key. */
  next(key: string): number
  /** The number that an entry must have at least. */
  least(key: string): number
  /** Takes note of an entry that is in the store, or was. */
  saw(key: string, generation: number): void
}

interface Marks {
  readonly seen: number
  readonly given: number
}

/**
 * Numbers that grow across processes as far as their clocks agree: the milliseconds of the clock, or one more than was
 * known already. The keys that were not used for longest are forgotten beyond `maxEntries`.
 */
export function createGenerations(clock: Clock, maxEntries: number): Generations {
  const keys = new LRUCache<string, Marks>({ max: maxEntries })
  const marksOf = (key: string): Marks => keys.get(key) ?? { seen: 0, given: 0 }
  return {
    next(key) {
      const { seen, given } = marksOf(key)
      const generation = Math.max(Math.floor(clock.now()), seen + 1, given + 1)
      keys.set(key, { seen, given: generation })
      return generation
    },
    least: (key) => marksOf(key).seen,
    saw(key, generation) {
      const { seen, given } = marksOf(key)
      if (generation > seen) keys.set(key, { seen: generation, given })
    },
  }
}
