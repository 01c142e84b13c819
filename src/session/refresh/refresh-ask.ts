import type { AccessToken } from '../../token/index.ts'
import { canonicalText } from '../../util/index.ts'
import type { SessionRequest } from '../session-environment.ts'
import type { SessionTokens } from '../session-tokens.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** What one caller wants to have refreshed. */
export interface RefreshAsk {
  readonly session: SessionTokens
  /** The set that the caller has. */
  readonly known: TokenSet
  readonly request: SessionRequest
  readonly rejected: AccessToken | undefined
  /** Whether a set that is no newer than the caller's will not do. */
  readonly isForced: boolean
  readonly signal: AbortSignal | undefined
}

/** Which token somebody wants, wherever it comes from. */
export type Wish = Pick<RefreshAsk, 'known' | 'request' | 'rejected' | 'isForced'>

/** A set, and the token in it that was asked for; it may be good for one use only. */
export interface RefreshResult {
  readonly set: TokenSet
  readonly token: AccessToken
  /** Whether somebody else has got it, or the server was asked. */
  readonly cache: 'l2' | 'miss'
}

/** A token that was given, and until when it is given again without another look at what it is out of. */
export interface Given {
  readonly set: TokenSet
  readonly answer: Promise<AccessToken>
  readonly until: number
}

/** In one browser another user may sign in, or the same one again, while requests of before are under way. */
export function userOf({ known: { subject, issuer, startedAt } }: RefreshAsk): string {
  return canonicalText([subject, issuer ?? null, startedAt])
}

/** What callers share. */
export function nameOf(ask: RefreshAsk): string {
  return canonicalText([userOf(ask), ask.request.shape])
}
