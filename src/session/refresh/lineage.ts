import { localLock } from '../../store/index.ts'
import { type AccessToken, copyError, isSameToken } from '../../token/index.ts'
import { type RunDetached, waitFor } from '../../util/index.ts'
import type { SessionEnd } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { hasExpired, newest, tokenFor } from '../token-set/set-decisions.ts'
import type { TokenSet, UserAccessToken } from '../token-set/token-set.ts'
import { refreshInTurn } from './refresh.ts'
import { type Given, nameOf, type RefreshAsk, type RefreshResult, type Wish } from './refresh-ask.ts'
import { RefreshTrouble } from './refresh-trouble.ts'

interface Search {
  readonly request: { readonly shape: string }
  readonly rejected: AccessToken | undefined
}

/** Everything in this process that comes from one sign-in: one refresh at a time, whoever asks. */
export class Lineage {
  readonly id: string
  readonly #env: SessionEnvironment
  readonly #runDetached: RunDetached
  readonly #queue = localLock()
  readonly #flights = new Map<string, Promise<RefreshResult>>()
  readonly #trouble: RefreshTrouble
  #newest: TokenSet | undefined
  #ending: Promise<unknown> | undefined
  #end: { readonly reason: SessionEnd; readonly generation: number } | undefined

  constructor(id: string, env: SessionEnvironment, runDetached: RunDetached) {
    this.id = id
    this.#env = env
    this.#runDetached = runDetached
    this.#trouble = new RefreshTrouble(env.random)
  }

  /** Why it has ended, as far as this process knows. */
  get end(): SessionEnd | undefined {
    return this.#end?.reason
  }

  /** Whether something is under way. */
  get isBusy(): boolean {
    return this.#flights.size > 0
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled(this.#flights.values())
  }

  /** Resolves when an end that this process is writing is written, however that goes. */
  async endWritten(): Promise<void> {
    await Promise.allSettled([this.#ending])
  }

  /** Does something while nobody refreshes. */
  exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#queue('', task)
  }

  /** What this process has got itself, which may not have been kept yet. */
  get held(): TokenSet | undefined {
    return this.#newest
  }

  /**
   * Ends it: what a refresh that is under way brings is not handed out. What has a higher generation is another sign-in. `written` settles when the
   * end is where other processes look.
   */
  endWith(reason: SessionEnd, generation: number, written?: Promise<unknown>): void {
    if (written !== undefined) this.#ending = written
    if (this.#newest !== undefined && this.#newest.generation > generation) return
    // A refresh that is dropped late knows of a lower end than the sign-out that it was dropped for.
    if (this.#end === undefined || this.#end.generation < generation) this.#end = { reason, generation }
    this.#newest = undefined
  }

  /** A new sign-in in the place of the one before, here or in another process; tells whether it is one. */
  begin(set: TokenSet): boolean {
    if (this.#end !== undefined && set.generation <= this.#end.generation) return false
    this.#end = undefined
    this.#trouble.clear()
    this.#newest = set
    return true
  }

  /** The newest of what the caller and this process have. */
  newest(set: TokenSet): TokenSet {
    return newest(set, this.#newest)
  }

  /** Takes note of a set before anybody else can have it. */
  learned(set: TokenSet): void {
    if (set.generation >= (this.#newest?.generation ?? 0)) this.#newest = set
  }

  /** Makes the keys ready that a set's tokens are bound to: a process that has just begun has not heard of them yet. */
  async prepare({ accessTokens }: TokenSet): Promise<void> {
    const { dpop } = this.#env
    if (dpop === undefined) return
    for (const { token } of accessTokens)
      if (token.jkt !== undefined) await dpop.prover.finds(token.jkt, token.expiresAt)
  }

  /** The token of a set that needs nothing, if there is one. */
  fresh(set: TokenSet, ask: Wish): AccessToken | undefined {
    const found = this.#find(set, ask)
    // A newer set may have the very token that the caller has: somebody has refreshed for another resource.
    if (ask.isForced && found !== undefined && isTokenOf(ask.known, found)) return undefined
    return found !== undefined && this.#now < freshUntil(found) ? found.token : undefined
  }

  /** The same for whoever asks often. */
  give(set: TokenSet, shape: string): Given | undefined {
    const found = this.#find(set, { request: { shape }, rejected: undefined })
    if (found === undefined || this.#now >= freshUntil(found)) return undefined
    const { token } = found
    // Each look at a token that is bound to a key may find that the key is gone.
    const until = token.jkt === undefined ? Math.min(freshUntil(found), set.sessionExpiresAt ?? found.renewAt) : 0
    return { set, answer: Promise.resolve(token), until }
  }

  /** The token of a set that has not expired, if there is one. */
  living(set: TokenSet, ask: Wish): AccessToken | undefined {
    const token = this.#find(set, ask)?.token
    return token !== undefined && this.#now < token.expiresAt ? token : undefined
  }

  /** The very token that was refused, where it is too early for another one: an API may refuse them all. */
  tooEarlyFor(set: TokenSet, ask: RefreshAsk): AccessToken | undefined {
    const { rejected, isForced } = ask
    const token = rejected && this.fresh(set, { ...ask, rejected: undefined })
    // Whoever comes second joins, and nothing is counted twice.
    if (token === undefined || isForced || this.#flights.has(nameOf(ask))) return undefined
    return this.#trouble.admits(ask, this.#now) ? undefined : token
  }

  #find(set: TokenSet, { request: { shape }, rejected }: Search): UserAccessToken | undefined {
    if (hasExpired(set, this.#now)) return undefined
    return tokenFor(set, { shape, rejected, holds: (jkt) => this.#env.dpop?.prover.holds(jkt) ?? false })
  }

  get #now(): number {
    return this.#env.oauth.clock.now()
  }

  /** A refreshed set. Callers of one request share one refresh, and its failure; those of several take turns. */
  async refresh(ask: RefreshAsk): Promise<RefreshResult> {
    for (;;) {
      const flight = this.#flights.get(nameOf(ask))
      const result = await waitFor(flight ?? this.#start(ask), ask.signal).catch((error) => {
        throw copyError(error)
      })
      // Joined one that somebody had begun who did not know of the refusal.
      const isRefused = ask.rejected !== undefined && isSameToken(result.token, ask.rejected)
      if (flight === undefined || !(isRefused || (ask.isForced && result.set.generation <= ask.known.generation))) {
        return result
      }
    }
  }

  #start(ask: RefreshAsk): Promise<RefreshResult> {
    const name = nameOf(ask)
    const askedAt = this.#now
    const flight = this.#runDetached(() => this.#queue('', () => this.#run(ask, askedAt))).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name)
    })
    flight.catch(() => {})
    this.#flights.set(name, flight)
    return flight
  }

  async #run(ask: RefreshAsk, askedAt: number): Promise<RefreshResult> {
    const holdsToken = this.living(ask.known, ask) !== undefined
    const recent = this.#trouble.recent(ask, { now: this.#now, askedAt, holdsToken })
    if (recent !== undefined) throw copyError(recent)
    try {
      const result = await refreshInTurn(this.#env, this, ask)
      this.#trouble.succeeded(ask)
      return result
    } catch (error) {
      this.#trouble.failed(ask, error, this.#now)
      throw error
    }
  }
}

function isTokenOf({ accessTokens }: TokenSet, { token }: UserAccessToken): boolean {
  return accessTokens.some((each) => isSameToken(each.token, token))
}

/** From then on a token is renewed, or dead. */
function freshUntil({ renewAt, token }: UserAccessToken): number {
  return Math.min(renewAt, token.expiresAt)
}
