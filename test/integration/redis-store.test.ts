import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { TokenStore } from 'evertoken'
import { type RedisStoreOptions, redisStore } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRecorder, type Recorder, rejection } from '../support/fixtures.ts'
import {
  type Connection,
  clientLibraries,
  hasRedis,
  type RedisServer,
  refusedWrites,
  startRedis,
} from '../support/redis.ts'
import { createTestClock } from '../support/test-clock.ts'
import { itKeepsTheStoreContract } from '../support/token-store-contract.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = isMissing ? 'redisStore (skipped: redis-server is not installed, see test/setup.sh)' : 'redisStore'
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const wallClock = { now: () => Date.now() }

describe.skipIf(isMissing)(title, () => {
  let redis: RedisServer
  const connections: Connection[] = []
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(() => redis.command('FLUSHALL'))
  afterEach(async () => {
    redis.resume()
    for (const connection of connections.splice(0)) await connection.close()
  })
  afterAll(() => redis?.stop())

  describe.each(clientLibraries)('with $name', ({ connect }) => {
    function entriesIgnored(recorder: Recorder): readonly unknown[] {
      return recorder.events.map((event) => event.name === 'entry_ignored' && event.reason)
    }
    async function create(options: RedisStoreOptions = { plaintext: true }): Promise<TokenStore> {
      const connection = await connect(redis.port)
      connections.push(connection)
      return redisStore(connection.client, options)
    }

    describe('encrypted', () => {
      itKeepsTheStoreContract(async () => ({ store: await create({ encryption }), clock: wallClock }))
    })

    describe('in clear', () => {
      itKeepsTheStoreContract(async () => ({ store: await create(), clock: wallClock }))
    })

    it('A1.04 keeps apart what has another prefix', async () => {
      const [one, other] = [await create({ plaintext: true, prefix: 'one:' }), await create({ plaintext: true })]
      await one.set('key', 'value', Date.now() + 60_000)
      expect(await redis.command('KEYS', '*')).toEqual(['one:token:key'])
      expect(await other.get('key')).toBeUndefined()
    })

    it('F6.13 tells lifetimes as lengths of time, whatever this machine takes the time to be', async () => {
      const clock = createTestClock(Date.UTC(1999, 0, 1))
      const store = await create({ plaintext: true, clock })
      await store.set('key', 'value', clock.now() + 60_000)
      const left = Number(await redis.command('PTTL', 'evertoken:token:key'))
      expect(left).toBeGreaterThan(50_000)
      expect(left).toBeLessThanOrEqual(60_000)
    })

    it('keeps what never expires for as long as there is room', async () => {
      const store = await create()
      await store.set('key', 'value', Number.POSITIVE_INFINITY)
      expect(await redis.command('PTTL', 'evertoken:token:key')).toBe(-1)
      expect(await store.get('key')).toBe('value')
    })

    it.each<{ name: string; plant: readonly string[]; reason?: string }>([
      { name: 'a value without its mark', plant: ['SET', 'KEY', '{"accessToken":"planted"}'] },
      { name: 'random bytes', plant: ['SET', 'KEY', randomBytes(100).toString('latin1')] },
      { name: 'a value one byte too large', plant: ['SET', 'KEY', `=${'v'.repeat(262_145)}`], reason: 'too_long' },
      {
        name: 'a large value of three bytes a character',
        plant: ['SET', 'KEY', `=${'€'.repeat(87_382)}`],
        reason: 'too_long',
      },
      { name: 'a list', plant: ['RPUSH', 'KEY', 'a', 'b'] },
      { name: 'a hash', plant: ['HSET', 'KEY', 'a', 'b'] },
      { name: 'a set', plant: ['SADD', 'KEY', 'a', 'b'] },
    ])('F6.03 misses, deletes and tells of $name', async ({ plant, reason = 'malformed' }) => {
      const recorder = createRecorder()
      const store = await create({ plaintext: true, telemetry: recorder })
      await redis.command(...plant.map((part) => (part === 'KEY' ? 'evertoken:token:key' : part)))
      expect(await store.get('key')).toBeUndefined()
      expect(await redis.command('DBSIZE')).toBe(0)
      expect(entriesIgnored(recorder)).toEqual([reason])
      await store.set('key', 'value', Date.now() + 60_000)
      expect(await store.get('key')).toBe('value')
    })

    it('F6.03 does not fetch 50 MB to find that they are too many', async () => {
      const store = await create()
      await redis.command('SETRANGE', 'evertoken:token:key', '50000000', 'x')
      await redis.command('CONFIG', 'RESETSTAT')
      expect(await store.get('key')).toBeUndefined()
      const sent = /total_net_output_bytes:(\d+)/.exec(String(await redis.command('INFO', 'stats')))
      expect(Number(sent?.[1])).toBeLessThan(400_000)
      expect(await redis.command('DBSIZE')).toBe(0)
    })

    it('keeps a value of exactly as many bytes as may be, and none of one more, nor the one before it', async () => {
      const recorder = createRecorder()
      const store = await create({ plaintext: true, maxValueBytes: 30, telemetry: recorder })
      await store.set('key', '€'.repeat(10), Date.now() + 60_000)
      expect(await store.get('key')).toBe('€'.repeat(10))
      await store.set('key', `${'€'.repeat(10)}x`, Date.now() + 60_000)
      expect(await store.get('key')).toBeUndefined()
      expect(entriesIgnored(recorder)).toEqual(['too_long'])
    })

    it('reads with one command', async () => {
      const store = await create()
      await store.set('key', 'value', Date.now() + 60_000)
      await redis.command('CONFIG', 'RESETSTAT')
      await store.get('key')
      await store.get('nothing')
      const stats = String(await redis.command('INFO', 'commandstats'))
      expect(stats.match(/cmdstat_(?!config|info)\w+:calls=\d+/g)).toEqual(['cmdstat_getrange:calls=2'])
    })

    it.each(refusedWrites)(
      'F6.07 tells that a write failed when $name, without what was written, and reads go on',
      async (row) => {
        const store = await create()
        await store.set('key', 'value', Date.now() + 60_000)
        await redis.command(...row.break)
        const error = await rejection(Promise.resolve(store.set('a-key', 'a-token', Date.now() + 60_000)))
        const found = await store.get('key')
        await redis.command(...row.mend)
        expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
        expect(error.message).toBe(`redis: expected an answer to SET, got ${row.word}`)
        expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
        expect(found).toBe('value')
      },
    )

    it('F6.02 lets a caller go who does not wait for a server that hangs', async () => {
      const store = await create()
      redis.pause()
      const reason = new Error('late')
      const controller = new AbortController()
      const reading = rejection(Promise.resolve(store.get('key', { signal: controller.signal })))
      controller.abort(reason)
      expect(await reading).toBe(reason)
    })

    it('says so when the connection is closed', async () => {
      const store = await create()
      for (const connection of connections.splice(0)) await connection.close()
      const failures = [store.get('key'), store.set('key', 'value', Date.now() + 1000), store.delete('key')]
      for (const failure of failures)
        expect(await rejection(Promise.resolve(failure))).toMatchObject({ code: 'store_unavailable' })
    })
  })

  it.each<{ name: string; args: readonly unknown[]; code: string; message: string }>([
    { name: 'no client', args: [undefined, { plaintext: true }], code: 'option_invalid', message: 'got undefined' },
    {
      name: 'an object that is no client',
      args: [{ get: () => {} }, { plaintext: true }],
      code: 'option_invalid',
      message: 'got an object',
    },
    { name: 'no options', args: [client()], code: 'option_invalid', message: 'an object, got undefined' },
    { name: 'neither encryption nor plaintext', args: [client(), {}], code: 'option_invalid', message: 'got neither' },
    {
      name: 'plaintext that is not true',
      args: [client(), { plaintext: 'yes' }],
      code: 'option_invalid',
      message: 'plaintext to be true or absent, got a string',
    },
    {
      name: 'both encryption and plaintext',
      args: [client(), { plaintext: true, encryption }],
      code: 'option_invalid',
      message: 'got both',
    },
    {
      name: 'a key that is too short',
      args: [client(), { encryption: { keys: [{ id: 'a', key: randomBytes(16) }] } }],
      code: 'encryption_key_invalid',
      message: '32 bytes, got 16 bytes',
    },
    {
      name: 'telemetry that is none',
      args: [client(), { plaintext: true, telemetry: {} }],
      code: 'option_invalid',
      message: 'telemetry',
    },
    {
      name: 'a limit of nothing',
      args: [client(), { plaintext: true, maxValueBytes: 0 }],
      code: 'option_invalid',
      message: 'maxValueBytes',
    },
    {
      name: 'a prefix that is none',
      args: [client(), { plaintext: true, prefix: 1 }],
      code: 'option_invalid',
      message: 'prefix',
    },
    {
      name: 'an option that does not exist',
      args: [client(), { plaintxt: true }],
      code: 'option_unknown',
      message: '"plaintxt"',
    },
  ])('refuses $name', ({ args, code, message }) => {
    const create = redisStore as (...args: readonly unknown[]) => TokenStore
    expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
    expect(() => create(...args)).toThrow(message)
  })
})

function client(): object {
  return { call: async () => 'OK' }
}
