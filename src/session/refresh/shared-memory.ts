import { LRUCache } from 'lru-cache'
import { createTolerance, type TokenStore } from '../../store/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import { type Clock, canonicalText, sha256 } from '../../util/index.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { tokenSetFrom, tokenSetText } from '../token-set/token-set-text.ts'
import { openedText, sealedText } from './sealed-text.ts'

/** A refresh token, and whose it is: two servers may give tokens of the same text. */
export type Spendable = Pick<TokenSet, 'client' | 'refreshToken'>

/** What came of refreshes. */
export interface SharedSuccessors {
  /** How long the successor of a set is known. */
  readonly graceMs: number
  /** The set that a refresh of this one has brought, for whoever still has this one; `unknown` where nobody can be asked. */
  successorOf(set: Spendable): Promise<TokenSet | 'unknown' | undefined>
  /** Tells whether it is written; `until` is the end of the grace unless it is given. */
  keepSuccessor(before: Spendable, set: TokenSet, until?: number): Promise<boolean>
}

/** Which refreshes have begun. */
export interface SharedIntents {
  /**
   * Until when somebody who never said how it ended may be spending a refresh token, in milliseconds since the epoch: in the past where that was interrupted.
   * `unknown` where nobody can be asked.
   */
  intentOf(set: Spendable): Promise<number | 'unknown' | undefined>
  /** Says that a refresh token is about to be sent, and until when that may take; tells whether it is noted. */
  beginRefresh(set: Spendable, until: number): Promise<boolean>
  /** Says that it is known how that ended. */
  endRefresh(set: Spendable): Promise<void>
}

/** Which sessions are over. */
export interface SharedEnds {
  /** Says that a session is over up to a generation, for refreshes that are under way; what was said of a higher one stays. */
  markEnded(lineage: string, generation: number): Promise<void>
  /** Whether it was over when this generation was written, or `unknown` where nobody can be asked; a later sign-in has a higher one. */
  isEnded(lineage: string, generation: number): Promise<boolean | 'unknown'>
}

/** What the processes that refresh the same sessions know together, for as long as it matters. All of it may be missing. */
export interface SharedMemory extends SharedSuccessors, SharedIntents, SharedEnds {}

/** What {@link createSharedMemory} needs. */
export interface SharedMemoryOptions {
  /** Its failures are tolerated; where there is none, this process remembers for itself. */
  readonly store: TokenStore | undefined
  readonly telemetry: Telemetry
  readonly clock: Clock
  /** How long the successor of a refresh token is known. */
  readonly graceMs: number
  readonly maxEntries: number
}

/** An intent says something for as long as a process may be away that was killed in the middle. */
const INTENT_MS = 24 * 60 * 60 * 1000
/** A cache may be missing sooner; without what is noted here a session in cookies is not refreshed, and its caller gets an error. */
const DEADLINE_MS = 1000
const INTENT = /^until (\d+)$/
/** Longer than any refresh takes. */
const ENDED_MS = 10 * 60 * 1000

interface Successor {
  readonly set: TokenSet
  readonly until: number
}

/** What a store answered, or that it did not; what is lost and what is not there are not the same here. */
type Asked = { readonly text: string | undefined } | 'unknown'

/** Remembers in this process, and in the store for the others. Names are hashes; a successor can be read by whoever has the token before it, and nobody else. */
export function createSharedMemory(options: SharedMemoryOptions): SharedMemory {
  const notes = openNotes(options)
  return { ...openSuccessors(notes, options), ...openIntents(notes, options), ...openEnds(notes, options) }
}

function openSuccessors({ ask, note }: Notes, options: SharedMemoryOptions): SharedSuccessors {
  const { clock, graceMs, maxEntries } = options
  const successors = new LRUCache<string, Successor>({ max: maxEntries })
  return {
    graceMs,
    async successorOf({ client, refreshToken }) {
      if (refreshToken === undefined) return undefined
      const name = await hashOf('successor', client, refreshToken)
      const known = successors.get(name)
      if (known !== undefined && clock.now() < known.until) return known.set
      const found = await ask(name)
      if (found === 'unknown') return found
      return found.text === undefined ? undefined : tokenSetFrom(await openedText(refreshToken, name, found.text))
    },
    async keepSuccessor({ client, refreshToken }, set, until = clock.now() + graceMs) {
      if (refreshToken === undefined) return true
      const name = await hashOf('successor', client, refreshToken)
      const isWritten =
        options.store === undefined ||
        (await note(name, await sealedText(refreshToken, name, tokenSetText(set)), until))
      // Not before: nobody here must have what the others may never hear of.
      successors.set(name, { set, until })
      return isWritten
    },
  }
}

function openIntents({ ask, note, forget }: Notes, { clock }: SharedMemoryOptions): SharedIntents {
  const nameOf = ({ client, refreshToken = '' }: Spendable): Promise<string> => hashOf('intent', client, refreshToken)
  return {
    async intentOf(set) {
      const found = await ask(await nameOf(set))
      if (found === 'unknown') return found
      // Whatever else is there, somebody has begun.
      return found.text === undefined ? undefined : Number(INTENT.exec(found.text)?.[1] ?? 0)
    },
    async beginRefresh(set, until) {
      return note(await nameOf(set), `until ${until}`, clock.now() + INTENT_MS)
    },
    async endRefresh(set) {
      await forget(await nameOf(set))
    },
  }
}

function openEnds({ ask, note }: Notes, { clock, maxEntries }: SharedMemoryOptions): SharedEnds {
  const ended = new LRUCache<string, number>({ max: maxEntries })
  return {
    async markEnded(lineage, generation) {
      const name = await hashOf('ended', lineage)
      const found = await ask(name)
      const mark = Math.max(generation, ended.get(name) ?? 0, found === 'unknown' ? 0 : Number(found.text ?? 0))
      ended.set(name, mark)
      await note(name, String(mark), clock.now() + ENDED_MS)
    },
    async isEnded(lineage, generation) {
      const name = await hashOf('ended', lineage)
      if (generation <= (ended.get(name) ?? 0)) return true
      const found = await ask(name)
      return found === 'unknown' ? found : generation <= Number(found.text ?? 0)
    },
  }
}

function hashOf(kind: string, ...of: readonly string[]): Promise<string> {
  return sha256(canonicalText([1, 'session', kind, ...of]))
}

interface Notes {
  ask(name: string): Promise<Asked>
  /** Whether it is written; where there is no store there is nothing to write. */
  note(name: string, text: string, until: number): Promise<boolean>
  forget(name: string): Promise<void>
}

function openNotes({ store, clock, telemetry }: SharedMemoryOptions): Notes {
  if (store === undefined) {
    return { ask: async () => ({ text: undefined }), note: async () => true, forget: async () => {} }
  }
  const tolerate = createTolerance({ clock, telemetry, deadlineMs: DEADLINE_MS })
  return {
    async ask(name) {
      const read = await tolerate('get', async (signal) => ({ text: await store.get(name, { signal }) }))
      if (read === undefined) return 'unknown'
      return { text: typeof read.text === 'string' ? read.text : undefined }
    },
    async note(name, text, until) {
      const written = await tolerate('set', async () => {
        await store.set(name, text, until)
        return true
      })
      return written === true
    },
    async forget(name) {
      await tolerate('delete', () => store.delete(name))
    },
  }
}
