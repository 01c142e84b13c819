import { LRUCache } from 'lru-cache'
import type { TokenStore } from '../store/index.ts'
import { type Clock, canonicalText, sha256 } from '../util/index.ts'
import { openedText, sealedText } from './sealed-text.ts'
import type { TokenSet } from './token-set.ts'
import { tokenSetFrom, tokenSetText } from './token-set-text.ts'

/** What the processes that refresh the same sessions know together, for as long as it matters. All of it may be missing. */
export interface SharedMemory {
  /** The set that a refresh with this token has brought, for whoever still has the token. */
  successorOf(refreshToken: string): Promise<TokenSet | undefined>
  /** `until` is the end of the grace unless it is given. */
  keepSuccessor(refreshToken: string, set: TokenSet, until?: number): Promise<void>
  /** Says that a refresh token is about to be sent; tells whether somebody said so before and never said how it ended. */
  beginRefresh(refreshToken: string): Promise<boolean>
  /** Says that it is known how that ended. */
  endRefresh(refreshToken: string): Promise<void>
  /** Says that a session is over up to a generation, for refreshes that are under way. */
  markEnded(lineage: string, generation: number): Promise<void>
  /** Whether it was over when this generation was written; a later sign-in has a higher one. */
  isEnded(lineage: string, generation: number): Promise<boolean>
}

/** What {@link createSharedMemory} needs. */
export interface SharedMemoryOptions {
  /** Tolerant of failures; where there is none, this process remembers for itself. */
  readonly store: TokenStore | undefined
  readonly clock: Clock
  /** How long the successor of a refresh token is known. */
  readonly graceMs: number
  readonly maxEntries: number
}

/** An intent says something for as long as a process may be away that was killed in the middle. */
const INTENT_MS = 24 * 60 * 60 * 1000
/** Longer than any refresh takes. */
const ENDED_MS = 10 * 60 * 1000

interface Successor {
  readonly set: TokenSet
  readonly until: number
}

/** Remembers in this process, and in the store for the others. Names are hashes; a successor can be read by whoever has the token before it, and nobody else. */
export function createSharedMemory({ store, clock, graceMs, maxEntries }: SharedMemoryOptions): SharedMemory {
  const successors = new LRUCache<string, Successor>({ max: maxEntries })
  const ended = new LRUCache<string, number>({ max: maxEntries })
  const nameOf = (kind: string, text: string): Promise<string> => sha256(canonicalText([1, 'session', kind, text]))

  return {
    async successorOf(refreshToken) {
      const name = await nameOf('successor', refreshToken)
      const known = successors.get(name)
      if (known !== undefined && clock.now() < known.until) return known.set
      const sealed = await store?.get(name)
      return sealed === undefined ? undefined : tokenSetFrom(await openedText(refreshToken, name, sealed))
    },
    async keepSuccessor(refreshToken, set, until = clock.now() + graceMs) {
      const name = await nameOf('successor', refreshToken)
      successors.set(name, { set, until })
      if (store !== undefined) await store.set(name, await sealedText(refreshToken, name, tokenSetText(set)), until)
    },
    async beginRefresh(refreshToken) {
      if (store === undefined) return false
      const name = await nameOf('intent', refreshToken)
      const before = await store.get(name)
      if (before === undefined) await store.set(name, '1', clock.now() + INTENT_MS)
      return before !== undefined
    },
    async endRefresh(refreshToken) {
      await store?.delete(await nameOf('intent', refreshToken))
    },
    async markEnded(lineage, generation) {
      const name = await nameOf('ended', lineage)
      ended.set(name, generation)
      await store?.set(name, String(generation), clock.now() + ENDED_MS)
    },
    async isEnded(lineage, generation) {
      const name = await nameOf('ended', lineage)
      if (generation <= (ended.get(name) ?? 0)) return true
      return generation <= Number((await store?.get(name)) ?? 0)
    },
  }
}
