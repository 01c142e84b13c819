import { ConfigurationError } from '../../token/index.ts'
import { canonicalText, describe, randomId, sha256 } from '../../util/index.ts'
import type { SessionTokens } from '../session-tokens.ts'
import type { Subject } from '../subject-sessions.ts'
import { isSameSignIn } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** Where one kind of session rests, by keys. */
export interface SessionPlace {
  load(key: string): Promise<TokenSet | undefined>
  save(key: string, set: TokenSet): Promise<boolean>
  clear(key: string): Promise<void>
}

/** A session of a browser, in one place that all processes share. */
export class StoredSession implements SessionTokens {
  readonly kind = 'stored'
  readonly #place: SessionPlace
  /** Nobody but this process knew the id when it was made. */
  readonly #isNew: boolean
  #id: string
  #key: Promise<string>
  #known: TokenSet | undefined

  constructor(place: SessionPlace, id?: string) {
    this.#place = place
    this.#isNew = id === undefined
    this.#id = id ?? randomId()
    this.#key = keyOf(this.#id)
  }

  get id(): string {
    return this.#id
  }

  async load(): Promise<TokenSet | undefined> {
    const set = await this.#place.load(await this.#key)
    if (set !== undefined) this.#known = set
    return set
  }

  /**
   * A sign-in gets an id that nobody had before it: whoever has planted the id of a session, or of none, in this browser has no part in it. The session that was there
   * is over.
   */
  async save(set: TokenSet): Promise<boolean> {
    const key = await this.#key
    const known = this.#known ?? (this.#isNew ? undefined : await this.load())
    const goesOn = known === undefined ? this.#isNew : isSameSignIn(known, set)
    if (!goesOn) return this.#begin(set, known)
    const isSaved = await this.#place.save(key, set)
    if (isSaved) this.#known = set
    return isSaved
  }

  async clear(): Promise<void> {
    await this.#place.clear(await this.#key)
  }

  async #begin(set: TokenSet, before: TokenSet | undefined): Promise<boolean> {
    if (before !== undefined && set.generation <= before.generation) return false
    const [id, old] = [randomId(), await this.#key]
    const key = keyOf(id)
    if (!(await this.#place.save(await key, set))) return false
    this.#id = id
    this.#key = key
    this.#known = set
    if (before !== undefined) await this.#place.clear(old)
    return true
  }
}

/** The store sees a hash, so that whoever reads it cannot use the sessions. */
function keyOf(id: string): Promise<string> {
  return sha256(canonicalText([1, 'session', id]))
}

/**
 * The session of a subject, which has one name in all processes, and none that a browser could send.
 *
 * @throws ConfigurationError with code `subject_invalid` for nobody, who would be everybody.
 */
export function subjectSession(place: SessionPlace, of: Subject): SessionTokens {
  const { issuer, clientId, subject } = Object(of) as Subject
  for (const [name, value] of Object.entries({ issuer, clientId, subject })) {
    if (typeof value === 'string' && value !== '') continue
    const message = `storedSessions: expected ${name} of a subject to be a text, got ${describe(value)}`
    throw new ConfigurationError(message, { code: 'subject_invalid' })
  }
  const id = canonicalText(['subject', issuer, clientId, subject])
  const key = sha256(canonicalText([1, 'subject', issuer, clientId, subject]))
  return {
    id,
    kind: 'stored',
    load: async () => place.load(await key),
    save: async (set) => place.save(await key, set),
    clear: async () => place.clear(await key),
  }
}
