import { assertMethods } from '../token/index.ts'
import type { Awaitable } from '../util/index.ts'

/**
 * The port for every shared cache. Values are opaque strings, so that prefix, encryption and tolerance are wrappers. What one process writes under one key
 * takes effect in the order of the calls: over a pool of connections that has to be seen to.
 */
export interface TokenStore {
  /** The value that was set under the key, or `undefined` when there is none or it has expired. */
  get(key: string, options?: { readonly signal?: AbortSignal | undefined }): Awaitable<string | undefined>
  /** Keeps a value until an instant in milliseconds since the epoch, or as long as there is room. */
  set(key: string, value: string, expiresAt: number): Awaitable<void>
  /** Forgets a value, if there is one. */
  delete(key: string): Awaitable<void>
}

/**
 * Refuses what is no store, where it is handed in.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertStore(subject: string, store: unknown): void {
  assertMethods(subject, { option: 'store', value: store }, ['get', 'set', 'delete'])
}
