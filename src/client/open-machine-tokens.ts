import { LRUCache } from 'lru-cache'
import {
  configuredServer,
  createBackChannel,
  createServerTime,
  discoveredServer,
  type Fetch,
  guardedChannel,
  LIFETIME_LIMITS,
  type OAuthClient,
  watchCertificate,
} from '../oauth/index.ts'
import { createSlotEnvironment, RENEWAL_WINDOWS, type SlotEnvironment, type TokenSlot } from '../source/index.ts'
import { tolerantStore } from '../store/index.ts'
import { errorName, harmless, noTelemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'
import { createDetachedRunner, systemClock } from '../util/index.ts'
import type { ClientDefinition, LifetimeOptions } from './client-definition.ts'
import { checkClient, type ServerLocation } from './client-settings.ts'
import { MachineClient, type MachineClientOptions } from './machine-client.ts'
import { type ClientDefinitions, checkManagerOptions, type TokenManagerOptions } from './token-manager-options.ts'

const DEADLINE_MS = 10_000
const MAX_ENTRIES = 10_000

/** Everything that a manager consists of, by client name. */
export interface OpenClients {
  readonly clients: ReadonlyMap<string, MachineClient>
  readonly envs: readonly SlotEnvironment[]
}

/**
 * Checks all options and builds the clients. Nothing is sent.
 *
 * @throws ConfigurationError that names client and option.
 */
export function openClients(options: TokenManagerOptions<ClientDefinitions>): OpenClients {
  checkManagerOptions(options)
  const { clientAssertion: service, store, clock = systemClock } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const { maxEntries: max = MAX_ENTRIES, deadlineMs = DEADLINE_MS } = options
  const shared = {
    service,
    store: store && tolerantStore(store, { clock, telemetry }),
    deadlineMs,
    slots: new LRUCache<string, TokenSlot>({ max }),
    // Made when it is first used: its arrays have their full size from the start.
    sources: once(() => new LRUCache<string, TokenSource>({ max })),
    isObserved: options.telemetry !== undefined,
  }
  const runDetached = createDetachedRunner()
  const serverOf = sharedServers({ ...options, telemetry })
  const entries = Object.entries(options.clients).map(([clientName, given]): [string, MachineClientOptions] => {
    const location = checkClient(clientName, given)
    // A copy: what is changed after this check must not reach a server.
    const definition = { ...given, parameters: { ...given.parameters } }
    const lifetime = { ...options.lifetime, ...definition.lifetime }
    const oauth: OAuthClient = {
      clientName,
      clientId: definition.clientId,
      ...serverOf(location, definition),
      clock,
      telemetry,
      certificate: definition.certificate && watchCertificate(definition.certificate, { clientName, clock, telemetry }),
      limits: {
        assumedMs: lifetime.assumedMs ?? LIFETIME_LIMITS.assumedMs,
        maximumMs: lifetime.maximumMs ?? LIFETIME_LIMITS.maximumMs,
      },
      acceptsNarrowedScope: definition.acceptNarrowedScope ?? false,
    }
    const env = createSlotEnvironment({
      clock,
      runDetached,
      windows: windowsFrom(lifetime),
      onRenewalFailed: (error) =>
        telemetry.note({ name: 'renewal_failed', client: clientName, error: errorName(error) }),
    })
    return [clientName, { ...shared, definition, oauth, env }]
  })
  return {
    clients: new Map(entries.map(([name, client]) => [name, new MachineClient(client)])),
    envs: entries.map(([, { env }]) => env),
  }
}

function windowsFrom({ renewBeforeMs, waitBeforeMs }: LifetimeOptions): SlotEnvironment['windows'] {
  return {
    renewBeforeMs: renewBeforeMs ?? RENEWAL_WINDOWS.renewBeforeMs,
    waitBeforeMs: waitBeforeMs ?? RENEWAL_WINDOWS.waitBeforeMs,
  }
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

type Reached = Pick<OAuthClient, 'server' | 'channel' | 'serverTime'>
type ServerOf = (location: ServerLocation, client: ClientDefinition) => Reached

/** Clients of one server that reach it in the same way share its metadata and its circuit breaker. */
function sharedServers(options: TokenManagerOptions<ClientDefinitions>): ServerOf {
  const { clock = systemClock, telemetry } = options
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
