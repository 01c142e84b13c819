import { randomBytes } from 'node:crypto'
import type { RecordStore } from 'evertoken'
import { createRecordsTable, postgresRecords } from 'evertoken/stores/postgres'
import { redisRecords } from 'evertoken/stores/redis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../support/postgres.ts'
import {
  type Connection,
  clientLibraries,
  hasRedis,
  type RedisServer,
  refusedWrites,
  startRedis,
} from '../support/redis.ts'
import { startToxicProxy } from '../support/toxic-proxy.ts'
import { createUserFleet, rotate, type UserFleet, type UserProcess } from '../support/user-processes.ts'

const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const isLocal = process.env.CI === undefined

const fleets: UserFleet[] = []
afterEach(async () => {
  await Promise.all(fleets.splice(0).map((fleet) => fleet.close()))
})

function fleetOf(server: HostileServer): (records: RecordStore) => UserProcess {
  const fleet = createUserFleet(server)
  fleets.push(fleet)
  return (records) => fleet.start(records)
}

function namesOf({ recorder }: UserProcess): readonly string[] {
  return recorder.events.map(({ name }) => name)
}

describe.skipIf(!hasRedis && isLocal)('users whose tokens are kept in a Redis with troubles', () => {
  let redis: RedisServer
  const connections: Connection[] = []
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close()
    await redis.command('FLUSHALL')
  })
  afterAll(() => redis?.stop())

  async function open(port = redis.port, deadlineMs = 500): Promise<RecordStore> {
    const [ioredis] = clientLibraries
    if (ioredis === undefined) throw new Error('expected a client library, got none')
    const connection = await ioredis.connect(port)
    connections.push(connection)
    return redisRecords(connection.client, { encryption, deadlineMs })
  }
  async function onlyText(): Promise<string> {
    const [key, ...others] = (await redis.command('KEYS', '*')) as string[]
    expect(others).toEqual([])
    return String(await redis.command('GET', key ?? ''))
  }

  test.for(refusedWrites)(
    'F5.05 F6.07 are served after a refresh when $name, and the refresh token is kept as soon as it can be',
    async (row, { server }) => {
      const rotating = rotate(server)
      const startProcess = fleetOf(server)
      const process = startProcess(await open())
      await process.tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
      const before = await onlyText()
      await redis.command(...row.break)
      expect(await process.token('alice', true)).toBe('access-alice-1')
      expect(namesOf(process)).toContain('session_persist_failed')
      expect(await onlyText()).toBe(before)
      expect(await process.token('alice')).toBe('access-alice-1')
      await redis.command(...row.mend)
      await expect.poll(onlyText, { timeout: 10_000 }).not.toBe(before)
      expect(await startProcess(await open()).token('alice', true)).toBe('access-alice-2')
      expect(rotating.reuses).toBe(0)
    },
  )

  test('F5.10 keep the newest tokens when the writes of a process reach Redis after those of others', async ({
    server,
  }) => {
    const rotating = rotate(server)
    const startProcess = fleetOf(server)
    const proxy = await startToxicProxy(redis.port)
    const slow = startProcess(await open(proxy.port, 100))
    const other = startProcess(await open())
    await slow.tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    // The network fails between the answer of the server and the write.
    server.answer = (request) => {
      proxy.spoil({ kind: 'black_hole' })
      return rotating.answer(request)
    }
    expect(await slow.token('alice', true)).toBe('access-alice-1')
    expect(namesOf(slow)).toContain('session_persist_failed')
    server.answer = rotating.answer
    // The first of these is what the slow one has got, which is newer than what this one had.
    for (const n of [1, 2, 3]) expect(await other.token('alice', true)).toBe(`access-alice-${n}`)
    const newest = await onlyText()
    const writes = await writesOf(redis)
    proxy.spoil(undefined)
    // What was sent last is answered last: by then all that was held back has arrived.
    expect(await pinged(connections[0])).toBe('PONG')
    expect(await writesOf(redis)).toBeGreaterThanOrEqual(writes + 5)
    expect(await onlyText()).toBe(newest)
    expect(await startProcess(await open()).token('alice', true)).toBe('access-alice-4')
    expect(rotating.reuses).toBe(0)
    await proxy.close()
  })

  test('F6.02 are told of a Redis that hangs with an error that may pass, and are still signed in after it', async ({
    server,
  }) => {
    const rotating = rotate(server)
    const startProcess = fleetOf(server)
    await startProcess(await open())
      .tokens.forSubject('web', 'alice')
      .adopt(rotating.login('alice'))
    const records = await open(redis.port, 100)
    redis.pause()
    const error = await rejection(startProcess(records).token('alice'))
    redis.resume()
    expect(error).toMatchObject({ name: 'StoreError', code: 'store_timeout', retryable: true })
    expect(await startProcess(await open()).token('alice')).toBe('access-alice-0')
  })

  test('F6.09 have to sign in again when Redis has thrown their record away', async ({ server }) => {
    const rotating = rotate(server)
    const startProcess = fleetOf(server)
    const process = startProcess(await open())
    const alice = process.tokens.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await redis.command('FLUSHALL')
    const error = await rejection(startProcess(await open()).token('alice'))
    expect(error).toMatchObject({ name: 'SessionError', reason: 'no_session' })
    await alice.adopt(rotating.login('alice'))
    expect(await startProcess(await open()).token('alice')).toBe('access-alice-0')
  })
})

/** How many writes have come in, whatever became of them. */
async function writesOf(redis: RedisServer): Promise<number> {
  const stats = String(await redis.command('INFO', 'commandstats'))
  return Number(/cmdstat_eval:calls=(\d+)/.exec(stats)?.[1])
}

async function pinged(connection: Connection | undefined): Promise<unknown> {
  const client: object = connection?.client ?? {}
  return 'call' in client && typeof client.call === 'function' ? client.call('PING') : undefined
}

describe.skipIf(!hasPostgres && isLocal)('users whose tokens are kept in a PostgreSQL with troubles', () => {
  let postgres: PostgresServer
  let owner: pg.Pool
  const pools: pg.Pool[] = []
  beforeAll(async () => {
    postgres = await startPostgres()
    owner = openPool()
    await owner.query(createRecordsTable())
  })
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()))
    await postgres?.stop()
  })
  function openPool(): pg.Pool {
    const pool = new pg.Pool({ connectionString: postgres.url })
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }

  test('F5.05 F6.07 are served when it takes no writes after a refresh, and the refresh token is kept as soon as it can be', async ({
    server,
  }) => {
    const rotating = rotate(server)
    const startProcess = fleetOf(server)
    const process = startProcess(postgresRecords(openPool(), { encryption }))
    await process.tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const version = async (): Promise<unknown> =>
      (await owner.query('SELECT version FROM evertoken_records')).rows[0].version
    const before = await version()
    await owner.query('ALTER TABLE evertoken_records ADD CONSTRAINT closed CHECK (false) NOT VALID')
    expect(await process.token('alice', true)).toBe('access-alice-1')
    expect(namesOf(process)).toContain('session_persist_failed')
    expect(await version()).toBe(before)
    await owner.query('ALTER TABLE evertoken_records DROP CONSTRAINT closed')
    await expect.poll(version, { timeout: 10_000 }).not.toBe(before)
    expect(await startProcess(postgresRecords(openPool(), { encryption })).token('alice', true)).toBe('access-alice-2')
    expect(rotating.reuses).toBe(0)
  })
})
