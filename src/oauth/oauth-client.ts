import type { Telemetry } from '../telemetry/index.ts'
import type { Clock, ServerTime } from '../util/index.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import type { BackChannel } from './back-channel.ts'
import type { ProofOfPossession } from './proof-of-possession.ts'
import type { TokenLifetimeLimits } from './token-lifetime.ts'
import type { WatchedCertificate } from './watched-certificate.ts'

/** One client at one authorization server, with all that its requests need. */
export interface OAuthClient {
  readonly clientName: string
  readonly clientId: string
  readonly server: AuthorizationServer
  readonly channel: BackChannel
  readonly clock: Clock
  readonly serverTime: ServerTime
  /** Presented on the connections of {@link channel} (RFC 8705). */
  readonly certificate?: WatchedCertificate | undefined
  /** Keys that its tokens may be bound to (RFC 9449). */
  readonly proofs?: ProofOfPossession | undefined
  readonly telemetry: Telemetry
  readonly limits: TokenLifetimeLimits
  /** Take a token whose scope is less than what was asked for. */
  readonly acceptsNarrowedScope: boolean
}
