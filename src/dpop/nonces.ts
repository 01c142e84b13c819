import { LRUCache } from 'lru-cache'
import type { Telemetry } from '../telemetry/index.ts'
import { type Awaitable, type Clock, canonicalText } from '../util/index.ts'
import type { NonceKey, NonceStore } from './nonce-store.ts'
import { isNonce } from './nonce-syntax.ts'
import { writtenBehind } from './written-behind.ts'

/** The nonces of one client: one for every role, origin and key (RFC 9449 sections 8 and 9). */
export interface Nonces {
  /** The nonce for the next proof: at once (no promise) when this process knows one or nothing is shared. Never fails. */
  current(key: NonceKey): Awaitable<string | undefined>
  /** What this process knows, without asking anybody. */
  known(key: NonceKey): string | undefined
  /**
   * Takes note of a response's `DPoP-Nonce` header; `isDemanded` when the response refused a proof with the nonce that is known now,
   * for want of this one. A nonce that was replaced already does not come back by an answer that is late, only when it is demanded.
   * Never throws.
   */
  learn(key: NonceKey, header: string | undefined, isDemanded: boolean): void
}

/** What {@link createNonces} needs. */
export interface NoncesOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** Asked where nothing is known; told of every new nonce. */
  readonly store?: NonceStore | undefined
  /** Entries beyond this number push out those that were not used for longest. Default 1000. */
  readonly maxEntries?: number | undefined
}

interface Entry {
  readonly nonce: string | undefined
  /** Nonces before it, the last first. */
  readonly replaced: readonly string[]
  /** Until when the store counts as having none. */
  readonly emptyUntil: number
}

/** So many rotations an answer may be late. */
const REPLACED_KEPT = 8
/** An API without nonces costs a look into the store once in so long a time. */
const EMPTY_MS = 5000

const NOTHING: Entry = { nonce: undefined, replaced: [], emptyUntil: 0 }

/** Keeps nonces in the memory of this process, and has a shared store behind it where one is given. */
export function createNonces({ store, clock, telemetry, maxEntries = 1000 }: NoncesOptions): Nonces {
  const entries = new LRUCache<string, Entry>({ max: maxEntries })
  const nameOf = createNaming()
  const shared = store && writtenBehind(store, { clock, telemetry, maxWrites: maxEntries })

  function found(name: string, key: NonceKey, value: unknown): string | undefined {
    const { nonce, replaced } = entries.get(name) ?? NOTHING
    // Learned from the server while the store was asked, and so at least as new.
    if (nonce !== undefined) return nonce
    if (isNonce(value)) {
      entries.set(name, { nonce: value, replaced, emptyUntil: 0 })
      return value
    }
    entries.set(name, { nonce, replaced, emptyUntil: clock.now() + EMPTY_MS })
    if (value !== undefined && value !== null) ignored(key)
    return undefined
  }

  function ignored({ role, origin }: NonceKey): void {
    telemetry.note({ name: 'nonce_ignored', role, origin })
  }

  return {
    current(key) {
      const name = nameOf(key)
      const { nonce, emptyUntil } = entries.get(name) ?? NOTHING
      if (nonce !== undefined || shared === undefined || clock.now() < emptyUntil) return nonce
      return shared.read(name, key, (value) => found(name, key, value))
    },
    known: (key) => entries.get(nameOf(key))?.nonce,
    learn(key, header, isDemanded) {
      if (header === undefined) return
      const name = nameOf(key)
      const { nonce, replaced } = entries.get(name) ?? NOTHING
      if (header === nonce) return
      if (!isNonce(header)) return ignored(key)
      if (!isDemanded && replaced.includes(header)) return
      entries.set(name, { nonce: header, replaced: replacedBy(header, nonce, replaced), emptyUntil: 0 })
      shared?.write(name, key, header)
    },
  }
}

/** One text for one key. Requests come in rows to one server, and a comparison costs a tenth of a text. */
function createNaming(): (key: NonceKey) => string {
  let last: NonceKey = { role: 'resource_server', origin: '', jkt: '' }
  let name = canonicalText([last.role, last.origin, last.jkt])
  return ({ role, origin, jkt }) => {
    if (origin === last.origin && jkt === last.jkt && role === last.role) return name
    last = { role, origin, jkt }
    name = canonicalText([role, origin, jkt])
    return name
  }
}

function replacedBy(nonce: string, last: string | undefined, replaced: readonly string[]): readonly string[] {
  if (last === undefined) return replaced
  return [last, ...replaced.filter((before) => before !== nonce)].slice(0, REPLACED_KEPT)
}
