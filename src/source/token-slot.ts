import { type AccessToken, copyError, isEvertokenError, isSameToken, type TokenSource } from '../token/index.ts'
import { delay } from '../util/index.ts'
import { ended, type Flight, join, launch } from './flight.ts'
import { checkEdge, hardEdge, type SharedLife, softEdge } from './renewal-windows.ts'
import type { Ask, Held, SlotOptions, Start } from './slot-ask.ts'
import { closedError, type SlotEnvironment } from './slot-environment.ts'
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
  /** There only where others have the token, too. */
  #shared: SharedLife | undefined
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
    this.drop()
    this.#trouble = undefined
  }

  /** Forgets the token, and nothing of what is under way or has gone wrong. */
  drop(): void {
    this.#token = undefined
    this.#promise = undefined
    this.#dueAt = 0
    this.#shared = undefined
  }

  /** The token that is held now, usable or not. */
  get held(): AccessToken | undefined {
    return this.#token
  }

  /** From here on the token is renewed; 0 while there is none, or none that anybody trusts. */
  get #softAt(): number {
    return this.#shared?.softAt ?? this.#dueAt
  }

  /** The token is good as far as this process knows: ask the others behind the caller, or, after too long a time, before. */
  #verify(inner: TokenSource, { held, now, ...ask }: Ask & Held): Promise<AccessToken> {
    const flight = this.#trouble?.flight ?? this.#start(inner, ask, { kind: 'check' })
    const { memoryMs = 0 } = this.#env
    return now < (this.#shared?.checkedAt ?? 0) + memoryMs ? held : this.#joinOrKeep(inner, flight, ask)
  }

  /** The token is still good: renew it behind the caller, or let the caller wait for that and fall back on it. */
  #renew(
    inner: TokenSource,
    { held, mustWait, now, ...ask }: Ask & Held & { mustWait: boolean },
  ): Promise<AccessToken> {
    const isFailing = this.#trouble?.failure !== undefined
    const flight = this.#trouble?.flight ?? this.#startOrLook(inner, ask, now)
    return flight === undefined || !mustWait || isFailing ? held : this.#joinOrKeep(inner, flight, ask)
  }

  /** A request, unless it is too early for one: then a look for what others have, now and then. */
  #startOrLook(inner: TokenSource, ask: Ask, now: number): Flight | undefined {
    const trouble = this.#trouble
    if (!trouble?.isTooEarly({ now, proof: ask.proof, held: this.#token })) return this.#start(inner, ask)
    const mayLook = this.#env.memoryMs !== undefined && trouble.looks(now)
    return mayLook ? this.#start(inner, ask, { kind: 'look', pausedBy: trouble.failure?.error }) : undefined
  }

  #joinOrKeep(inner: TokenSource, flight: Flight, ask: Ask): Promise<AccessToken> {
    return join(flight, ask).catch((error) => {
      if (ask.signal?.aborted) throw ask.signal.reason
      if (this.#token !== undefined && this.#env.clock.now() < this.#token.expiresAt) return this.#token
      // Another one's proof failed where a deletion came out: ours has not been tried.
      if (flight.proof !== ask.proof) return this.#awaitTurn(inner, ask)
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
        if (trouble !== undefined && now < trouble.pauseUntil) {
          await delay(this.#env.clock, trouble.pauseUntil - now, signal)
          continue
        }
        flight = this.#startOrLook(inner, ask, now)
        if (flight === undefined) throw copyError(trouble?.failure?.error)
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
      const isOurs = flight?.kind === 'forced' && flight !== tooEarly && flight.proof === ask.proof
      if (flight !== undefined && !isOurs) {
        await ended(flight, ask.signal)
        continue
      }
      const chosen = flight ?? this.#start(inner, ask, { kind: 'forced' })
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
    const isRenewed = flight !== undefined && flight.kind !== 'check' && flight.kind !== 'look'
    if (isRenewed || (this.#dueAt !== 0 && now >= this.#softAt)) return true
    const trouble = this.#troubled()
    if (!trouble.admits(now)) return false
    // A check that is under way would bring back the very token that was refused.
    trouble.flight = undefined
    // Others wait for the new token from now on, and get this one only if there is no other.
    this.#dueAt = 0
    if (this.#shared !== undefined) this.#shared = { ...this.#shared, softAt: 0 }
    return true
  }

  #start(inner: TokenSource, { proof, rejected }: Ask, { kind = 'renewal', pausedBy }: Start = {}): Flight {
    const { runDetached, flights, isClosed } = this.#env
    if (isClosed) throw closedError()
    const token = this.#token
    const flight = launch(runDetached, {
      inner,
      proof,
      kind,
      pausedBy,
      // What is held is named, so that a cache behind this one looks for another.
      rejected: token ?? rejected,
      held: token && this.#shared && { token, ...this.#shared },
      isRefused: rejected !== undefined,
      land: (landed, got) => this.#land(landed, got),
      crash: (crashed, error) => this.#crash(crashed, error),
      onDeleted: (told) => {
        if (this.#trouble?.flight === told) this.drop()
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
    this.#trouble = trouble.remains
    if (token.expiresAt <= now || isClosed) {
      this.#troubled().pauseUntil = now + UNKEPT_PAUSE_MS
      return
    }
    // A token that was there before is as old as it was, and renewed when it would have been.
    const isSame = token === this.#token
    const softAt = isSame ? this.#softAt : softEdge({ now, expiresAt: token.expiresAt }, windows, random)
    const obtainedAt = (isSame ? this.#shared?.obtainedAt : flight.landing.obtainedAt) ?? now
    this.#token = token
    this.#promise = flight.promise
    this.#setEdges({ softAt, obtainedAt }, now)
  }

  #setEdges(life: Omit<SharedLife, 'checkedAt'>, now: number): void {
    const { memoryMs, random } = this.#env
    this.#shared = memoryMs === undefined ? undefined : { ...life, checkedAt: now }
    this.#dueAt = memoryMs === undefined ? life.softAt : Math.min(life.softAt, checkEdge(now, memoryMs, random))
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
      if (flight.kind === 'check' && isHeld) {
        this.#setEdges({ softAt: this.#softAt, obtainedAt: this.#shared?.obtainedAt ?? now }, now)
      } else if (flight.kind !== 'look') trouble.failed(flight, error, { now, jitter: random() })
    }
    // Last: whoever is told must not be able to leave the slot half-way.
    if (isHeld && flight.kind !== 'look') onRenewalFailed(error)
  }

  #troubled(): Trouble {
    this.#trouble ??= new Trouble()
    return this.#trouble
  }
}

function rethrowCopy(error: unknown): never {
  throw copyError(error)
}
