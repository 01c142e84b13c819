import type { Awaitable } from '../util/index.ts'

/** What a {@link ClaimsTransform} is told after a refresh. */
export interface ClaimsChange {
  readonly clientName: string
  readonly subject: string
  /** Claims of the ID token that came with the refresh; those of the one before where none came. */
  readonly idTokenClaims: Readonly<Record<string, unknown>>
  /** What was made of them before. */
  readonly claims: Readonly<Record<string, unknown>> | undefined
}

/** Makes of a user's claims what the application wants to keep; the result is kept with the tokens. */
export type ClaimsTransform = (change: ClaimsChange) => Awaitable<Readonly<Record<string, unknown>>>
