import { boundSession } from './bound-session.ts'
import { usable } from './refresh/latest-set.ts'
import type { Lineage } from './refresh/lineage.ts'
import { saveCopy } from './refresh/save-set.ts'
import type { SessionTokens } from './session-tokens.ts'
import { newestOf } from './token-set/set-decisions.ts'
import type { TokenSet } from './token-set/token-set.ts'
import type { UserClient } from './user-client.ts'

/** A set that was loaded, and when. */
interface Loaded {
  readonly set: TokenSet
  readonly at: number
}

/** One session as one request or one job has read it: once, and again when that was long ago. */
export class LoadedSession {
  readonly session: SessionTokens
  readonly #client: UserClient
  #lineage: Promise<Lineage>
  #ready: Lineage | undefined
  #loaded: Loaded | undefined
  #loading: Promise<TokenSet | undefined> | undefined

  constructor(client: UserClient, session: SessionTokens) {
    this.#client = client
    this.session = boundSession(session, { client: client.mark, clock: client.env.oauth.clock })
    this.#lineage = client.lineageOf(session)
    // Whoever asks for a token hears of an error.
    this.#lineage.then(
      (lineage) => {
        this.#ready = lineage
      },
      () => {},
    )
  }

  get lineage(): Promise<Lineage> {
    return this.#lineage
  }

  /** The lineage, once its name is known. */
  get ready(): Lineage | undefined {
    return this.#ready
  }

  /** The set as this process knows it, or nothing where there is no session. */
  async find(): Promise<TokenSet | undefined> {
    const lineage = await this.#lineage
    const known = this.atHand()
    if (known !== undefined) return known
    // Callers that come together share one reading.
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    const set = await this.#loading
    if (set === undefined || lineage.end !== undefined) return undefined
    const newest = lineage.newest(set)
    if (this.session.kind === 'carried') await this.carry(newest)
    return newest
  }

  /** What was loaded, or something newer, while that was not long ago. */
  atHand(now: number = this.#now): TokenSet | undefined {
    const lineage = this.#ready
    const loaded = this.#loaded
    const isRecent = loaded !== undefined && now < loaded.at + this.#client.memoryMs
    if (!isRecent || lineage === undefined || lineage.end !== undefined) return undefined
    const set = lineage.newest(loaded.set)
    // What a browser does not have yet has to get to it first.
    return set === loaded.set || this.session.kind !== 'carried' ? set : undefined
  }

  /** The newest that is known without a look. */
  latest(lineage: Lineage): TokenSet | undefined {
    return newestOf(this.#loaded?.set, lineage.held)
  }

  /** A set that another request has refreshed is this one's too, and its browser's. */
  async carry(set: TokenSet): Promise<void> {
    if (set.generation <= (this.#loaded?.set.generation ?? 0)) return
    this.keep(set)
    if (this.session.kind === 'carried') await saveCopy(this.#client.env, this.session, set)
  }

  /** Takes a set for the one that is there. */
  keep(set: TokenSet): void {
    this.#loaded = { set, at: this.#now }
  }

  /** Takes a set of another sign-in for the one that is there. */
  beginWith(set: TokenSet, lineage: Lineage): void {
    this.#lineage = Promise.resolve(lineage)
    this.#ready = lineage
    this.keep(set)
  }

  /** Has the next caller read it again. */
  forget(): void {
    this.#loaded = undefined
  }

  async #load(): Promise<TokenSet | undefined> {
    const set = await this.session.load()
    const lineage = await this.#lineage
    // What was signed out here may have been signed in elsewhere since.
    if (set === undefined || (lineage.end !== undefined && !lineage.begin(set))) return undefined
    if (this.session.kind !== 'carried') {
      this.keep(set)
      return set
    }
    // A response that came late may have brought the browser an older set back.
    const found = await usable(this.#client.env, lineage, lineage.newest(set))
    if (found === 'over') {
      await this.session.clear()
      return undefined
    }
    // Not before: a session that is over is at nobody's hand.
    this.keep(set)
    return found.set
  }

  get #now(): number {
    return this.#client.env.oauth.clock.now()
  }
}
