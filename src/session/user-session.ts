import { closedError } from '../source/index.ts'
import {
  type AccessToken,
  type GetTokenOptions,
  SessionError,
  StoreError,
  type TokenRequest,
  type TokenSource,
} from '../token/index.ts'
import { waitFor } from '../util/index.ts'
import { boundSession } from './bound-session.ts'
import type { Lineage, RefreshAsk, RefreshResult } from './lineage.ts'
import { saveOnce } from './persist.ts'
import { followed } from './refresh.ts'
import { type SessionEnd, sessionEnded } from './session-end.ts'
import { type EndingSession, revoke, signOut } from './session-ending.ts'
import type { SessionRequest } from './session-environment.ts'
import type { SessionTokens } from './session-tokens.ts'
import { newestOf } from './set-decisions.ts'
import type { TokenSet } from './token-set.ts'
import type { UserClient } from './user-client.ts'

const NO_OPTIONS: GetTokenOptions = {}

/** A set that was loaded, and when. */
interface Loaded {
  readonly set: TokenSet
  readonly at: number
}

/** One session as one request or one job sees it: loaded once, and again when that was long ago. */
export class UserSession {
  readonly #client: UserClient
  readonly #session: SessionTokens
  #lineage: Promise<Lineage>
  #ready: Lineage | undefined
  #loaded: Loaded | undefined
  #loading: Promise<TokenSet | undefined> | undefined

  constructor(client: UserClient, session: SessionTokens) {
    this.#client = client
    this.#session = boundSession(session, client.mark)
    this.#lineage = client.lineageOf(session)
    // Whoever asks for a token hears of an error.
    this.#lineage.then(
      (lineage) => {
        this.#ready = lineage
      },
      () => {},
    )
  }

  source(request?: TokenRequest): TokenSource {
    const wanted = this.#client.requestOf(request)
    return { getToken: (options) => this.#getToken(wanted, options) }
  }

  /** The set as this process knows it, or nothing where there is no session. */
  async find(): Promise<TokenSet | undefined> {
    const lineage = await this.#lineage
    const known = this.#atHand()
    if (known !== undefined) return known
    // Callers that come together share one reading.
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    const set = await this.#loading
    // What was signed out here may have been signed in elsewhere since.
    if (set === undefined || (lineage.end !== undefined && !lineage.begin(set))) return undefined
    return this.#newest(lineage, set)
  }

  /** Begins anew with the set of a login. */
  async begin(set: TokenSet): Promise<void> {
    const before = await this.#lineage
    const isSaved = await this.#session.save(set)
    // The session may have got another id by that: who has the one before must not come to these tokens.
    const lineage = await this.#client.lineageOf(this.#session)
    if (!isSaved || !lineage.begin(set)) {
      const { name } = this.#client
      throw new StoreError(`client "${name}": expected the session to take a new sign-in, got a newer one`, {
        code: 'session_superseded',
      })
    }
    this.#lineage = Promise.resolve(lineage)
    this.#ready = lineage
    this.#keep(set)
    if (this.#session.kind !== 'carried') return
    const { memory } = this.#client.env
    if (lineage !== before) {
      // Nothing that is under way for it may reach the browser any more.
      before.endWith('signed_out', set.generation - 1)
      await memory.markEnded(before.id, set.generation - 1)
    }
    // A cookie is not compared: requests of the user before have to hear of it otherwise.
    else await memory.markEnded(lineage.id, set.generation - 1)
  }

  async signOut(request?: TokenRequest): Promise<void> {
    await signOut(await this.#ending(request), request)
    this.#loaded = undefined
  }

  async revoke(request?: TokenRequest): Promise<void> {
    this.#keep(await revoke(await this.#ending(request), request))
  }

  async #ending(request: TokenRequest | undefined): Promise<EndingSession> {
    // A mistake in the request is told before anything has ended.
    this.#client.read(request)
    const lineage = await this.#lineage
    return { client: this.#client, session: this.#session, lineage, known: this.#latest(lineage) }
  }

  /** The newest that is known without a look. */
  #latest(lineage: Lineage): TokenSet | undefined {
    return newestOf(this.#loaded?.set, lineage.held)
  }

  /** What was loaded, or something newer, while that was not long ago. */
  #atHand(): TokenSet | undefined {
    const lineage = this.#ready
    const loaded = this.#loaded
    const isRecent = loaded !== undefined && this.#now < loaded.at + this.#client.memoryMs
    if (!isRecent || lineage === undefined || lineage.end !== undefined) return undefined
    const set = lineage.newest(loaded.set)
    // What a browser does not have yet has to get to it first.
    return set === loaded.set || this.#session.kind !== 'carried' ? set : undefined
  }

  async #load(): Promise<TokenSet | undefined> {
    const set = await this.#session.load()
    if (set === undefined) return undefined
    this.#keep(set)
    if (this.#session.kind !== 'carried') return set
    // A response that came late may have brought the browser an older set back.
    const lineage = await this.#lineage
    if (lineage.end !== undefined) return set
    const { set: newest } = await followed(this.#client.env, lineage.newest(set))
    if (newest.endedBecause !== 'signed_out') return newest
    await this.#session.clear()
    return undefined
  }

  /** The newest that this process knows. */
  async #newest(lineage: Lineage, set: TokenSet): Promise<TokenSet> {
    const newest = lineage.newest(set)
    if (this.#session.kind === 'carried') await this.#carry(newest)
    return newest
  }

  #keep(set: TokenSet): void {
    this.#loaded = { set, at: this.#now }
  }

  get #now(): number {
    return this.#client.env.oauth.clock.now()
  }

  #getToken(request: SessionRequest, options: GetTokenOptions = NO_OPTIONS): Promise<AccessToken> {
    const { signal, rejected, forceRenewal: isForced = false } = options
    if (signal?.aborted) return Promise.reject(signal.reason)
    const known = this.#atHand()
    const fresh = known && this.#ready?.fresh(known, { request, rejected, isForced, known })
    // Most calls of a session that is loaded end here.
    if (fresh !== undefined && this.#client.isOpen) return Promise.resolve(fresh)
    return this.#obtain({ session: this.#session, request, rejected, isForced, signal })
  }

  async #obtain(wanted: Omit<RefreshAsk, 'known'>): Promise<AccessToken> {
    const { signal } = wanted
    const { name, isOpen } = this.#client
    if (!isOpen) throw closedError()
    const lineage = await this.#lineage
    const known = await waitFor(this.find(), signal)
    if (known === undefined) throw sessionEnded(name, lineage.end ?? 'no_session')
    const ask = { ...wanted, known }
    await lineage.prepare(known)
    const fresh = lineage.fresh(known, ask)
    if (fresh !== undefined) return fresh
    const refused = lineage.tooEarlyFor(known, ask)
    if (refused !== undefined) return refused
    const living = wanted.isForced ? undefined : lineage.living(known, ask)
    // One caller waits; the others go on with what they have.
    if (living !== undefined && lineage.isBusy) return living
    try {
      const { set, token } = await this.#refresh(lineage, ask)
      await this.#carry(set)
      return token
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      // Late is better than never: the token that is to be renewed is good until it expires.
      const late = wanted.isForced || isOver(error) ? undefined : lineage.living(known, ask)
      if (late !== undefined) return late
      throw error
    }
  }

  async #refresh(lineage: Lineage, ask: RefreshAsk): Promise<RefreshResult> {
    // Closed while the session was read: whoever closed waits for no refresh that begins now.
    if (!this.#client.isOpen) throw closedError()
    const { refreshToken, endedBecause } = ask.known
    if (refreshToken !== undefined) return lineage.refresh(ask)
    throw sessionEnded(this.#client.name, (endedBecause as SessionEnd | undefined) ?? 'no_refresh_token')
  }

  /** A set that another request has refreshed is this one's too, and its browser's. */
  async #carry(set: TokenSet): Promise<void> {
    if (set.generation <= (this.#loaded?.set.generation ?? 0)) return
    this.#keep(set)
    if (this.#session.kind === 'carried') await saveOnce(this.#client.env, this.#session, set)
  }
}

/** Whether a session is over for good, its access tokens included. */
function isOver(error: unknown): boolean {
  return error instanceof SessionError && (error.reason === 'signed_out' || error.reason === 'no_session')
}
