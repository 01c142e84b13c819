import { ConfigurationError } from '../../token/index.ts'
import { randomId } from '../../util/index.ts'
import type { SessionTokens } from '../session-tokens.ts'
import { isSameSignIn } from '../token-set/set-decisions.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { type CookieContent, type CookieSettings, endOf, removeCookies, writeCookies } from './cookie-codec.ts'

/** A session that comes with a request and goes with its response. */
export interface CarriedSession extends SessionTokens {
  readonly kind: 'carried'
  /** The `Set-Cookie` lines that the response has to bring; none where the browser has everything already. */
  readonly setCookies: readonly string[]
  /**
   * Names and values of all header fields that the response has to have, to be appended: those lines, and what keeps a response that depends on a
   * session out of caches that others share (RFC 9111 sections 5.2.2.5 and 5.2.2.7).
   */
  readonly responseHeaders: [name: string, value: string][]
}

/** For HTTP/1.0 caches, too (RFC 9111 section 5.4). */
const UNSHARED = { 'cache-control': 'private, no-store', pragma: 'no-cache', vary: 'cookie' }

/** What a request brought, to be kept and brought up to date. */
export class CookieSession implements CarriedSession {
  readonly kind = 'carried'
  readonly #settings: CookieSettings
  /** Names of the cookies that the browser has. */
  readonly #has: readonly string[]
  #content: CookieContent | undefined
  #id: string
  /** No set of this generation, or a lower one, is kept: the session was cleared. */
  #endedAt: number | undefined
  #lines: readonly string[] = []

  constructor(settings: CookieSettings, content: CookieContent | undefined, has: readonly string[]) {
    this.#settings = settings
    this.#content = content
    this.#has = has
    this.#id = content?.id ?? randomId()
  }

  get id(): string {
    return this.#id
  }

  get setCookies(): readonly string[] {
    return this.#lines
  }

  get responseHeaders(): [name: string, value: string][] {
    const lines = this.#lines.map((line): [string, string] => ['set-cookie', line])
    return [...Object.entries(UNSHARED), ...lines]
  }

  async load(): Promise<TokenSet | undefined> {
    const content = this.#content
    const { clock, idleMs } = this.#settings
    const now = clock.now()
    if (this.#endedAt !== undefined || content === undefined || now >= endOf(content, this.#settings)) return undefined
    // A session that is used does not become idle; not each of its requests has to say so.
    if (now >= content.writtenAt + idleMs / 2) await this.#putOff({ ...content, writtenAt: Math.floor(now) })
    return this.#content?.set
  }

  async save(set: TokenSet): Promise<boolean> {
    const id = this.#idFor(set)
    if (id === undefined) return false
    return this.#write({ id, set, writtenAt: Math.floor(this.#settings.clock.now()) })
  }

  clear(): void {
    const now = Math.floor(this.#settings.clock.now())
    this.#endedAt = Math.max(now, this.#content?.set.generation ?? 0)
    this.#lines = removeCookies(this.#settings)
  }

  /** A session that has no room any more, since another key has a longer name, is as good as it was until its time is over. */
  async #putOff(content: CookieContent): Promise<void> {
    try {
      await this.#write(content)
    } catch (error) {
      if (!(error instanceof ConfigurationError && error.code === 'session_too_large')) throw error
    }
  }

  async #write(content: CookieContent): Promise<boolean> {
    const [before, end] = [this.#content, this.#endedAt]
    const lines = await writeCookies(this.#settings, content, this.#has)
    // Another write, or the end, may have come first.
    if (this.#endedAt !== end || (this.#content !== before && this.#idFor(content.set) === undefined)) return false
    this.#content = content
    this.#id = content.id
    this.#endedAt = undefined
    this.#lines = lines
    return true
  }

  /**
   * The id under which a set is kept; `undefined` for one that is not. A sign-in gets an id that nobody had before it: whoever has planted the cookie of a session in
   * this browser has no part in it.
   */
  #idFor(set: TokenSet): string | undefined {
    if (this.#endedAt !== undefined && set.generation <= this.#endedAt) return undefined
    const known = this.#content?.set
    if (known === undefined) return this.#id
    if (set.startedAt > known.startedAt) return randomId()
    return isSameSignIn(set, known) && set.generation > known.generation ? this.#id : undefined
  }
}
