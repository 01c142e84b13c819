import type { TokenStore } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { AccessToken } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import { type DELETED, deletionEntry, tokenEntry, tokenFrom } from './stored-token.ts'

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

/** The tokens in a store that is shared. */
export interface StoredEntries {
  /** The token, or the mark of its deletion, if there is either. */
  read(name: EntryName, signal?: AbortSignal): Promise<AccessToken | typeof DELETED | undefined>
  write(name: EntryName, token: AccessToken): Promise<void>
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

/** Reads and writes tokens. What a serializer fails with costs the entry, and no caller. */
export function createStoredEntries(options: StoredEntriesOptions): StoredEntries {
  const { store, clock, telemetry, serializer = JSON } = options

  function ignored(): undefined {
    telemetry.note({ name: 'entry_ignored', reason: 'malformed' })
  }
  async function put(key: string, entry: object, expiresAt: number): Promise<void> {
    const text = attempt(() => serializer.stringify(entry))
    if (typeof text === 'string') await store.set(key, text, expiresAt)
    else ignored()
  }

  return {
    async read({ identity, key }, signal) {
      const text: unknown = await store.get(key, { signal })
      if (text === undefined) return undefined
      const entry = typeof text === 'string' ? attempt(() => serializer.parse(text)) : undefined
      return entry === undefined ? ignored() : tokenFrom(entry, { identity, now: clock.now() })
    },
    write: ({ identity, key }, token) => put(key, tokenEntry(token, { identity, now: clock.now() }), token.expiresAt),
    async markDeleted({ identity, key }, until) {
      // A store that is full may have no room for the mark, and has to be rid of the token all the same.
      await store.delete(key)
      await put(key, deletionEntry({ identity, now: clock.now() }), until)
    },
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    // Named in the conventions: what is cached may be missing. The event tells of it.
    return undefined
  }
}
