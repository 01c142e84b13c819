import { LRUCache } from 'lru-cache'
import { type Clock, systemClock } from '../util/index.ts'
import type { TokenStore } from './token-store.ts'

/** How much a {@link memoryStore} keeps. */
export interface MemoryStoreOptions {
  /** Entries beyond this number push out those that were not used for longest. Default 10,000. */
  readonly maxEntries?: number | undefined
  readonly clock?: Clock | undefined
}

interface Entry {
  readonly value: string
  readonly expiresAt: number
}

/** A bounded store in this process, for tests and for managers that share tokens. */
export function memoryStore({ maxEntries = 10_000, clock = systemClock }: MemoryStoreOptions = {}): TokenStore {
  const entries = new LRUCache<string, Entry>({ max: maxEntries })
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      if (clock.now() < entry.expiresAt) return entry.value
      entries.delete(key)
      return undefined
    },
    set(key, value, expiresAt) {
      entries.set(key, { value, expiresAt })
    },
    delete(key) {
      entries.delete(key)
    },
  }
}
