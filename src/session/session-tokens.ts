import type { Awaitable } from '../util/index.ts'
import type { TokenSet } from './token-set/token-set.ts'

/** Where the tokens of one user session rest, already bound to the request or job that carries it. Each call may take two seconds; then it counts as failed. */
export interface SessionTokens {
  /** Names the session among all others; stays the same for as long as it lasts. A sign-in that is saved in the place of another one may change it. */
  readonly id: string
  /**
   * `stored`: the set is in one place that all processes share. `carried`: it comes with the request, in a cookie say, and each of the user's
   * requests brings its own copy. Default `stored`.
   */
  readonly kind?: 'stored' | 'carried' | undefined
  /** The set as it is now; `undefined` where there is no such session, or none any more. */
  load(): Awaitable<TokenSet | undefined>
  /**
   * Keeps a set, unless one of the same or a higher generation is there, or the session was cleared: tells whether it did. What a browser carries
   * cannot be compared; it is kept.
   */
  save(set: TokenSet): Awaitable<boolean>
  /** Ends the session: nothing that is saved after this is kept. */
  clear(): Awaitable<void>
}
