import type { Clock } from './clock.ts'

/** Runs work, or refuses to while what it depends on is known to be down. */
export interface CircuitBreaker<T> {
  run<R extends T>(work: () => Promise<R>): Promise<R>
  /** Whether the next call is refused, or tries whether the time of refusing is over. */
  readonly isOpen: boolean
}

/** What a {@link CircuitBreaker} is made of. */
export interface CircuitBreakerOptions<T> {
  readonly clock: Clock
  /** Whether an error tells of a dependency that is down. */
  readonly isOutage: (error: unknown) => boolean
  /** Whether a result tells of one. */
  readonly isOutageResult: (result: T) => boolean
  /** What is thrown while the work is refused. */
  readonly refusal: (lastError: unknown) => Error
  /** So many outages in a row open the circuit. Default 5. */
  readonly threshold?: number | undefined
  /** Told when the circuit opens, and when it closes. */
  readonly onChange?: ((isOpen: boolean, lastError: unknown) => void) | undefined
}

const THRESHOLD = 5
/** An open circuit lets one probe through in so long a time. */
const REST_MS = 1000

/**
 * Stops calling what is down. After so many outages in a row one call a second goes through, alone, and the first that
 * comes back closes the circuit.
 */
export function createCircuitBreaker<T>(options: CircuitBreakerOptions<T>): CircuitBreaker<T> {
  const { clock, isOutage, isOutageResult, refusal, threshold = THRESHOLD, onChange } = options
  let outages = 0
  let nextProbeAt = 0
  let lastError: unknown

  function count(isDown: boolean, error?: unknown): void {
    const wasOpen = isOpen()
    outages = isDown ? outages + 1 : 0
    lastError = error
    nextProbeAt = clock.now() + REST_MS
    if (isOpen() !== wasOpen) onChange?.(isOpen(), error)
  }

  function isOpen(): boolean {
    return outages >= threshold
  }

  return {
    get isOpen() {
      return isOpen()
    },
    async run(work) {
      if (isOpen()) {
        const now = clock.now()
        if (now < nextProbeAt) throw refusal(lastError)
        // Claimed before any await, so that there is one probe and not one per caller.
        nextProbeAt = now + REST_MS
      }
      try {
        const result = await work()
        count(isOutageResult(result))
        return result
      } catch (error) {
        count(isOutage(error), error)
        throw error
      }
    },
  }
}
