import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { RecordStore } from 'evertoken'
import { type RedisRecordsOptions, redisRecords } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRecorder, rejection } from '../support/fixtures.ts'
import { itKeepsTheRecordContract } from '../support/record-store-contract.ts'
import {
  type Connection,
  clientLibraries,
  hasRedis,
  type RedisServer,
  refusedWrites,
  startRedis,
} from '../support/redis.ts'
import { createTestClock } from '../support/test-clock.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = isMissing ? 'redisRecords (skipped: redis-server is not installed, see test/setup.sh)' : 'redisRecords'
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const clock = { now: () => Date.now() }
const KEY = 'evertoken:record:key'

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
  const later = (): number => Date.now() + 60_000

  describe.each(clientLibraries)('with $name', ({ connect }) => {
    async function create(options: RedisRecordsOptions = { plaintext: true }): Promise<RecordStore> {
      const connection = await connect(redis.port)
      connections.push(connection)
      return redisRecords(connection.client, options)
    }

    describe('encrypted', () => {
      itKeepsTheRecordContract(async () => ({
        processes: [await create({ encryption }), await create({ encryption })],
        clock,
      }))
    })

    describe('in clear', () => {
      itKeepsTheRecordContract(async () => ({ processes: [await create(), await create()], clock }))
    })

    it('A1.04 keeps apart what has another prefix, and a record from a token', async () => {
      const [one, other] = [await create({ plaintext: true, prefix: 'one:' }), await create()]
      await one.put('key', 'value', { version: 1, expiresAt: later() })
      expect(await redis.command('KEYS', '*')).toEqual(['one:record:key'])
      expect(await other.get('key')).toBeUndefined()
    })

    it('F6.13 tells lifetimes as lengths of time, whatever this machine takes the time to be', async () => {
      const past = createTestClock(Date.UTC(1999, 0, 1))
      const records = await create({ plaintext: true, clock: past })
      await records.put('key', 'value', { version: 1, expiresAt: past.now() + 60_000 })
      const left = Number(await redis.command('PTTL', KEY))
      expect(left).toBeGreaterThan(50_000)
      expect(left).toBeLessThanOrEqual(60_000)
    })

    it('A6.11 sets an end to every record, at every write, and none to what has none', async () => {
      const records = await create()
      for (const version of [1, 2]) {
        await records.put('key', 'value', { version, expiresAt: later() })
        expect(Number(await redis.command('PTTL', KEY))).toBeGreaterThan(0)
      }
      await records.put('key', 'value', { version: 3, expiresAt: Number.POSITIVE_INFINITY })
      expect(await redis.command('PTTL', KEY)).toBe(-1)
    })

    it('sends one command for each operation', async () => {
      const records = await create()
      await records.put('key', 'value', { version: 1, expiresAt: later() })
      await redis.command('CONFIG', 'RESETSTAT')
      await records.get('key')
      await records.put('key', 'value', { version: 2, expiresAt: later() })
      await records.delete('key')
      const stats = String(await redis.command('INFO', 'commandstats'))
      const calls = [...stats.matchAll(/cmdstat_(?!config|info)(\w+):calls=(\d+)/g)].map(
        ([, name, n]) => `${name} ${n}`,
      )
      // The script itself reads and writes once.
      expect(calls.sort()).toEqual(['del 1', 'eval 1', 'getrange 2', 'set 1'])
    })

    it.each<{ name: string; plant: readonly string[]; reason?: string }>([
      { name: 'a value without a version', plant: ['SET', KEY, '{"refreshToken":"planted"}'] },
      { name: 'random bytes', plant: ['SET', KEY, randomBytes(100).toString('latin1')] },
      { name: 'a version alone', plant: ['SET', KEY, '7.'] },
      {
        name: 'a value too large',
        plant: ['SET', KEY, `1.${'w'.repeat(24)}=${'€'.repeat(87_382)}`],
        reason: 'too_long',
      },
      { name: 'a list', plant: ['RPUSH', KEY, 'a', 'b'] },
      { name: 'a hash', plant: ['HSET', KEY, 'a', 'b'] },
    ])(
      'F6.03 misses and tells of $name, leaves it, and replaces it at the next write',
      async ({ plant, reason = 'malformed' }) => {
        const recorder = createRecorder()
        const records = await create({ plaintext: true, telemetry: recorder })
        await redis.command(...plant)
        expect(await records.get('key')).toBeUndefined()
        expect(recorder.events).toEqual([{ name: 'entry_ignored', reason }])
        expect(await redis.command('DBSIZE')).toBe(1)
        expect(await records.put('key', 'value', { version: 2, expiresAt: later() })).toBe(true)
        expect(await records.get('key')).toBe('value')
      },
    )

    it('F6.03 does not fetch 50 MB to find that they are too many', async () => {
      const records = await create()
      await redis.command('SETRANGE', KEY, '50000000', 'x')
      await redis.command('CONFIG', 'RESETSTAT')
      expect(await records.get('key')).toBeUndefined()
      const sent = /total_net_output_bytes:(\d+)/.exec(String(await redis.command('INFO', 'stats')))
      expect(Number(sent?.[1])).toBeLessThan(400_000)
    })

    it('refuses a record of more bytes than may be, and keeps the one before it', async () => {
      const records = await create({ plaintext: true, maxValueBytes: 30 })
      await records.put('key', '€'.repeat(10), { version: 1, expiresAt: later() })
      const error = await rejection(
        Promise.resolve(records.put('key', `${'€'.repeat(10)}x`, { version: 2, expiresAt: later() })),
      )
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'record_too_long' })
      expect(await records.get('key')).toBe('€'.repeat(10))
    })

    it.each(refusedWrites)(
      'F5.05 F6.07 tells that a write failed when $name, without what was written, and reads go on',
      async (row) => {
        const records = await create()
        await records.put('key', 'value', { version: 1, expiresAt: later() })
        await redis.command(...row.break)
        const writing = Promise.resolve(records.put('a-key', 'a-token', { version: 1, expiresAt: later() }))
        const error = await rejection(writing)
        const found = await records.get('key')
        await redis.command(...row.mend)
        expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
        expect(error.message).toBe(`redis: expected an answer to EVAL, got ${row.word}`)
        expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
        expect(found).toBe('value')
        expect(await records.put('a-key', 'a-token', { version: 1, expiresAt: later() })).toBe(true)
      },
    )

    it('F6.02 waits no longer than the deadline for a server that hangs, and a write that arrives late does no harm', async () => {
      const records = await create({ plaintext: true, deadlineMs: 50 })
      await records.put('key', 'older', { version: 1, expiresAt: later() })
      redis.pause()
      const calls = [
        records.put('key', 'late', { version: 2, expiresAt: later() }),
        records.get('key'),
        records.delete('other'),
      ]
      for (const call of calls) {
        const error = await rejection(Promise.resolve(call))
        expect(error).toMatchObject({ name: 'StoreError', code: 'store_timeout', retryable: true })
        expect(error.message).toBe('redisRecords: expected an answer within 50 ms, got none')
      }
      redis.resume()
      await expect.poll(() => redis.command('GET', KEY)).toMatch(/=late$/)
      const other = await create()
      expect(await other.put('key', 'late too', { version: 2, expiresAt: later() })).toBe(false)
      expect(await other.put('key', 'newer', { version: 3, expiresAt: later() })).toBe(true)
    })

    it('F5.10 refuses a write that was asked for before a newer one, and arrives after it', async () => {
      const gate = new AbortController()
      const slow = await connect(redis.port)
      connections.push(slow)
      const held = redisRecords(delayed(slow.client, gate.signal), { plaintext: true, deadlineMs: 20_000 })
      const records = await create()
      const late = held.put('key', 'of the slow writer', { version: 1, expiresAt: later() })
      await records.put('key', 'once', { version: 2, expiresAt: later() })
      await records.put('key', 'twice', { version: 3, expiresAt: later() })
      gate.abort()
      expect(await late).toBe(false)
      expect(await records.get('key')).toBe('twice')
    })

    it('takes a write that was sent twice, because its answer got lost, for one that has been done', async () => {
      const connection = await connect(redis.port)
      connections.push(connection)
      const twice = redisRecords(sentTwice(connection.client), { plaintext: true })
      expect(await twice.put('key', 'value', { version: 1, expiresAt: later() })).toBe(true)
      expect(await twice.put('key', 'other', { version: 1, expiresAt: later() })).toBe(false)
      expect(await twice.get('key')).toBe('value')
    })

    it('says so when the connection is closed', async () => {
      const records = await create()
      for (const connection of connections.splice(0)) await connection.close()
      const calls = [
        records.get('key'),
        records.put('key', 'value', { version: 1, expiresAt: later() }),
        records.delete('key'),
      ]
      for (const call of calls)
        expect(await rejection(Promise.resolve(call))).toMatchObject({ code: 'store_unavailable' })
    })

    it.each([
      { name: 'warns once of a policy that throws records away', policy: 'allkeys-lru', events: ['records_evictable'] },
      { name: 'warns of one that throws away what has an end', policy: 'volatile-ttl', events: ['records_evictable'] },
      { name: 'does not warn of one that keeps them', policy: 'noeviction', events: [] },
    ])('F6.09 $name', async ({ policy, events }) => {
      await redis.command('CONFIG', 'SET', 'maxmemory-policy', policy)
      const recorder = createRecorder()
      const records = await create({ plaintext: true, telemetry: recorder })
      for (const version of [1, 2, 3]) await records.put('key', 'value', { version, expiresAt: later() })
      // Asked before the first write on the same connection, so answered before it.
      expect(recorder.events.map(({ name }) => name)).toEqual(events)
      const last = recorder.events.at(-1)
      if (last !== undefined) expect(last).toEqual({ name: 'records_evictable', policy })
      await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    })

    it('F6.09 what Redis has thrown away is missing, and nothing else happens', async () => {
      const records = await create({ encryption })
      await records.put('key', 'value', { version: 5, expiresAt: later() })
      await redis.command('DEL', KEY)
      expect(await records.get('key')).toBeUndefined()
      expect(await records.put('key', 'again', { version: 6, expiresAt: later() })).toBe(true)
    })
  })

  it.each<{ name: string; args: readonly unknown[]; code: string; message: string }>([
    { name: 'no client', args: [undefined, { plaintext: true }], code: 'option_invalid', message: 'got undefined' },
    { name: 'no options', args: [client()], code: 'option_invalid', message: 'an object, got undefined' },
    { name: 'neither encryption nor plaintext', args: [client(), {}], code: 'option_invalid', message: 'got neither' },
    { name: 'both', args: [client(), { plaintext: true, encryption }], code: 'option_invalid', message: 'got both' },
    {
      name: 'a key that is too short',
      args: [client(), { encryption: { keys: [{ id: 'a', key: randomBytes(16) }] } }],
      code: 'encryption_key_invalid',
      message: '32 bytes, got 16 bytes',
    },
    {
      name: 'a deadline of nothing',
      args: [client(), { plaintext: true, deadlineMs: 0 }],
      code: 'option_invalid',
      message: 'deadlineMs',
    },
    {
      name: 'a lock',
      args: [client(), { plaintext: true, lock: () => {} }],
      code: 'option_unknown',
      message: '"lock"',
    },
  ])('refuses $name', ({ args, code, message }) => {
    const create = redisRecords as (...args: readonly unknown[]) => RecordStore
    expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
    expect(() => create(...args)).toThrow(message)
  })
})

type Client = Connection['client']

function client(): object {
  return { call: async () => 'OK' }
}

/** The same client, which holds its commands back until the signal aborts. */
function delayed(client: Client, signal: AbortSignal): Client {
  return wrapped(client, async (send) => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    return send()
  })
}

/** The same client, which sends every command a second time, and gives the second answer: as one does that has lost its connection in between. */
function sentTwice(client: Client): Client {
  return wrapped(client, async (send) => {
    await send()
    return send()
  })
}

function wrapped(client: Client, around: (send: () => Promise<unknown>) => Promise<unknown>): Client {
  const name = 'call' in client ? 'call' : 'sendCommand'
  const send = Reflect.get(client, name).bind(client)
  return { [name]: (...args: unknown[]) => around(() => send(...args)) } as unknown as Client
}
