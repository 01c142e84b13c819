import { closedError, type SlotOptions } from '../source/index.ts'
import type { Outcome } from '../telemetry/index.ts'
import { type AccessToken, SessionError, type TokenRequest, type TokenSource } from '../token/index.ts'
import { waitFor } from '../util/index.ts'
import { type EndingSession, revoke, signOut } from './ending/session-ending.ts'
import { LoadedSession } from './loaded-session.ts'
import { pause } from './refresh/claim.ts'
import type { Lineage } from './refresh/lineage.ts'
import type { Given, RefreshAsk, RefreshResult } from './refresh/refresh-ask.ts'
import { type SessionEnd, sessionEnded } from './session-end.ts'
import type { SessionRequest } from './session-environment.ts'
import type { SessionTokens } from './session-tokens.ts'
import { hasExpired } from './token-set/set-decisions.ts'
import { changedSet, type TokenSet } from './token-set/token-set.ts'
import type { UserClient } from './user-client.ts'

/** Longer than the mark of a sign-out is ahead of its time. */
const PATIENCE_MS = 1500
const NO_OPTIONS: SlotOptions = {}

/** One session as one request or one job sees it. */
export class UserSession {
  readonly #client: UserClient
  readonly #loaded: LoadedSession

  constructor(client: UserClient, session: SessionTokens) {
    this.#client = client
    this.#loaded = new LoadedSession(client, session)
  }

  source(request?: TokenRequest): TokenSource {
    const wanted = this.#client.requestOf(request)
    let given: Given | undefined
    return {
      getToken: (options: SlotOptions = NO_OPTIONS) => {
        const { signal, rejected, forceRenewal: isForced = false, outcome } = options
        if (signal?.aborted) return Promise.reject(signal.reason)
        given = rejected === undefined && !isForced ? this.#give(wanted, given) : undefined
        if (given === undefined) {
          return this.#obtain({ session: this.#loaded.session, request: wanted, rejected, isForced, signal }, outcome)
        }
        // Most calls of a session that is loaded end here.
        if (outcome !== undefined) outcome.cache = 'l1'
        return given.answer
      },
    }
  }

  /** The set as this process knows it, or nothing where there is no session. */
  async find(): Promise<TokenSet | undefined> {
    const set = await this.#loaded.find()
    return set === undefined || hasExpired(set, this.#now) ? undefined : set
  }

  /**
   * Begins anew with the set of a login.
   *
   * @throws SessionError with reason `superseded`.
   */
  async begin(login: TokenSet): Promise<void> {
    const { name, env } = this.#client
    const { session } = this.#loaded
    const before = await this.#loaded.lineage
    const patientUntil = this.#now + PATIENCE_MS
    let set = login
    while (!(await session.save(set))) {
      if (this.#now >= patientUntil || (await session.load()) !== undefined) throw sessionEnded(name, 'superseded')
      // A sign-out of a moment ago has left a mark that is higher than all that was under way then.
      await pause(env)
      set = changedSet(login, { generation: Math.floor(this.#now) })
    }
    // The session may have got another id by that: who has the one before must not come to these tokens.
    const lineage = await this.#client.lineageOf(session)
    // Signed out while it was saved: others may have spent its refresh token, so it is not offered once more.
    if (!lineage.begin(set)) throw sessionEnded(name, 'superseded')
    this.#loaded.beginWith(set, lineage)
    if (session.kind !== 'carried' && lineage === before) return
    // Nothing that is under way for the one before may reach the browser any more.
    if (lineage !== before) before.endWith('signed_out', set.generation - 1)
    // A cookie is not compared: requests of the user before have to hear of it otherwise.
    await env.memory.markEnded(before.id, set.generation - 1)
  }

  async signOut(request?: TokenRequest): Promise<void> {
    await signOut(await this.#ending(request), request)
    this.#loaded.forget()
  }

  async revoke(request?: TokenRequest): Promise<void> {
    this.#loaded.keep(await revoke(await this.#ending(request), request))
  }

  async #ending(request: TokenRequest | undefined): Promise<EndingSession> {
    // A mistake in the request is told before anything has ended.
    this.#client.read(request)
    const lineage = await this.#loaded.lineage
    const { session } = this.#loaded
    return { client: this.#client, session, lineage, known: this.#loaded.latest(lineage) }
  }

  get #now(): number {
    return this.#client.env.oauth.clock.now()
  }

  /** What is at hand and needs nothing; the same as last time, as long as that is so. */
  #give({ shape }: SessionRequest, last: Given | undefined): Given | undefined {
    if (!this.#client.isOpen) return undefined
    const now = this.#now
    const set = this.#loaded.atHand(now)
    if (set === undefined) return undefined
    return last !== undefined && last.set === set && now < last.until ? last : this.#loaded.ready?.give(set, shape)
  }

  async #obtain(wanted: Omit<RefreshAsk, 'known'>, outcome: Outcome = {}): Promise<AccessToken> {
    const { signal } = wanted
    const { name, isOpen } = this.#client
    if (!isOpen) throw closedError()
    const lineage = await this.#loaded.lineage
    const from = (cache: NonNullable<Outcome['cache']>, token: AccessToken): AccessToken => {
      outcome.cache = cache
      return token
    }
    const read = this.#loaded.atHand() === undefined ? 'l2' : 'l1'
    const known = await waitFor(this.#loaded.find(), signal)
    if (known === undefined) throw sessionEnded(name, lineage.end ?? 'no_session')
    if (hasExpired(known, this.#now)) throw sessionEnded(name, 'session_expired')
    const ask = { ...wanted, known }
    await lineage.prepare(known)
    const fresh = lineage.fresh(known, ask)
    if (fresh !== undefined) return from(read, fresh)
    const refused = lineage.tooEarlyFor(known, ask)
    if (refused !== undefined) return from(read, refused)
    const living = wanted.isForced ? undefined : lineage.living(known, ask)
    // One caller waits; the others go on with what they have.
    if (living !== undefined && lineage.isBusy) return from('stale', living)
    try {
      const { set, token, cache } = await this.#refresh(lineage, ask)
      await this.#loaded.carry(set)
      return from(cache, token)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      // Late is better than never: the token that is to be renewed is good until it expires.
      const late = wanted.isForced || isOver(error) ? undefined : lineage.living(known, ask)
      if (late !== undefined) return from('stale', late)
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
}

const OVER: ReadonlySet<string> = new Set(['signed_out', 'no_session', 'session_expired'])

/** Whether a session is over for good, its access tokens included. */
function isOver(error: unknown): boolean {
  return error instanceof SessionError && OVER.has(error.reason)
}
