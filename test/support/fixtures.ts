import {
  type ClientDefinition,
  clientSecretBasic,
  createTokenManager,
  type Operation,
  type Outcome,
  type Telemetry,
  type TelemetryEvent,
} from 'evertoken'
import { test as base } from 'vitest'
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from '../../demo/authorization-server.ts'
import { type HostileServer, startHostileServer } from './hostile-server.ts'
import { createTestClock, type TestClock } from './test-clock.ts'

/** Telemetry that keeps what it is told. */
export interface Recorder extends Telemetry {
  readonly events: TelemetryEvent[]
  readonly operations: string[]
  /** Operations that failed, with their errors, in the order in which they began. */
  readonly failures: readonly string[]
  /** What became of each operation, in the order in which they began. */
  readonly outcomes: readonly (Outcome & { readonly operation: Operation })[]
}

export function createRecorder(): Recorder {
  const events: TelemetryEvent[] = []
  const operations: string[] = []
  const outcomes: (Outcome & { readonly operation: Operation })[] = []
  return {
    events,
    operations,
    outcomes,
    get failures() {
      return outcomes.flatMap(({ error, operation }) => (error === undefined ? [] : [`${operation.name} ${error}`]))
    },
    run(operation, work) {
      const outcome: Outcome & { readonly operation: Operation } = { operation }
      operations.push(operation.name)
      outcomes.push(outcome)
      return work(outcome)
    },
    note: (event) => void events.push(event),
  }
}

/** A client of the hostile server. */
export function clientOf(
  server: Pick<HostileServer, 'tokenEndpoint'>,
  members: Partial<ClientDefinition> = {},
): ClientDefinition {
  return {
    tokenEndpoint: server.tokenEndpoint,
    clientId: 'machine',
    authentication: clientSecretBasic('a-long-enough-secret'),
    ...members,
  }
}

interface Fixtures {
  /** A scripted server; answers with tokens until it is told otherwise. */
  readonly server: HostileServer
  /** A second one, to be somewhere else. */
  readonly elsewhere: HostileServer
  readonly clock: TestClock
  readonly recorder: Recorder
  /** Starts a real `oidc-provider`. */
  readonly startProvider: (options: AuthorizationServerOptions) => Promise<AuthorizationServer>
  /** One client named `api` of the scripted server, with a clock that is moved by hand. */
  readonly manage: (
    members?: Partial<ClientDefinition>,
    options?: Partial<Omit<Parameters<typeof createTokenManager>[0], 'clients'>>,
  ) => ReturnType<typeof createTokenManager<{ readonly api: ClientDefinition }>>
}

/** `test` with servers that are closed and managers that have nothing left running. */
export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  server: async ({}, use) => {
    const server = await startHostileServer()
    await use(server)
    await server.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: likewise
  elsewhere: async ({}, use) => {
    const server = await startHostileServer()
    await use(server)
    await server.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: likewise
  clock: async ({}, use) => use(createTestClock()),
  // biome-ignore lint/correctness/noEmptyPattern: likewise
  recorder: async ({}, use) => use(createRecorder()),
  // biome-ignore lint/correctness/noEmptyPattern: likewise
  startProvider: async ({}, use) => {
    const servers: AuthorizationServer[] = []
    await use(async (options) => {
      const server = await startAuthorizationServer(options)
      servers.push(server)
      return server
    })
    await Promise.all(servers.map((server) => server.close()))
  },
  manage: async ({ server, clock, recorder }, use) => {
    const managers: { close(): Promise<void> }[] = []
    await use((members, options) => {
      const clients = { api: clientOf(server, members) }
      const manager = createTokenManager({ clock, telemetry: recorder, ...options, clients })
      managers.push(manager)
      return manager
    })
    let isClosed = false
    const closing = Promise.all(managers.map((manager) => manager.close())).then(() => {
      isClosed = true
    })
    // A test that failed may have left a request behind that only its deadline ends.
    for (let turn = 0; turn < 20 && !isClosed; turn++) await clock.advance(10_000)
    await closing
  },
})

/** What a promise was rejected with; fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return error as Error & Record<string, unknown>
  }
  throw new Error('expected a rejection, got a result')
}
