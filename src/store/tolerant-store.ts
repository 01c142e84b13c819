import { errorName, observe, type StoreName, type Telemetry } from '../telemetry/index.ts'
import { isEvertokenError, StoreError } from '../token/index.ts'
import {
  type Awaitable,
  type CircuitBreaker,
  type Clock,
  createCircuitBreaker,
  waitFor,
  withDeadline,
} from '../util/index.ts'
import type { TokenStore } from './token-store.ts'

/** What a {@link tolerantStore} needs. */
export interface TolerantStoreOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** What the store is called in operations and events. Default `tokens`. */
  readonly name?: StoreName | undefined
  /** How long one operation may take. Default 250 ms. */
  readonly deadlineMs?: number | undefined
}

/** Does one thing with a store; what fails, takes too long, or is not tried because the store is down, gives `undefined`. */
export type Tolerate = <T>(
  operation: 'get' | 'set' | 'delete',
  work: (signal: AbortSignal) => Awaitable<T>,
) => Promise<T | undefined>

const DEADLINE_MS = 250
/** So many failures in a row, and the store is left alone for a second at a time. */
const THRESHOLD = 3
/** A store that is down and hangs costs the caller whose call tries it no more than this; one that is up again answers within it. */
const PROBE_WAIT_MS = 10

/**
 * Tolerates one store: each operation has a deadline, and a store that fails three times in a row is asked once a second until it answers.
 * Reads and writes fail apart, as they do where a replica is left that takes no writes. Each operation that is tried is observed, and an
 * event tells of each change from up to down and back.
 */
export function createTolerance(options: TolerantStoreOptions): Tolerate {
  const { clock, telemetry, name: store = 'tokens', deadlineMs = DEADLINE_MS } = options
  const reads = createBreaker('read', options)
  const writes = createBreaker('write', options)

  return async (operation, work) => {
    const breaker = operation === 'get' ? reads : writes
    const within = <T>(ms: number, asked: (signal: AbortSignal) => Promise<T>): Promise<T> =>
      withDeadline(asked, { clock, ms, error: () => timeout(operation, ms) })
    const isProbe = breaker.isOpen
    const asked = breaker.run(() =>
      observe(telemetry, { name: `store.${operation}`, store }, () =>
        within(deadlineMs, async (signal) => work(signal)),
      ),
    )
    try {
      return await (isProbe ? within(PROBE_WAIT_MS, () => asked) : asked)
    } catch {
      // Named in the conventions: what is cached may be missing. The operation has told of the error.
      return undefined
    }
  }
}

/** A store whose failures count as "not there": for caches, never for what exists nowhere else. */
export function tolerantStore(store: TokenStore, options: TolerantStoreOptions): TokenStore {
  const tolerate = createTolerance(options)
  return {
    // One caller that leaves is no failure of the store.
    get: (key, asked) =>
      waitFor(
        tolerate('get', (signal) => store.get(key, { signal })),
        asked?.signal,
      ),
    set: (key, value, expiresAt) => tolerate('set', () => store.set(key, value, expiresAt)),
    delete: (key) => tolerate('delete', () => store.delete(key)),
  }
}

function createBreaker(access: 'read' | 'write', options: TolerantStoreOptions): CircuitBreaker<unknown> {
  const { clock, telemetry, name: store = 'tokens' } = options
  return createCircuitBreaker<unknown>({
    clock,
    threshold: THRESHOLD,
    // What is wrong with one call, and stays wrong, tells nothing of the store.
    isOutage: (error) => !isEvertokenError(error) || error.retryable,
    isOutageResult: () => false,
    refusal: (cause) =>
      new StoreError('expected the store to be up, got failures only; it is tried again within a second', {
        code: 'circuit_open',
        cause,
      }),
    onChange: (isOpen, error) =>
      telemetry.note(
        isOpen ? { name: 'store_down', store, access, error: errorName(error) } : { name: 'store_up', store, access },
      ),
  })
}

function timeout(operation: string, ms: number): StoreError {
  return new StoreError(`expected the store to ${operation} within ${ms} ms, got no answer`, { code: 'store_timeout' })
}
