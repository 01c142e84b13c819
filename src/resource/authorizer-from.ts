import { createNonces, createProver, type DPoPKeyRing, type NonceStore, proofKeysOf } from '../dpop/index.ts'
import { noTelemetry, type Telemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { createAuthorizer, type RequestAuthorizer } from './authorizer.ts'
import { type Destination, destinationRules } from './destination.ts'

/** What tokens of one's own need beside a destination. */
export interface AuthorizerFromOptions {
  /** The keys that the source's tokens are bound to (RFC 9449), a `dpopKeyRing`. Without it only Bearer tokens are sent. */
  readonly dpop?: DPoPKeyRing | undefined
  /** Nonces that several processes share. */
  readonly nonceStore?: NonceStore | undefined
  readonly clock?: Clock | undefined
  readonly telemetry?: Telemetry | undefined
}

/**
 * Puts the tokens of any source on requests to one destination.
 *
 * @throws ConfigurationError with code `destination_invalid`, or `key_invalid` for keys that no `dpopKeyRing` holds.
 */
export function authorizerFrom(
  source: TokenSource,
  destination: Destination,
  options: AuthorizerFromOptions = {},
): RequestAuthorizer {
  const { dpop, nonceStore: store, clock = systemClock, telemetry = noTelemetry } = options
  const prover = dpop && createProver(proofKeysOf(dpop), createNonces({ store, clock, telemetry }))
  const rules = destinationRules(destination, 'authorizerFrom')
  return createAuthorizer({ sourceFor: () => source, rules, prover, clock, telemetry })
}
