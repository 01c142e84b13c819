import { errorName, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { type Clock, singleFlight } from '../util/index.ts'
import type { BackChannel } from './back-channel.ts'
import type { ServerMetadata } from './server-metadata.ts'

/** One authorization server, as one client configuration knows it. */
export interface AuthorizationServer {
  /** Endpoints, from configuration or from a document that is at most a day old. */
  metadata(): Promise<ServerMetadata>
}

/** What discovery needs. */
export interface AuthorizationServerOptions {
  readonly channel: BackChannel
  readonly clock: Clock
  readonly telemetry?: Telemetry | undefined
}

/** From this age on a document is asked for again, behind the callers. */
const REFRESH_AFTER_MS = 60 * 60 * 1000
/** A document older than this is not used any more. */
const UNUSABLE_AFTER_MS = 24 * 60 * 60 * 1000
/** After a failed refresh the next one waits so long. */
const REFRESH_PAUSE_MS = 60 * 1000

/** A server whose endpoints are configured. */
export function configuredServer(metadata: ServerMetadata): AuthorizationServer {
  return { metadata: async () => metadata }
}

/**
 * A server that is asked for its metadata when it is first needed (RFC 8414, OpenID Connect Discovery). Calls that
 * overlap share one request. A document is refreshed after an hour, and served on for a day where that fails.
 */
export function discoveredServer(
  issuer: string,
  { channel, clock, telemetry = noTelemetry }: AuthorizationServerOptions,
): AuthorizationServer {
  let known: ServerMetadata | undefined
  let knownAt = 0
  let refreshAt = 0

  const refresh = singleFlight(async () => {
    const { discover } = await import('./discovery.ts')
    const found = await discover(issuer, { channel, clock })
    const from = known?.tokenEndpoint.origin
    const to = found.tokenEndpoint.origin
    if (from !== undefined && from !== to) telemetry.note({ name: 'token_endpoint_moved', issuer, from, to })
    known = found
    knownAt = clock.now()
    refreshAt = knownAt + REFRESH_AFTER_MS
    return found
  })

  function refreshBehind(): void {
    refreshAt = clock.now() + REFRESH_PAUSE_MS
    refresh().catch((error) => telemetry.note({ name: 'metadata_stale', issuer, error: errorName(error) }))
  }

  return {
    async metadata() {
      const now = clock.now()
      if (known === undefined || now - knownAt >= UNUSABLE_AFTER_MS) return refresh()
      if (now >= refreshAt) refreshBehind()
      return known
    },
  }
}
