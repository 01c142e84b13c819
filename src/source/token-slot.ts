import { type AccessToken, copyError, isEvertokenError, isSameToken, type TokenSource } from '../token/index.ts'
import { delay } from '../util/index.ts'
import { ended, type Flight, join, launch, type Passenger } from './flight.ts'
import { type CheckEdges, checkEdges, hardEdge, softEdge } from './renewal-windows.ts'
import { closedError, type SlotEnvironment, type SlotOptions } from './slot-environment.ts'
import { Trouble } from './trouble.ts'

/** So often, at the most, a server is asked that gives tokens with no lifetime. */
const UNKEPT_PAUSE_MS = 100

const NO_OPTIONS: SlotOptions = {}

/** Where one token rests: handed out, renewed behind its callers, waited for, tried again. */
export class TokenSlot {
  readonly #env: SlotEnvironment
  #token: AccessToken | undefined
  #promise: Promise<AccessToken> | undefined
  /** Until then nothing is to be done; 0 while there is no token, or none that anybody trusts. */
  #dueAt = 0
  /** There only while what is due next is a check. */
  #check: CheckEdges | undefined
  #trouble: Trouble | undefined

  constructor(env: SlotEnvironment) {
    this.#env = env
  }

  /** The token, while it needs nothing: one reading of the clock and nothing else. */
  fresh(): Promise<AccessToken> | undefined {
    return this.#dueAt !== 0 && this.#env.clock.now() < this.#dueAt ? this.#promise : undefined
  }

  /**
   * A usable token, from here or from `inner`. Callers that bring their own `proof` share tokens and requests with everybody,
   * but not the failure of a request that was proved by something else.
   */
  get(inner: TokenSource, options: SlotOptions = NO_OPTIONS, proof?: object): Promise<AccessToken> {
    const { signal, rejected, forceRenewal, outcome } = options
    const ask = { signal, rejected, proof, outcome }
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#env.isClosed) return Promise.reject(closedError())
    if (forceRenewal) return this.#force(inner, ask)
    const held = this.#token
    const promise = this.#promise
    if (held === undefined || promise === undefined) return this.#await(inner, ask)

    const now = this.#env.clock.now()
    if (now >= held.expiresAt) return this.#await(inner, ask)
    const isRefused = rejected !== undefined && isSameToken(held, rejected)
    if (isRefused && this.#admitsRefusal(now)) return this.#await(inner, ask)
    const isFresh = now < this.#dueAt
    if (outcome !== undefined) outcome.cache = isFresh ? 'l1' : 'stale'
    if (isFresh || isRefused) return promise
    if (now < this.#softAt) return this.#verify(inner, { ...ask, held: promise, now })
    return this.#renew(inner, { ...ask, held: promise, mustWait: this.#mustWait(held, now), now })
  }

  /** Forgets the token. A request under way still answers its callers, but its token is not kept. */
  forget(): void {
    this.#drop()
    this.#trouble = undefined
  }

  #drop(): void {
    this.#token = undefined
    this.#promise = undefined
    this.#dueAt = 0
    this.#check = undefined
  }

  /** The token that is held now, usable or not. */
  get held(): AccessToken | undefined {
    return this.#token
  }

  /** From here on the token is renewed; 0 while there is none, or none that anybody trusts. */
  get #softAt(): number {
    return this.#check?.softAt ?? this.#dueAt
  }

  /** The token is good as far as this process knows: ask the others behind the caller, or, after too long a time, before. */
  #verify(inner: TokenSource, { held, now, ...ask }: Ask & Held): Promise<AccessToken> {
    const flight = this.#trouble?.flight ?? this.#start(inner, ask, { isCheck: true })
    return now < (this.#check?.mustAt ?? 0) ? held : this.#joinOrKeep(flight, ask)
  }

  /** The token is still good: renew it behind the caller, or let the caller wait for that and fall back on it. */
  #renew(
    inner: TokenSource,
    { held, mustWait, now, ...ask }: Ask & Held & { mustWait: boolean },
  ): Promise<AccessToken> {
    const isFailing = this.#trouble?.failure !== undefined
    const isTooEarly = this.#trouble?.isTooEarly({ now, proof: ask.proof, held: this.#token })
    if (this.#trouble?.flight === undefined && !isTooEarly) this.#start(inner, ask)
    const flight = this.#trouble?.flight
    return flight === undefined || !mustWait || isFailing ? held : this.#joinOrKeep(flight, ask)
  }

  #joinOrKeep(flight: Flight, ask: Ask): Promise<AccessToken> {
    return join(flight, ask).catch((error) => {
      if (ask.signal?.aborted) throw ask.signal.reason
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
    return join(flight, ask).catch(rethrowCopy)
  }

  async #awaitTurn(inner: TokenSource, ask: Ask): Promise<AccessToken> {
    const { signal, proof } = ask
    let own: Flight | undefined
    for (;;) {
      const trouble = this.#trouble
      let flight = trouble?.flight
      if (flight === undefined) {
        const now = this.#env.clock.now()
        const isTooEarly = trouble?.isTooEarly({ now, proof, held: this.#token })
        if (trouble?.failure !== undefined && isTooEarly) throw copyError(trouble.failure.error)
        if (trouble !== undefined && now < trouble.pauseUntil) {
          await delay(this.#env.clock, trouble.pauseUntil - now, signal)
          continue
        }
        flight = this.#start(inner, ask)
        own = flight
      }
      try {
        const token = await join(flight, ask)
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
      const chosen = flight ?? this.#start(inner, ask, { isForced: true })
      return join(chosen, ask).catch(rethrowCopy)
    }
  }

  #mustWait({ expiresAt }: AccessToken, now: number): boolean {
    return this.#dueAt === 0 || now >= hardEdge({ softAt: this.#softAt, expiresAt }, this.#env.windows)
  }

  /** Whether whoever was refused with the token that is held is to have another one. */
  #admitsRefusal(now: number): boolean {
    const flight = this.#trouble?.flight
    // Whoever comes second joins, and a renewal that is due anyway is no refusal: nothing is counted twice.
    if (flight?.isCheck === false || (this.#dueAt !== 0 && now >= this.#softAt)) return true
    const trouble = this.#troubled()
    if (!trouble.admits(now)) return false
    // A check that is under way would bring back the very token that was refused.
    trouble.flight = undefined
    // Others wait for the new token from now on, and get this one only if there is no other.
    this.#dueAt = 0
    this.#check = undefined
    return true
  }

  #start(
    inner: TokenSource,
    { proof, rejected }: Ask,
    kind: Partial<Pick<Flight, 'isForced' | 'isCheck'>> = {},
  ): Flight {
    const { runDetached, flights, isClosed } = this.#env
    if (isClosed) throw closedError()
    const flight = launch(runDetached, {
      inner,
      proof,
      isForced: false,
      isCheck: false,
      ...kind,
      // What is held is named, so that a cache behind this one looks for another.
      known: this.#token ?? rejected,
      isRefused: rejected !== undefined,
      land: (landed, token) => this.#land(landed, token),
      crash: (crashed, error) => this.#crash(crashed, error),
      onDeleted: (told) => {
        if (this.#trouble?.flight === told) this.#drop()
      },
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
    this.#trouble = trouble.remains
    if (isKept) {
      // A token that was there before is renewed when it would have been.
      const softAt =
        token === this.#token ? this.#softAt : softEdge({ now, expiresAt: token.expiresAt }, windows, random)
      this.#token = token
      this.#promise = flight.promise
      this.#setEdges(softAt, now)
    } else this.#troubled().pauseUntil = now + UNKEPT_PAUSE_MS
  }

  #setEdges(softAt: number, now: number): void {
    const { memoryMs, random } = this.#env
    const check = memoryMs === undefined ? undefined : checkEdges({ now, softAt }, memoryMs, random)
    this.#check = check
    this.#dueAt = check?.checkAt ?? softAt
  }

  #crash(flight: Flight, error: unknown): void {
    const { flights, clock, random, onRenewalFailed } = this.#env
    flights.delete(flight)
    const now = clock.now()
    const isHeld = this.#token !== undefined && now < this.#token.expiresAt
    const trouble = this.#trouble
    if (trouble?.flight === flight) {
      trouble.flight = undefined
      // A check that came to nothing is no renewal that failed: it is made again when the next one would be.
      if (flight.isCheck && isHeld) this.#setEdges(this.#softAt, now)
      else trouble.failed(flight, error, { now, jitter: random() })
    }
    // Last: whoever is told must not be able to leave the slot half-way.
    if (isHeld) onRenewalFailed(error)
  }

  #troubled(): Trouble {
    this.#trouble ??= new Trouble()
    return this.#trouble
  }
}

/** How one caller waits, and what proves the client if the caller brought that along. */
interface Ask extends Passenger {
  readonly rejected: AccessToken | undefined
  readonly proof: object | undefined
}

/** What one caller has in any case. */
interface Held {
  readonly held: Promise<AccessToken>
  readonly now: number
}

function rethrowCopy(error: unknown): never {
  throw copyError(error)
}
