import type { ClientDPoP } from '../client/index.ts'
import type { ClientAuthentication, OAuthClient } from '../oauth/index.ts'
import type { WithLock } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { TokenRequest } from '../token/index.ts'
import type { Random } from '../util/index.ts'
import type { Closing } from './closing.ts'
import type { ClaimsTransform } from './login/claims.ts'
import type { SharedMemory } from './refresh/shared-memory.ts'
import type { Customized } from './request-customizer.ts'

/** What the sessions of one client have in common. */
export interface SessionEnvironment {
  readonly oauth: OAuthClient
  readonly dpop: ClientDPoP | undefined
  /** How the client proves itself for one request of a user. */
  readonly authenticationFor: (request: TokenRequest) => ClientAuthentication
  /** Asks the customiser what a request is to be; none where there is no customiser. */
  readonly customized: Customized | undefined
  readonly memory: SharedMemory
  readonly closing: Closing
  /** Held while a refresh token is spent. */
  readonly lock: WithLock
  readonly telemetry: Telemetry
  /** Whether anybody listens to that. */
  readonly isObserved: boolean
  readonly random: Random
  readonly transformClaims: ClaimsTransform | undefined
  /** Whether a refresh whose answer got lost is sent once more at once. */
  readonly replays: boolean
  /** How long one request to the server may take. */
  readonly deadlineMs: number
  /** So long before expiry a token is renewed. */
  readonly renewBeforeMs: number
}

/** What somebody wants of a session. */
export interface SessionRequest {
  readonly shape: string
  readonly scope: string | undefined
  readonly resource: readonly string[]
  readonly parameters: Readonly<Record<string, string>>
  readonly authentication: ClientAuthentication
}
