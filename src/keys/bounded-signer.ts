import { isEvertokenError, TransportError } from '../token/index.ts'
import { type Awaitable, type Clock, systemClock, waitFor, withDeadline } from '../util/index.ts'
import type { Signer } from './signer.ts'

/** What a signer that works elsewhere is kept within. */
export interface BoundedSignerOptions {
  /** How long one signature may take, waiting for its turn included, in milliseconds. Default 5000. */
  readonly deadlineMs?: number | undefined
  /** How many signatures are asked for at once; further ones wait their turn. Default 16. */
  readonly maxConcurrent?: number | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

const DEADLINE_MS = 5000
const MAX_CONCURRENT = 16

const bounded = new WeakSet<Signer>()

/**
 * Keeps a signer that works elsewhere (KMS, HSM, agent) within bounds. A signer that answers at once costs nothing.
 *
 * Its `sign` throws TransportError with code `signer_timeout` when no signature comes in time, and `signer_failed` when the signer
 * fails; both are retryable.
 */
export function boundedSigner(signer: Signer, options: BoundedSignerOptions = {}): Signer {
  if (bounded.has(signer)) return signer
  const { alg, kid } = signer
  const wrapped: Signer = {
    alg,
    kid,
    get publicJwk() {
      return signer.publicJwk
    },
    sign: signWithin(signer, options),
  }
  bounded.add(wrapped)
  return wrapped
}

function signWithin(signer: Signer, options: BoundedSignerOptions): Signer['sign'] {
  const { deadlineMs: ms = DEADLINE_MS, maxConcurrent = MAX_CONCURRENT, clock = systemClock } = options
  const turns = createTurns(maxConcurrent)
  const subject = `signer for ${signer.alg}`
  const error = (): Error =>
    new TransportError(`${subject}: expected a signature within ${ms} ms, got none`, {
      code: 'signer_timeout',
      retryable: true,
    })
  return (input, { signal } = {}) => {
    const stop = new LazyStop()
    const turn = turns.take()
    if (turn === undefined) {
      const made = start(() => signer.sign(input, stop))
      // Whoever answers at once has not kept anybody waiting.
      if (!isPromiseLike(made)) {
        turns.giveBack()
        return made
      }
      return within(Promise.resolve(made))
    }
    return within(turn.comes.then(() => signer.sign(input, stop)))

    function start(call: () => Awaitable<Uint8Array>): Awaitable<Uint8Array> {
      try {
        return call()
      } catch (cause) {
        turns.giveBack()
        throw failureOf(subject, cause)
      }
    }

    async function within(work: Promise<Uint8Array>): Promise<Uint8Array> {
      try {
        return await withDeadline((late) => waitFor(waitFor(work, late), signal), { clock, ms, error })
      } catch (cause) {
        stop.abort(cause)
        if (signal?.aborted) throw signal.reason
        throw failureOf(subject, cause)
      } finally {
        // Work that does not listen is left behind, and keeps nobody from their turn.
        turns.giveBack(turn)
      }
    }
  }
}

function failureOf(subject: string, cause: unknown): unknown {
  if (isEvertokenError(cause)) return cause
  return new TransportError(`${subject}: expected a signature, got an error`, {
    code: 'signer_failed',
    retryable: true,
    cause,
  })
}

function isPromiseLike<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** A signal that is made when somebody looks at it: signers in this process do not. */
class LazyStop {
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#controller?.abort(reason)
  }
}

/** A place in the queue. */
interface Turn {
  readonly comes: Promise<void>
  readonly start: () => void
}

/** So many at once; the others in order. */
function createTurns(max: number): { take(): Turn | undefined; giveBack(turn?: Turn): void } {
  let free = max
  const queue = new Set<Turn>()
  return {
    take() {
      // No await between the look and the claim.
      if (free > 0) {
        free--
        return undefined
      }
      let start = (): void => {}
      const comes = new Promise<void>((resolve) => {
        start = resolve
      })
      const turn = { comes, start }
      queue.add(turn)
      return turn
    },
    giveBack(turn) {
      // It gave up before its turn came: there is nothing to give back.
      if (turn !== undefined && queue.delete(turn)) return
      const [next] = queue
      if (next === undefined) {
        free++
        return
      }
      queue.delete(next)
      next.start()
    },
  }
}
