import type { TokenStore } from '../store/index.ts'
import { type AccessToken, isSameToken, type TokenSource } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import { parseStoredToken, storedText } from './stored-token.ts'

/** What a {@link storedSource} needs. */
export interface StoredSourceOptions {
  readonly store: TokenStore
  readonly clock: Clock
  /** Names the entry; asked when it is first needed. */
  readonly key: () => Promise<string>
}

/**
 * Looks into a shared store before it asks another source, and puts there what that gave. A token that is named as rejected
 * is passed over, so that a newer one of another process is found instead.
 */
export function storedSource(inner: TokenSource, { store, clock, key }: StoredSourceOptions): TokenSource {
  return {
    async getToken(options = {}) {
      const name = await key()
      const stored = options.forceRenewal ? undefined : parseStoredToken(await store.get(name), clock.now())
      if (stored !== undefined && !isRejected(stored, options.rejected)) return stored
      const token = await inner.getToken(options)
      if (token.expiresAt > clock.now()) await store.set(name, storedText(token, clock.now()), token.expiresAt)
      return token
    },
  }
}

function isRejected(token: AccessToken, rejected: AccessToken | undefined): boolean {
  return rejected !== undefined && isSameToken(token, rejected)
}
