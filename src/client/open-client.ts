import type { NonceStore } from '../dpop/index.ts'
import { type Fetch, LIFETIME_LIMITS, type OAuthClient, watchCertificate } from '../oauth/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { ClientDefinition, LifetimeOptions } from './client-definition.ts'
import { type ClientDPoP, clientDPoP, nonceMemories } from './client-dpop.ts'
import { checkClient } from './client-settings.ts'
import { sharedServers } from './shared-servers.ts'

/** What all clients of one manager are opened with. */
export interface ClientOpenerOptions {
  readonly fetch?: Fetch | undefined
  readonly nonceStore?: NonceStore | undefined
  readonly lifetime?: LifetimeOptions | undefined
}

/** One client, checked, with all that its requests need. */
export interface OpenClient {
  readonly definition: ClientDefinition
  readonly dpop: ClientDPoP | undefined
  readonly oauth: OAuthClient
  readonly lifetime: LifetimeOptions
}

/** Opens the clients of one manager: those of one server share its metadata and its circuit breaker. */
export function createClientOpener(
  options: ClientOpenerOptions,
  { clock, telemetry }: { readonly clock: Clock; readonly telemetry: Telemetry },
): (clientName: string, given: ClientDefinition) => OpenClient {
  const nonces = nonceMemories({ store: options.nonceStore, clock, telemetry })
  const serverOf = sharedServers({ fetch: options.fetch, clock, telemetry })
  return (clientName, given) => {
    const location = checkClient(clientName, given)
    // A copy: what is changed after this check must not reach a server.
    const definition = { ...given, parameters: { ...given.parameters } }
    const dpop = clientDPoP(clientName, definition.dpop, { clock, nonces })
    const lifetime = { ...options.lifetime, ...definition.lifetime }
    const oauth: OAuthClient = {
      clientName,
      clientId: definition.clientId,
      ...serverOf(location, definition),
      clock,
      telemetry,
      proofs: dpop?.prover,
      certificate: definition.certificate && watchCertificate(definition.certificate, { clientName, clock, telemetry }),
      limits: limitsFrom(lifetime),
      acceptsNarrowedScope: definition.acceptNarrowedScope ?? false,
    }
    return { definition, dpop, oauth, lifetime }
  }
}

function limitsFrom({ assumedMs, maximumMs }: LifetimeOptions): OAuthClient['limits'] {
  return { assumedMs: assumedMs ?? LIFETIME_LIMITS.assumedMs, maximumMs: maximumMs ?? LIFETIME_LIMITS.maximumMs }
}
