import { randomBytes } from 'node:crypto'
import { type ClientDefinition, createTokenManager, type TokenManager } from 'evertoken'
import { redisInvalidations, redisLock, redisStore } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest'
import { clientOf, createRecorder, type Recorder, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { type Connection, clientLibraries, hasRedis, type RedisServer, startRedis } from '../support/redis.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = isMissing
  ? 'a fleet on Redis (skipped: redis-server is not installed, see test/setup.sh)'
  : 'a fleet on Redis'
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }

type Clients = Readonly<Record<'invoice' | 'catalog', ClientDefinition>>

interface Process {
  readonly tokens: TokenManager<Clients>
  readonly recorder: Recorder
}

describe.skipIf(isMissing)(title, () => {
  let redis: RedisServer
  const connections: Connection[] = []
  const managers: TokenManager<Clients>[] = []
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(() => redis.command('FLUSHALL'))
  afterEach(async () => {
    redis.resume()
    for (const manager of managers.splice(0)) await manager.close()
    for (const connection of connections.splice(0)) await connection.close()
  })
  afterAll(() => redis?.stop())

  describe.each(clientLibraries)('with $name', ({ connect }) => {
    /** What one process of a fleet has of its own: connection, manager, memory. */
    async function start(server: HostileServer): Promise<Process> {
      const connection = await connect(redis.port)
      connections.push(connection)
      const recorder = createRecorder()
      const clients: Clients = {
        invoice: clientOf(server, { scope: 'invoice' }),
        catalog: clientOf(server, { scope: 'catalog' }),
      }
      const store = redisStore(connection.client, { encryption, telemetry: recorder })
      const listener = await connect(redis.port)
      connections.push(listener)
      const invalidations = redisInvalidations(connection.client, listener.client)
      const lock = redisLock(connection.client)
      const tokens = createTokenManager<Clients>({ clients, store, lock, invalidations, telemetry: recorder })
      managers.push(tokens)
      return { tokens, recorder }
    }

    test('shares one token, which nobody can read there', async ({ server }) => {
      const [one, other] = [await start(server), await start(server)]
      const { accessToken } = await one.tokens.getToken('invoice')
      expect((await other.tokens.getToken('invoice')).accessToken).toBe(accessToken)
      expect(server.requests).toHaveLength(1)
      const dump = [await contentsOf(redis), await redis.command('KEYS', '*')]
      expect(dump[0]).toHaveLength(1)
      expect(JSON.stringify(dump)).not.toMatch(new RegExp(`${accessToken}|machine|a-long-enough-secret|invoice`))
    })

    test('F6.11 forgets what another process deletes or has seen refused', async ({ server }) => {
      const [one, other] = [await start(server), await start(server)]
      const first = await one.tokens.getToken('invoice')
      expect((await other.tokens.getToken('invoice')).accessToken).toBe(first.accessToken)
      const ofOther = async (): Promise<string> => (await other.tokens.getToken('invoice')).accessToken
      const second = await one.tokens.getToken('invoice', {}, { rejected: first })
      await expect.poll(ofOther).toBe(second.accessToken)
      await one.tokens.delete('invoice')
      await expect.poll(ofOther).not.toBe(second.accessToken)
      expect(server.requests).toHaveLength(3)
    })

    test('F6.04 does not find a token that was copied from another key', async ({ server }) => {
      const [one, other] = [await start(server), await start(server)]
      await one.tokens.getToken('invoice')
      const [[invoice = ''] = []] = await contentsOf(redis)
      await one.tokens.getToken('catalog')
      const catalog = (await contentsOf(redis)).map(([key]) => key).find((key) => key !== invoice) ?? ''
      expect(await redis.command('COPY', invoice, catalog, 'REPLACE')).toBe(1)
      await other.tokens.getToken('catalog')
      expect(server.requests).toHaveLength(3)
      expect(other.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'not_authentic' })
    })

    test('F6.01 F6.02 goes on without Redis, whether it hangs or is gone, and shares again when it is back', async ({
      server,
    }) => {
      const one = await start(server)
      redis.pause()
      await one.tokens.getToken('invoice')
      redis.resume()
      await redis.kill()
      await one.tokens.getToken('catalog')
      expect(server.requests).toHaveLength(2)
      await redis.start()
      const renewed = async (): Promise<number> => {
        await one.tokens.getToken('invoice', {}, { forceRenewal: true })
        return (await contentsOf(redis)).length
      }
      await expect.poll(renewed, { timeout: 10_000 }).toBeGreaterThan(0)
    })
  })
})

async function contentsOf(redis: RedisServer): Promise<readonly (readonly [key: string, value: string])[]> {
  const keys = await redis.command('KEYS', '*:token:*')
  if (!Array.isArray(keys)) throw new Error('expected a list of keys, got something else')
  return Promise.all(keys.map(async (key) => [String(key), String(await redis.command('GET', String(key)))] as const))
}
