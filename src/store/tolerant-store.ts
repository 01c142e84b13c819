import { errorName, type Telemetry } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import { type Awaitable, type Clock, withDeadline } from '../util/index.ts'
import type { TokenStore } from './token-store.ts'

/** What a {@link tolerantStore} needs. */
export interface TolerantStoreOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** How long one operation may take. Default 250 ms. */
  readonly deadlineMs?: number | undefined
}

/** Does one thing with a store; what fails, or takes too long, gives `undefined` and an event. */
export async function tolerate<T>(
  operation: 'get' | 'set' | 'delete',
  work: () => Awaitable<T>,
  { clock, telemetry, deadlineMs = 250 }: TolerantStoreOptions,
): Promise<T | undefined> {
  const error = (): Error =>
    new StoreError(`expected the store to ${operation} within ${deadlineMs} ms, got no answer`, {
      code: 'store_timeout',
    })
  try {
    return await withDeadline(async () => work(), { clock, ms: deadlineMs, error })
  } catch (cause) {
    telemetry.note({ name: 'store_failed', operation, error: errorName(cause) })
    return undefined
  }
}

/** A store whose failures count as "not there": for caches, never for what exists nowhere else. */
export function tolerantStore(store: TokenStore, options: TolerantStoreOptions): TokenStore {
  return {
    get: (key, asked) => tolerate('get', () => store.get(key, asked), options),
    set: (key, value, expiresAt) => tolerate('set', () => store.set(key, value, expiresAt), options),
    delete: (key) => tolerate('delete', () => store.delete(key), options),
  }
}
