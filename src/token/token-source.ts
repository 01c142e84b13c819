import type { AccessToken } from './access-token.ts'

/** How one caller wants its token. */
export interface GetTokenOptions {
  /** Ends this caller's waiting; work that others share goes on. */
  readonly signal?: AbortSignal | undefined
  /** A token that a resource server refused: the source gives another one. */
  readonly rejected?: AccessToken | undefined
  /** For people, not for transports: skip the cache and store what comes back for the next caller. */
  readonly forceRenewal?: boolean | undefined
}

/** Anything that can give an access token. Safe to call concurrently. */
export interface TokenSource {
  getToken(options?: GetTokenOptions): Promise<AccessToken>
}
