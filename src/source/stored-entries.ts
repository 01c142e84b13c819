import { createTolerance, type TokenStore } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { type Clock, waitFor } from '../util/index.ts'
import { deletionEntry, entryFrom, type ObtainedToken, type StoredEntry, tokenEntry } from './stored-token.ts'

/**
 * Turns what is kept in a store into text and back. `JSON` is one. What it makes is a plain object of strings and numbers, and `parse` gives an equal one;
 * an entry that it cannot read counts as missing.
 */
export interface Serializer {
  stringify(entry: object): string
  parse(text: string): unknown
}

/** What an entry is called. */
export interface EntryName {
  /** Names the token among all others. */
  readonly identity: string
  /** Where it is in the store. */
  readonly key: string
}

/** What a look into the store has found: an entry, nothing, or no store that could be asked. */
export type Finding = StoredEntry | { readonly kind: 'nothing' } | { readonly kind: 'unknown' }

/** The tokens in a store that is shared. */
export interface StoredEntries {
  read(name: EntryName, signal?: AbortSignal): Promise<Finding>
  write(name: EntryName, obtained: ObtainedToken): Promise<void>
  /** Deletes a token, and puts a mark in its place for as long as somebody may have it in memory. */
  markDeleted(name: EntryName, until: number): Promise<void>
}

/** What {@link createStoredEntries} needs. */
export interface StoredEntriesOptions {
  readonly store: TokenStore
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** Default `JSON`. */
  readonly serializer?: Serializer | undefined
}

/** Reads and writes tokens. What store or serializer fail with costs the entry, and no caller. */
export function createStoredEntries(options: StoredEntriesOptions): StoredEntries {
  const { store, clock, telemetry, serializer = JSON } = options
  const tolerate = createTolerance(options)

  function ignored(): Finding {
    telemetry.note({ name: 'entry_ignored', reason: 'malformed' })
    return NOTHING
  }
  async function put(key: string, entry: object, expiresAt: number): Promise<void> {
    const text = attempt(() => serializer.stringify(entry))
    if (typeof text === 'string') await tolerate('set', () => store.set(key, text, expiresAt))
    else ignored()
  }
  function parsed(text: string, identity: string): Finding {
    const value = attempt(() => serializer.parse(text))
    const entry = value === undefined ? 'malformed' : entryFrom(value, { identity, now: clock.now() })
    return entry === 'malformed' ? ignored() : (entry ?? NOTHING)
  }

  return {
    async read({ identity, key }, signal) {
      // One caller that leaves is no failure of the store.
      const asked = tolerate('get', async (deadline) => ({ text: await store.get(key, { signal: deadline }) }))
      const answer: { readonly text: unknown } | undefined = await waitFor(asked, signal)
      if (answer === undefined) return { kind: 'unknown' }
      const { text } = answer
      if (text === undefined || text === null) return NOTHING
      return typeof text === 'string' ? parsed(text, identity) : ignored()
    },
    write: ({ identity, key }, obtained) => put(key, tokenEntry(identity, obtained), obtained.token.expiresAt),
    async markDeleted({ identity, key }, until) {
      // A store that is full may have no room for the mark, and has to be rid of the token all the same.
      await tolerate('delete', () => store.delete(key))
      await put(key, deletionEntry(identity, clock.now()), until)
    },
  }
}

const NOTHING: Finding = { kind: 'nothing' }

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    // Named in the conventions: what is cached may be missing. The event tells of it.
    return undefined
  }
}
