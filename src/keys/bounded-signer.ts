import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { type Awaitable, type Clock, createGate, type Gate, systemClock, waitFor, withDeadline } from '../util/index.ts'
import type { Signer } from './signer.ts'
import { isSynchronous, markSynchronous } from './synchronous-signer.ts'

/** How long a signer may take, and how many calls it gets at a time. */
export interface BoundedSignerOptions {
  /** From the call of `sign` to its answer, waiting for a turn included. Default 5000; `Infinity` for none. */
  readonly deadlineMs?: number | undefined
  /** Calls that are out at once; further ones wait in order. Default 16; `Infinity` for no bound. */
  readonly maxConcurrent?: number | undefined
  readonly clock?: Clock | undefined
}

/** On signers that have their bounds already, from whichever copy of this package. */
const brand = Symbol.for('evertoken.bounded-signer')

/** Whether a signer has bounds of its own. */
export function isBounded(signer: Signer): boolean {
  return brand in signer
}

/**
 * A signer with a deadline and a bound on calls at a time, for keys in a KMS or an HSM that may be slow, throttled or gone.
 * Signatures that are there at once pass without a timer. What was given up keeps its place until it ends or its deadline passes.
 *
 * `sign` throws TransportError with code `signer_timeout` or `signer_failed`, both retryable; errors of this package pass
 * unchanged, and an abort leaves as `signal.reason`.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function boundedSigner(signer: Signer, options: BoundedSignerOptions = {}): Signer {
  const { deadlineMs = 5000, maxConcurrent = 16, clock = systemClock } = options
  if (typeof deadlineMs !== 'number' || !(deadlineMs > 0)) throw invalid('deadlineMs to be a number above 0')
  if (!(Number.isInteger(maxConcurrent) || maxConcurrent === Infinity) || maxConcurrent < 1) {
    throw invalid('maxConcurrent to be a whole number above 0')
  }
  const bounds: Bounds = { gate: createGate(maxConcurrent), clock, deadlineMs }
  // As it is now: what is put in its place later may answer otherwise.
  const sign = signer.sign.bind(signer)
  const isUnbound = deadlineMs === Infinity && maxConcurrent === Infinity
  const bounded: Signer = {
    alg: signer.alg,
    kid: signer.kid,
    get publicJwk() {
      return signer.publicJwk
    },
    // A signer in this process needs no bounds, and one that is told so is not measured either.
    sign: isUnbound
      ? (input, stop) => sign(input, stop)
      : (input, { signal } = {}) => signBounded((stop) => sign(input, stop), bounds, signal),
  }
  Object.defineProperty(bounded, brand, { value: true })
  return isUnbound && isSynchronous(signer) ? markSynchronous(bounded) : bounded
}

interface Bounds {
  readonly gate: Gate
  readonly clock: Clock
  readonly deadlineMs: number
}

/** Begins one signature. Its signal is made when it is looked at: signers that answer at once never do. */
type Begin = (options: { readonly signal: AbortSignal }) => Awaitable<Uint8Array>

function signBounded(begin: Begin, bounds: Bounds, signal: AbortSignal | undefined): Awaitable<Uint8Array> {
  if (signal?.aborted) throw signal.reason
  const { gate } = bounds
  const stop = new Stop()
  if (!gate.tryEnter()) return settle(inTurn(begin, gate, stop), { ...bounds, stop, signal })
  let answer: Awaitable<Uint8Array>
  try {
    answer = begin(stop)
  } catch (error) {
    gate.leave()
    throw signerError(error)
  }
  if (isPromiseLike(answer)) {
    const work = { answer: Promise.resolve(answer), leave: once(gate.leave) }
    return settle(work, { ...bounds, stop, signal })
  }
  gate.leave()
  return answer
}

/** A signature on its way, and what frees its place. */
interface Work {
  readonly answer: Promise<Uint8Array>
  leave(): void
}

function inTurn(begin: Begin, gate: Gate, stop: Stop): Work {
  let leave = (): void => {}
  return {
    answer: gate.enter(stop.signal).then(() => {
      if (stop.signal.aborted) {
        // Given up in the very turn in which a place became free: it goes on to the next.
        gate.leave()
        throw stop.signal.reason
      }
      leave = once(gate.leave)
      return begin(stop)
    }),
    leave: () => leave(),
  }
}

async function settle(
  { answer, leave }: Work,
  { clock, deadlineMs, stop, signal }: Bounds & { readonly stop: Stop; readonly signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const late = (): Error => {
    const error = new TransportError(`signer: expected a signature within ${deadlineMs} ms, got none`, {
      code: 'signer_timeout',
      retryable: true,
    })
    stop.abort(error)
    return error
  }
  const timed = deadlineMs === Infinity ? answer : withDeadline(() => answer, { clock, ms: deadlineMs, error: late })
  const freed = timed.finally(leave)
  try {
    return await waitFor(freed, signal)
  } catch (error) {
    if (!signal?.aborted) throw signerError(error)
    stop.abort(signal.reason)
    throw signal.reason
  }
}

/** An abort controller that costs nothing before somebody looks at its signal. */
class Stop {
  #controller: AbortController | undefined
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }
  abort(reason: unknown): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }
}

function once(work: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) work()
    isDone = true
  }
}

function isPromiseLike(value: Awaitable<Uint8Array>): value is PromiseLike<Uint8Array> {
  return 'then' in Object(value)
}

/** What a name of an error looks like; anything else might be a message that quotes something. */
const NAME = /^[\w.-]{1,64}$/

/** A failed signature in this package's words. Messages of clients are left out: they may quote the request, credentials included. */
export function signerError(cause: unknown): Error {
  if (isEvertokenError(cause)) return cause
  const { name, code } = Object(cause) as { readonly name?: unknown; readonly code?: unknown }
  const names = [name, code].filter((text) => typeof text === 'string' && NAME.test(text))
  const shown = new Error(names.join(' '))
  if (typeof name === 'string' && NAME.test(name)) Object.defineProperty(shown, 'name', { value: name })
  if (typeof code === 'string' && NAME.test(code)) Object.assign(shown, { code })
  const got = names.length === 0 ? 'a failure' : names.join(' ')
  return new TransportError(`signer: expected a signature, got ${got}`, {
    code: 'signer_failed',
    retryable: true,
    cause: shown,
  })
}

function invalid(expected: string): ConfigurationError {
  return new ConfigurationError(`boundedSigner: expected ${expected}`, { code: 'option_invalid' })
}
