import {
  type AccessToken,
  copyError,
  type GetTokenOptions,
  isEvertokenError,
  isSameToken,
  type TokenSource,
} from '../token/index.ts'
import { delay } from '../util/index.ts'
import { admitRejection, type FailureMemory, nextAttemptAt, type RejectionMemory, retryAtOf } from './back-off.ts'
import { ended, type Flight, join, launch } from './flight.ts'
import { hardEdge, softEdge } from './renewal-windows.ts'
import { closedError, type SlotEnvironment } from './slot-environment.ts'

/** What a slot knows beyond its token; there only while something is going on, since there can be many slots. */
interface Trouble {
  flight: Flight | undefined
  failure: FailureMemory | undefined
  rejection: RejectionMemory | undefined
  /** Until when callers wait their turn, because the last token could not be kept. */
  pauseUntil: number
}

/** So often, at the most, a server is asked that gives tokens with no lifetime. */
const UNKEPT_PAUSE_MS = 100

const NO_OPTIONS: GetTokenOptions = {}

/** Where one token rests: handed out, renewed behind its callers, waited for, tried again. */
export class TokenSlot {
  readonly #env: SlotEnvironment
  #token: AccessToken | undefined
  #promise: Promise<AccessToken> | undefined
  /** From here on the token is renewed; 0 while there is none, or none that anybody trusts. */
  #softAt = 0
  #trouble: Trouble | undefined

  constructor(env: SlotEnvironment) {
    this.#env = env
  }

  /** The token, while it needs nothing: one reading of the clock and nothing else. */
  fresh(): Promise<AccessToken> | undefined {
    return this.#softAt !== 0 && this.#env.clock.now() < this.#softAt ? this.#promise : undefined
  }

  /**
   * A usable token, from here or from `inner`. Callers that bring their own `proof` share tokens and requests with everybody,
   * but not the failure of a request that was proved by something else.
   */
  get(inner: TokenSource, options: GetTokenOptions = NO_OPTIONS, proof?: object): Promise<AccessToken> {
    const { signal, rejected, forceRenewal } = options
    const ask = { signal, rejected, proof }
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#env.isClosed) return Promise.reject(closedError())
    if (forceRenewal) return this.#force(inner, ask)
    const held = this.#token
    const promise = this.#promise
    if (held === undefined || promise === undefined) return this.#await(inner, ask)

    const now = this.#env.clock.now()
    if (now >= held.expiresAt) return this.#await(inner, ask)
    if (rejected !== undefined && isSameToken(held, rejected)) {
      // Whoever comes second joins, and a renewal that is due anyway is no refusal: nothing is counted twice.
      const isDue = this.#trouble?.flight !== undefined || (this.#softAt !== 0 && now >= this.#softAt)
      return isDue || this.#admitRejection(now) ? this.#await(inner, ask) : promise
    }
    if (now < this.#softAt) return promise
    return this.#renew(inner, { ...ask, held: promise, mustWait: this.#mustWait(held, now), now })
  }

  /** Forgets the token. A request under way still answers its callers, but its token is not kept. */
  forget(): void {
    this.#token = undefined
    this.#promise = undefined
    this.#softAt = 0
    this.#trouble = undefined
  }

  /** The token that is held now, usable or not. */
  get held(): AccessToken | undefined {
    return this.#token
  }

  /** The token is still good: renew it behind the caller, or let the caller wait for that and fall back on it. */
  #renew(
    inner: TokenSource,
    { held, mustWait, now, ...ask }: Ask & { held: Promise<AccessToken>; mustWait: boolean; now: number },
  ): Promise<AccessToken> {
    const { signal, proof } = ask
    const isFailing = this.#trouble?.failure !== undefined
    if (this.#trouble?.flight === undefined && !this.#isPausing(now, proof)) this.#start(inner, ask)
    const flight = this.#trouble?.flight
    if (flight === undefined || !mustWait || isFailing) return held
    return join(flight, signal).catch((error) => {
      if (signal?.aborted) throw signal.reason
      if (this.#token !== undefined && this.#env.clock.now() < this.#token.expiresAt) return this.#token
      throw copyError(error)
    })
  }

  /** There is no token to give: join the request under way, or start one. */
  #await(inner: TokenSource, ask: Ask): Promise<AccessToken> {
    const flight = this.#trouble?.flight
    if (flight === undefined || ask.signal !== undefined || ask.rejected !== undefined || flight.proof !== ask.proof)
      return this.#awaitTurn(inner, ask)
    // Most of a herd comes by here, so there is one promise for each and nothing else.
    return join(flight, undefined).catch(rethrowCopy)
  }

  async #awaitTurn(inner: TokenSource, ask: Ask): Promise<AccessToken> {
    const { signal, proof } = ask
    let own: Flight | undefined
    for (;;) {
      const trouble = this.#trouble
      let flight = trouble?.flight
      if (flight === undefined) {
        const now = this.#env.clock.now()
        if (trouble?.failure !== undefined && this.#isPausing(now, proof)) throw copyError(trouble.failure.error)
        if (trouble !== undefined && now < trouble.pauseUntil) {
          await delay(this.#env.clock, trouble.pauseUntil - now, signal)
          continue
        }
        flight = this.#start(inner, ask)
        own = flight
      }
      try {
        const token = await join(flight, signal)
        // Started by somebody who did not know that this token is refused: then another one is asked for, by name.
        if (ask.rejected === undefined || flight === own || !isSameToken(token, ask.rejected)) return token
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        // An outage is everybody's; somebody else's assertion that failed is not: ours has not been tried yet.
        if (flight.proof === proof || (isEvertokenError(error) && error.retryable)) throw copyError(error)
      }
    }
  }

  /** A request of one's own: never one that was under way already, but shared by all who force it in the same way. */
  async #force(inner: TokenSource, ask: Ask): Promise<AccessToken> {
    const tooEarly = this.#trouble?.flight
    for (;;) {
      const flight = this.#trouble?.flight
      const isOurs = flight?.isForced === true && flight !== tooEarly && flight.proof === ask.proof
      if (flight !== undefined && !isOurs) {
        await ended(flight, ask.signal)
        continue
      }
      const chosen = flight ?? this.#start(inner, { ...ask, forceRenewal: true })
      return join(chosen, ask.signal).catch(rethrowCopy)
    }
  }

  #mustWait({ expiresAt }: AccessToken, now: number): boolean {
    return this.#softAt === 0 || now >= hardEdge({ softAt: this.#softAt, expiresAt }, this.#env.windows)
  }

  #admitRejection(now: number): boolean {
    const admitted = admitRejection(this.#trouble?.rejection, now)
    if (admitted === undefined) return false
    this.#troubled().rejection = admitted
    // Others wait for the new token from now on, and get this one only if there is no other.
    this.#softAt = 0
    return true
  }

  /** Whether it is too early to ask again. What a server wishes binds everybody; the rest only whose request failed. */
  #isPausing(now: number, proof: object | undefined): boolean {
    const failure = this.#trouble?.failure
    if (failure === undefined) return false
    if (proof !== undefined && retryAtOf(failure.error) === undefined) return false
    return now < nextAttemptAt(failure, this.#token !== undefined && now < this.#token.expiresAt)
  }

  #start(inner: TokenSource, { proof, rejected, forceRenewal = false }: Ask & { forceRenewal?: boolean }): Flight {
    const { runDetached, flights, isClosed } = this.#env
    if (isClosed) throw closedError()
    const flight = launch(runDetached, {
      inner,
      proof,
      isForced: forceRenewal,
      // What is held is named, so that a cache behind this one looks for another.
      rejected: this.#token ?? rejected,
      isRefused: rejected !== undefined,
      land: (landed, token) => this.#land(landed, token),
      crash: (crashed, error) => this.#crash(crashed, error),
    })
    this.#troubled().flight = flight
    flights.add(flight)
    return flight
  }

  #land(flight: Flight, token: AccessToken): void {
    this.#env.flights.delete(flight)
    const trouble = this.#trouble
    // The slot was emptied meanwhile: this token is for those who wait for it, and for nobody after them.
    if (trouble?.flight !== flight) return
    const { clock, windows, random, isClosed } = this.#env
    const now = clock.now()
    const isKept = token.expiresAt > now && !isClosed
    if (isKept) {
      this.#token = token
      this.#promise = flight.promise
      this.#softAt = softEdge({ now, expiresAt: token.expiresAt }, windows, random)
    }
    const pauseUntil = isKept ? 0 : now + UNKEPT_PAUSE_MS
    const { rejection } = trouble
    this.#trouble =
      rejection === undefined && isKept ? undefined : { flight: undefined, failure: undefined, rejection, pauseUntil }
  }

  #crash(flight: Flight, error: unknown): void {
    const { flights, clock, random, onRenewalFailed } = this.#env
    flights.delete(flight)
    const isHeld = this.#token !== undefined && clock.now() < this.#token.expiresAt
    const trouble = this.#trouble
    if (trouble?.flight === flight) {
      trouble.flight = undefined
      // An assertion that one caller brought along says nothing about those of others, an outage does.
      const isPersonal = flight.proof !== undefined && isEvertokenError(error) && !error.retryable
      const count = (trouble.failure?.count ?? 0) + 1
      if (!isPersonal) trouble.failure = { error, count, at: clock.now(), jitter: random() }
    }
    // Last: whoever is told must not be able to leave the slot half-way.
    if (isHeld) onRenewalFailed(error)
  }

  #troubled(): Trouble {
    this.#trouble ??= { flight: undefined, failure: undefined, rejection: undefined, pauseUntil: 0 }
    return this.#trouble
  }
}

/** How one caller waits, and what proves the client if the caller brought that along. */
interface Ask {
  readonly signal: AbortSignal | undefined
  readonly rejected: AccessToken | undefined
  readonly proof: object | undefined
}

function rethrowCopy(error: unknown): never {
  throw copyError(error)
}
