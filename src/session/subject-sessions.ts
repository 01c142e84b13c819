import type { SessionTokens } from './session-tokens.ts'

/** Who a user is among the users of all servers. */
export interface Subject {
  /** Issuer identifier, or the token endpoint of a server that has none. */
  readonly issuer: string
  /** The client that the user has signed in with: a refresh token is good for that one only. */
  readonly clientId: string
  /** `sub` (OpenID Connect Core section 2). */
  readonly subject: string
}

/** Where sets rest that belong to a user and to no browser. */
export interface SubjectSessions {
  /** @throws ConfigurationError with code `option_invalid` for what is no text, or an empty one. */
  ofSubject(subject: Subject): SessionTokens
}
