import {
  configuredServer,
  createBackChannel,
  discoveredServer,
  type Fetch,
  guardedChannel,
  type OAuthClient,
} from '../oauth/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { type Clock, createServerTime } from '../util/index.ts'
import type { ClientDefinition } from './client-definition.ts'
import type { ServerLocation } from './client-settings.ts'

type Reached = Pick<OAuthClient, 'server' | 'channel' | 'serverTime'>
/** Finds the server of a client. */
export type ServerOf = (location: ServerLocation, client: ClientDefinition) => Reached

/** What servers are reached with. */
export interface SharedServersOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** For clients that have no way of their own. */
  readonly fetch?: Fetch | undefined
}

/** Clients of one server that reach it in the same way share its metadata and its circuit breaker. */
export function sharedServers(options: SharedServersOptions): ServerOf {
  const { clock, telemetry } = options
  const byFetch = new Map<Fetch | undefined, Map<string, Reached>>()
  return (location, client) => {
    // The connections of one certificate are nobody else's.
    const fetch = client.certificate?.fetch ?? client.fetch ?? options.fetch
    const known = byFetch.get(fetch) ?? new Map<string, Reached>()
    byFetch.set(fetch, known)
    const name =
      location.kind === 'discovered'
        ? JSON.stringify([location.issuer])
        : JSON.stringify([location.metadata.issuer, location.metadata.tokenEndpoint.href])
    const reached = known.get(name) ?? reach(location)
    known.set(name, reached)
    return reached

    function reach(where: ServerLocation): Reached {
      const isDiscovered = where.kind === 'discovered'
      const server = isDiscovered ? where.issuer : (where.metadata.issuer ?? where.metadata.tokenEndpoint.origin)
      const channel = guardedChannel(createBackChannel({ fetch, clock }), { name: server, clock })
      return {
        channel,
        serverTime: createServerTime(),
        server: isDiscovered
          ? discoveredServer(where.issuer, { channel, clock, telemetry })
          : configuredServer(where.metadata),
      }
    }
  }
}
