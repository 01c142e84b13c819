import { LRUCache } from 'lru-cache'
import {
  createSlotEnvironment,
  createStoredEntries,
  RENEWAL_WINDOWS,
  type SlotEnvironment,
  type TokenSlot,
} from '../source/index.ts'
import { tolerantLock } from '../store/index.ts'
import { errorName, harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'
import { type Clock, createDetachedRunner, systemClock } from '../util/index.ts'
import type { LifetimeOptions } from './client-definition.ts'
import { createNews, type News } from './forget-together.ts'
import { MachineClient, type MachineClientOptions } from './machine-client.ts'
import { createClientOpener } from './open-client.ts'
import { type ClientDefinitions, checkManagerOptions, type TokenManagerOptions } from './token-manager-options.ts'

const DEADLINE_MS = 10_000
const MAX_ENTRIES = 10_000
/** So long a token is used before the shared store is asked whether it still counts. */
const MEMORY_MS = 60_000
/** The share of the deadline in which a lock has to be had: longer than a lease, and enough is left to ask without it. */
const PATIENCE = 0.7

/** Everything that a manager consists of, by client name. */
export interface OpenClients {
  readonly clients: ReadonlyMap<string, MachineClient>
  readonly envs: readonly SlotEnvironment[]
  readonly news: News | undefined
  /** Turns at the lock that have not been given back yet. */
  readonly running: ReadonlySet<Promise<unknown>>
}

/**
 * Checks all options and builds the clients. Nothing is sent.
 *
 * @throws ConfigurationError that names client and option.
 */
export function openClients(options: TokenManagerOptions<ClientDefinitions>): OpenClients {
  checkManagerOptions(options)
  const { clock = systemClock } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const shared = sharedBy(options, { clock, telemetry })
  const open = createClientOpener(options, { clock, telemetry })
  const runDetached = createDetachedRunner()
  const entries = Object.entries(options.clients).map(([clientName, given]): [string, MachineClientOptions] => {
    const { definition, dpop, oauth, lifetime } = open(clientName, given)
    // A token of a key that nobody else has is of no use to anybody else.
    const entries = dpop?.isOfProcess ? undefined : shared.entries
    const env = createSlotEnvironment({
      clock,
      runDetached,
      windows: windowsFrom(lifetime),
      memoryMs: entries && (lifetime.memoryMs ?? MEMORY_MS),
      onRenewalFailed: (error) =>
        telemetry.note({ name: 'renewal_failed', client: clientName, error: errorName(error) }),
    })
    return [clientName, { ...shared, entries, definition, dpop, oauth, env }]
  })
  return {
    clients: new Map(entries.map(([name, client]) => [name, new MachineClient(client)])),
    envs: entries.map(([, { env }]) => env),
    news: shared.news,
    running: shared.running,
  }
}

type Shared = Omit<MachineClientOptions, 'definition' | 'oauth' | 'env' | 'dpop'> & Pick<OpenClients, 'running'>

/** What the clients of one manager have in common. */
function sharedBy(
  options: TokenManagerOptions<ClientDefinitions>,
  environment: { readonly clock: Clock; readonly telemetry: Telemetry },
): Shared {
  const { clientAssertion, store, serializer, storeKey, lock, invalidations, telemetry } = options
  const { maxEntries: max = MAX_ENTRIES, deadlineMs = DEADLINE_MS } = options
  const running = new Set<Promise<unknown>>()
  return {
    service: clientAssertion,
    entries: store && createStoredEntries({ ...environment, store, serializer }),
    storeKey,
    news: invalidations && createNews(invalidations, { ...environment, maxEntries: max }),
    lock: lock && tolerantLock(lock, { ...environment, waitMs: deadlineMs * PATIENCE, running }),
    running,
    deadlineMs,
    slots: new LRUCache<string, TokenSlot>({ max }),
    // Made when it is first used: its arrays have their full size from the start.
    sources: once(() => new LRUCache<string, TokenSource>({ max })),
    isObserved: telemetry !== undefined,
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
