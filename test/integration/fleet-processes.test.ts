import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { hasRedis, type RedisServer, startRedis } from '../support/redis.ts'

const program = fileURLToPath(new URL('../support/programs/fleet-process.mjs', import.meta.url))
const isMissing = !hasRedis && process.env.CI === undefined
const LEASE_MS = 2000
const PATIENCE_MS = 7000

interface Outcome {
  readonly tokens: readonly string[]
  readonly failed: number
  readonly ms: number
}

/** A process of its own, with a manager and a connection. */
interface FleetProcess {
  /** Makes so many calls at once. */
  call(calls: number): Promise<Outcome>
  readonly child: ChildProcess
}

describe.skipIf(isMissing)('C5 C6 processes on one Redis', () => {
  let redis: RedisServer
  const children: ChildProcess[] = []
  const key = randomBytes(32).toString('base64url')
  beforeEach(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await redis.stop()
  })

  async function start({ tokenEndpoint }: HostileServer): Promise<FleetProcess> {
    const args = [program, tokenEndpoint, String(redis.port), key, String(LEASE_MS)]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    const lines = createInterface({ input: child.stdout })
    await once(lines, 'line')
    return {
      child,
      async call(calls) {
        child.stdin.write(`${calls}\n`)
        const [line] = await once(lines, 'line')
        return JSON.parse(String(line)) as Outcome
      },
    }
  }

  test('C5 4 processes, 10,000 cold calls each: one token request', async ({ server }) => {
    const fleet = await Promise.all([1, 2, 3, 4].map(() => start(server)))
    const outcomes = await Promise.all(fleet.map(({ call }) => call(10_000)))
    expect(outcomes.map(({ tokens, failed }) => ({ tokens, failed }))).toEqual(
      Array(4).fill({ tokens: ['token-1'], failed: 0 }),
    )
    expect(server.requests).toHaveLength(1)
  })

  test('C6 F7.01 the one that asks is killed: one spare request, when the lease is over', async ({ server }) => {
    const fleet = await Promise.all([1, 2, 3].map(() => start(server)))
    const [first, ...others] = fleet as [FleetProcess, ...FleetProcess[]]
    server.answer = (request) => (request.n === 1 ? () => {} : tokenJson()(request))
    const asked = server.nextRequest()
    void first.call(1).catch(() => {})
    await asked
    const waiting = others.map(({ call }) => call(100))
    first.child.kill('SIGKILL')
    const outcomes = await Promise.all(waiting)
    expect(outcomes.map(({ tokens, failed }) => ({ tokens, failed }))).toEqual(
      Array(2).fill({ tokens: ['token-2'], failed: 0 }),
    )
    // The lease was waited out, and not the seven seconds after which a token is asked for without the lock.
    for (const { ms } of outcomes) expect(ms).toBeLessThan(PATIENCE_MS)
    expect(server.requests).toHaveLength(2)
  })

  test('C6 F7.03 the lock is flushed away while one asks: one spare request at the most', async ({ server }) => {
    const [one, other] = await Promise.all([start(server), start(server)])
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    server.answer = async (request) => {
      if (request.n === 1) await released
      return tokenJson()(request)
    }
    const asked = server.nextRequest()
    const first = one.call(1)
    await asked
    await redis.command('FLUSHALL')
    const second = await other.call(1)
    release()
    expect([(await first).failed, second.failed]).toEqual([0, 0])
    expect(server.requests).toHaveLength(2)
  })

  test('C2 F6.01 F7.05 Redis is gone: each process asks for itself, and all take turns again when it is back', async ({
    server,
  }) => {
    const fleet = await Promise.all([1, 2].map(() => start(server)))
    await redis.kill()
    const outcomes = await Promise.all(fleet.map(({ call }) => call(100)))
    expect(outcomes.map(({ failed }) => failed)).toEqual([0, 0])
    expect(server.requests).toHaveLength(2)
    for (const { ms } of outcomes) expect(ms).toBeLessThan(PATIENCE_MS)
  })
})
