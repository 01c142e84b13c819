import type { TokenSet } from '../token-set/token-set.ts'

/** Who has logged out at the server, in the words of a logout token (OpenID Connect Back-Channel Logout section 2.4). */
export interface Logout {
  readonly issuer: string
  /** The client that was told of it: sessions of others stay. */
  readonly clientId: string
  /** Without `sid` all sessions of this user end. */
  readonly subject?: string | undefined
  /** The session at the server; those that began with it here end, and no others. */
  readonly sid?: string | undefined
  /** When that was, in milliseconds since the epoch by the server's clock. A sign-in of before that is kept only now is not kept any more. */
  readonly at: number
}

/** Sessions that can be found by whom they belong to. */
export interface EndableSessions {
  /**
   * Ends them, on all instances, and gives the sets that they had, for their refresh tokens to be revoked. What is kept for jobs (`ofSubject`) with the scope
   * `offline_access` stays. `onEnded` is told of each of them as soon as it is over: also where not all of them can be ended.
   *
   * @throws ConfigurationError with code `option_invalid` where neither subject nor sid is named, and for a name that is no text, or an empty one; StoreError, and what the store throws, when not all of them could
   * be ended.
   */
  end(logout: Logout, onEnded?: (set: TokenSet) => void): Promise<readonly TokenSet[]>
}

/** Whether the user has granted that the application goes on without them (OpenID Connect Core section 11). */
export function isOffline({ scope = '' }: TokenSet): boolean {
  return scope.split(' ').includes('offline_access')
}
