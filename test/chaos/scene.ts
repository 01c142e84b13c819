import { randomBytes } from 'node:crypto'
import { localLock } from 'evertoken'
import { Redis } from 'ioredis'
import { test as base } from 'vitest'
import {
  type FleetProcess,
  type ProcessSettings,
  type Report,
  startProcess,
  startThread,
} from '../support/fleet-process.ts'
import { startHostileServer } from '../support/hostile-server.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startToxicProxy } from '../support/toxic-proxy.ts'
import { createIssuer, type Issuer } from './issuer.ts'

/** What a scene is made of. */
export interface SceneOptions {
  readonly lifetimeMs?: number
  /** For `redis-server`. */
  readonly redisSettings?: readonly string[]
}

/** How processes are started. */
export interface FleetOptions extends Partial<Pick<ProcessSettings, 'clientIds' | 'offsetMs' | 'awaitsConnection'>> {
  /** Each has a network of its own between itself and Redis. */
  readonly isProxied?: boolean
  readonly areThreads?: boolean
}

/** Servers of one test, and as many processes as it wants. */
export interface Scene {
  readonly redis: RedisServer
  readonly issuer: Issuer
  /** Closes the authorization server and the API, and opens them again. */
  readonly server: { shut(): Promise<void>; reopen(): Promise<void> }
  /** A connection of the test's own to Redis. */
  connect(): Redis
  /** Starts processes; every other one has another client library. */
  start(count: number, options?: FleetOptions): Promise<readonly FleetProcess[]>
}

/** What came of the load of each, when that has ended. */
export function reportsOf(fleet: readonly FleetProcess[]): Promise<readonly Report[]> {
  return Promise.all(fleet.map((each) => each.report()))
}

/**
 * What a fleet may do beyond one request a lifetime when nothing happens to it: on a machine that is too busy to answer within the deadlines, a
 * process goes on without Redis.
 */
export function missesOf(reports: readonly Report[]): number {
  return reports.reduce((sum, { misses }) => sum + misses, 0)
}

/** A wait has some steps: a timer, the lock, the look into the store, the request. */
const STEPS = 4

/** How much longer calls may take on a machine that lets processes stand. */
export function stallOf(reports: readonly Report[]): number {
  return STEPS * Math.max(...reports.map(({ stallMs }) => stallMs))
}

/** For how long a holder that has gone is waited for. */
export const LEASE_MS = 2000

/** Two processes start at a time: those that run are to have their share of the machine. */
const startLock = localLock()
let starts = 0
const inTurn = <T>(start: () => Promise<T>): Promise<T> => startLock(`${starts++ % 2}`, start)

/** `test` with servers and processes that are gone afterwards. */
export const test = base.extend<{ readonly stage: (options?: SceneOptions) => Promise<Scene> }>({
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  stage: async ({}, use) => {
    const closing: (() => Promise<unknown>)[] = []
    await use(async ({ lifetimeMs = 3_600_000, redisSettings = [] } = {}) => {
      const redis = await startRedis(...redisSettings)
      const server = await startHostileServer()
      closing.push(() => server.close(), redis.stop)
      const issuer = createIssuer(server, lifetimeMs)
      const key = randomBytes(32).toString('base64url')
      let started = 0

      async function startOne(options: FleetOptions): Promise<FleetProcess> {
        const { isProxied = false, areThreads = false, ...members } = options
        const number = ++started
        const network = isProxied ? await startToxicProxy(redis.port) : undefined
        if (network !== undefined) closing.unshift(network.close)
        const fleetProcess = await inTurn(() =>
          (areThreads ? startThread : startProcess)(
            {
              name: `process-${number}`,
              origin: server.origin,
              clientIds: ['a'],
              place: network?.port ?? redis.port,
              kind: number % 2 ? 'ioredis' : 'redis',
              key,
              leaseMs: LEASE_MS,
              offsetMs: 0,
              awaitsConnection: true,
              ...members,
            },
            network,
          ),
        )
        closing.unshift(fleetProcess.kill)
        return fleetProcess
      }
      const start: Scene['start'] = (count, options = {}) =>
        Promise.all(Array.from({ length: count }, () => startOne(options)))
      function connect(): Redis {
        const connection = new Redis({ port: redis.port, host: '127.0.0.1' }).on('error', () => {})
        closing.unshift(async () => connection.disconnect())
        return connection
      }
      return { redis, issuer, server, connect, start }
    })
    for (const close of closing) await close()
  },
})
