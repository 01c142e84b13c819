import type { TokenStore } from '../store/index.ts'
import { type AccessToken, isSameToken, type TokenSource } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import { parseStoredToken, storedText } from './stored-token.ts'

/** What a {@link storedSource} needs. */
export interface StoredSourceOptions {
  readonly store: TokenStore
  readonly clock: Clock
  /** Changes whenever entries are deleted: what was read before, or asked for before, is then not used and not kept. */
  readonly epoch?: (() => number) | undefined
  /** Names the entry; asked when it is first needed. */
  readonly key: () => Promise<string>
  /** What tokens have to be bound to, where they have to be; it may change while a token is on its way. */
  readonly boundTo?: (() => TokenBinding) | undefined
}

/** What a token is bound to. */
export type TokenBinding = Pick<AccessToken, 'jkt' | 'certificateThumbprint'>

/**
 * Looks into a shared store before it asks another source, and puts there what that gave. A token that is named as rejected
 * is passed over, so that a newer one of another process is found instead.
 */
export function storedSource(inner: TokenSource, options: StoredSourceOptions): TokenSource {
  const { store, clock, key, epoch = () => 0, boundTo = () => ({}) } = options
  const isOurs = (token: AccessToken): boolean => isBoundAlike(token, boundTo())
  return {
    async getToken(ask = {}) {
      const name = await key()
      const startedIn = epoch()
      const stored = ask.forceRenewal ? undefined : parseStoredToken(await store.get(name), clock.now())
      if (stored !== undefined && startedIn === epoch() && isOurs(stored) && !isRejected(stored, ask.rejected))
        return stored
      const askedIn = epoch()
      const token = await inner.getToken(ask)
      const isKept = token.expiresAt > clock.now() && askedIn === epoch() && isOurs(token)
      // Named anew: the certificate that is part of the name may be another one by now.
      if (isKept) await store.set(await key(), storedText(token, clock.now()), token.expiresAt)
      return token
    },
  }
}

function isBoundAlike(a: TokenBinding, b: TokenBinding): boolean {
  return a.jkt === b.jkt && a.certificateThumbprint === b.certificateThumbprint
}

function isRejected(token: AccessToken, rejected: AccessToken | undefined): boolean {
  return rejected !== undefined && isSameToken(token, rejected)
}
