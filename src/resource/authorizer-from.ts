import {
  createNonces,
  createProver,
  type DPoPKeyRing,
  type NonceStore,
  type ProofKeys,
  proofKeysOf,
} from '../dpop/index.ts'
import { harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'
import { type Clock, systemClock, waitFor } from '../util/index.ts'
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
  const { dpop, nonceStore: store, clock = systemClock } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const rules = destinationRules(destination, 'authorizerFrom')
  if (dpop === undefined) return createAuthorizer({ sourceFor: () => source, rules, clock, telemetry })
  const keys = proofKeysOf(dpop)
  const prover = createProver(keys, createNonces({ store, clock, telemetry }))
  const keyed = keyedSource(source, keys)
  return createAuthorizer({ sourceFor: () => keyed, rules, prover, clock, telemetry })
}

/** Tells the ring which of its keys there are tokens of: it makes keys ready, and keeps them, for those. */
function keyedSource(source: TokenSource, keys: ProofKeys): TokenSource {
  return {
    async getToken(options) {
      const token = await source.getToken(options)
      const { jkt, expiresAt } = token
      if (jkt === undefined) return token
      if (keys.keyOf(jkt) === undefined) await waitFor(keys.current(), options?.signal)
      const key = keys.keyOf(jkt)
      if (key !== undefined) keys.obtained(key, expiresAt)
      return token
    },
  }
}
