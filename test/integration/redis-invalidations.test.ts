import type { Invalidations } from 'evertoken'
import { type RedisInvalidationsOptions, redisInvalidations } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { type Connection, clientLibraries, hasRedis, type RedisServer, startRedis } from '../support/redis.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = `redisInvalidations${isMissing ? ' (skipped: redis-server is not installed, see test/setup.sh)' : ''}`

describe.skipIf(isMissing)(title, () => {
  let redis: RedisServer
  const connections: Connection[] = []
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close()
    await expect.poll(listeners).toBe(0)
  })
  afterAll(() => redis?.stop())

  async function listeners(): Promise<number> {
    const reply = await redis.command('PUBSUB', 'NUMSUB', 'evertoken:forget')
    return Array.isArray(reply) ? Number(reply[1]) : 0
  }

  describe.each(clientLibraries)('with $name', ({ connect }) => {
    async function create(options?: RedisInvalidationsOptions): Promise<Invalidations> {
      const [publishing, listening] = [await connect(redis.port), await connect(redis.port)]
      connections.push(publishing, listening)
      return redisInvalidations(publishing.client, listening.client, options)
    }
    /** A listener that has begun to listen, and what it hears. */
    async function listen(invalidations: Invalidations): Promise<{ heard: string[]; stop: () => void }> {
      const heard: string[] = []
      const before = await listeners()
      const stop = invalidations.subscribe((key) => heard.push(key))
      await expect.poll(listeners).toBe(before + 1)
      return { heard, stop }
    }
    it('F6.11 tells every other process within a second, and not the one that says it', async () => {
      const [one, other, third] = [await create(), await create(), await create()]
      const [own, ofOther, ofThird] = [await listen(one), await listen(other), await listen(third)]
      const startedAt = performance.now()
      await one.publish('key')
      await expect.poll(() => [ofOther.heard, ofThird.heard], { interval: 5 }).toEqual([['key'], ['key']])
      expect(performance.now() - startedAt).toBeLessThan(1000)
      // What another says afterwards has overtaken nothing.
      await other.publish('later')
      await expect.poll(() => own.heard, { interval: 5 }).toEqual(['later'])
    })

    it.each([
      { name: 'an empty key', key: '' },
      { name: 'a key with spaces', key: 'a b ' },
      { name: 'a key of odd characters', key: 'é:{x}*' },
      { name: 'a long key', key: 'k'.repeat(10_000) },
    ])('tells $name as it is', async ({ key }) => {
      const [one, other] = [await create(), await create()]
      const { heard } = await listen(other)
      await one.publish(key)
      await expect.poll(() => heard, { interval: 5 }).toEqual([key])
    })

    it('stops telling when it is asked to', async () => {
      const [one, other] = [await create(), await create()]
      const [ended, going] = [await listen(other), { heard: [] as string[] }]
      other.subscribe((key) => going.heard.push(key))
      await one.publish('first')
      await expect.poll(() => [ended.heard, going.heard]).toEqual([['first'], ['first']])
      ended.stop()
      ended.stop()
      await one.publish('second')
      await expect.poll(() => going.heard, { interval: 5 }).toEqual(['first', 'second'])
      expect(ended.heard).toEqual(['first'])
    })

    it('passes over what is none of its messages', async () => {
      const [one, other] = [await create(), await create()]
      const { heard } = await listen(other)
      for (const junk of ['', 'no-space', '\0', '{"a":1}']) await redis.command('PUBLISH', 'evertoken:forget', junk)
      await redis.command('PUBLISH', 'another', 'x elsewhere')
      await one.publish('key')
      await expect.poll(() => heard, { interval: 5 }).toEqual(['key'])
    })

    it('listens again after Redis was gone', async () => {
      const [one, other] = [await create(), await create()]
      const { heard } = await listen(other)
      await redis.kill()
      await redis.start()
      await expect.poll(listeners, { timeout: 10_000 }).toBe(1)
      await expect.poll(() => Promise.resolve(one.publish('key')).catch(() => 'not yet')).toBeUndefined()
      await expect.poll(() => heard, { interval: 5 }).toContain('key')
    })

    it('says so when it could not tell', async () => {
      const one = await create()
      for (const connection of connections.splice(0)) await connection.close()
      expect(await rejection(Promise.resolve(one.publish('key')))).toMatchObject({ code: 'store_unavailable' })
    })
  })

  it.each([
    {
      name: 'no client',
      args: [undefined, { subscribe: () => {} }],
      message: 'a client of the package ioredis or redis',
    },
    {
      name: 'no subscriber',
      args: [{ call: () => {} }, 'redis'],
      message: 'a subscriber of the package ioredis or redis',
    },
    { name: 'odd options', args: [{ call: () => {} }, { subscribe: () => {} }, { chanel: 'x' }], message: '"chanel"' },
  ])('refuses $name', ({ args, message }) => {
    const create = redisInvalidations as (...args: readonly unknown[]) => Invalidations
    expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError' }))
    expect(() => create(...args)).toThrow(message)
  })
})
