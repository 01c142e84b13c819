import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import type { RecordStore } from 'evertoken'
import { createRecordsTable, type PostgresRecordsOptions, postgresRecords } from 'evertoken/stores/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRecorder, rejection } from '../support/fixtures.ts'
import { root } from '../support/manifest.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../support/postgres.ts'
import { itKeepsTheRecordContract } from '../support/record-store-contract.ts'
import { createTestClock } from '../support/test-clock.ts'
import { startToxicProxy } from '../support/toxic-proxy.ts'

const isMissing = !hasPostgres && process.env.CI === undefined
const title = isMissing ? 'postgresRecords (skipped: postgres is not installed, see test/setup.sh)' : 'postgresRecords'
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const clock = { now: () => Date.now() }

describe.skipIf(isMissing)(title, () => {
  let server: PostgresServer
  let owner: pg.Pool
  const pools: pg.Pool[] = []
  beforeAll(async () => {
    server = await startPostgres()
    owner = new pg.Pool({ connectionString: server.url })
    owner.on('error', () => {})
    // Twice, as a migration may.
    for (const table of [undefined, undefined, 'other.records']) {
      if (table !== undefined) await owner.query('CREATE SCHEMA other')
      await owner.query(createRecordsTable(table))
    }
  })
  beforeEach(() => owner.query('TRUNCATE evertoken_records'))
  afterEach(async () => {
    for (const pool of pools.splice(0)) await pool.end()
  })
  afterAll(async () => {
    await owner?.end()
    await server?.stop()
  })
  const later = (): number => Date.now() + 60_000

  function openPool(options: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ connectionString: server.url, ...options })
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }
  function create(options: PostgresRecordsOptions = { plaintext: true }): RecordStore {
    return postgresRecords(openPool(), options)
  }
  async function rows(): Promise<readonly Record<string, unknown>[]> {
    return (await owner.query('SELECT * FROM evertoken_records')).rows
  }

  describe('encrypted', () => {
    itKeepsTheRecordContract(() => ({ processes: [create({ encryption }), create({ encryption })], clock }))
  })

  describe('in clear', () => {
    itKeepsTheRecordContract(() => ({ processes: [create(), create()], clock }))
  })

  it('A1.04 keeps apart what has another prefix or another table', async () => {
    const expiresAt = later()
    const one = create({ plaintext: true, prefix: 'one:' })
    await one.put('key', 'value', { version: 1, expiresAt })
    expect(await create().get('key')).toBeUndefined()
    expect(await create({ plaintext: true, prefix: 'one:', table: 'other.records' }).get('key')).toBeUndefined()
    const other = create({ plaintext: true, table: 'other.records' })
    await other.put('key', 'elsewhere', { version: 1, expiresAt })
    expect([await one.get('key'), await other.get('key')]).toEqual(['value', 'elsewhere'])
  })

  it('A6.11 shows neither key nor value of a record to who reads the table', async () => {
    await create({ encryption }).put('a-session', 'a-token', { version: 7, expiresAt: later() })
    const [row] = await rows()
    expect(row).toMatchObject({ key: expect.stringMatching(/^evertoken:record:[\w-]{43}$/), version: '7' })
    expect(inspect(row)).not.toContain('a-session')
    expect(String(row?.value)).toMatch(/^r1\.2026-01\./)
  })

  it('F6.13 reckons by the clock of the server, whatever this machine takes the time to be', async () => {
    const past = createTestClock(Date.UTC(1999, 0, 1))
    await create({ plaintext: true, clock: past }).put('key', 'value', { version: 1, expiresAt: past.now() + 60_000 })
    const { rows: found } = await owner.query(
      'SELECT extract(epoch FROM expires_at - now()) AS seconds FROM evertoken_records',
    )
    expect(Number(found[0].seconds)).toBeGreaterThan(50)
    expect(Number(found[0].seconds)).toBeLessThanOrEqual(60)
    expect(await create().get('key')).toBe('value')
  })

  it('U6 says that it has written, whatever the application has its integers made of', async () => {
    const types = { getTypeParser: (oid: number) => (oid === 23 ? BigInt : pg.types.getTypeParser(oid)) } as never
    const records = postgresRecords(openPool({ types }), { plaintext: true })
    expect(await records.put('key', 'value', { version: 1, expiresAt: later() })).toBe(true)
    expect(await records.put('key', 'value', { version: 1, expiresAt: later() })).toBe(false)
  })

  it('U6 compares where transactions are "repeatable read" by default, too', async () => {
    const pool = openPool({ options: '-c default_transaction_isolation=repeatable\\ read' })
    const processes = Array.from({ length: 4 }, () => postgresRecords(pool, { plaintext: true }))
    for (let round = 0; round < 50; round++) {
      const written = await Promise.all(
        processes.map((records, at) =>
          records.put('key', `${round}-${at}`, { version: round * 4 + at, expiresAt: later() }),
        ),
      )
      expect(written[3]).toBe(true)
      expect(await processes[0]?.get('key')).toBe(`${round}-3`)
    }
  })

  it('has an index by expiry for each table, also where their names begin alike', async () => {
    const tables = [1, 2].map((n) => `sessions_of_the_customer_portal_of_the_northern_area_${n}`)
    for (const table of tables) await owner.query(createRecordsTable(table))
    const { rows: found } = await owner.query(
      "SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%(expires_at)%' AND tablename LIKE 'sessions%'",
    )
    expect(found.map(({ tablename }) => tablename).sort()).toEqual(tables)
  })

  it('deletes what has expired, a thousand rows with every hundredth write, and nothing else', async () => {
    await owner.query(
      "INSERT INTO evertoken_records SELECT 'old-' || n, 1, '', now() - interval '1 second' FROM generate_series(1, 1500) n",
    )
    const records = create()
    const writeHundred = async (from: number): Promise<void> => {
      const keys = Array.from({ length: 100 }, (_, at) => `key-${from + at}`)
      await Promise.all(keys.map((key) => records.put(key, 'value', { version: 1, expiresAt: later() })))
    }
    await writeHundred(0)
    await expect.poll(async () => (await rows()).length, { timeout: 10_000 }).toBe(600)
    await writeHundred(100)
    await expect.poll(async () => (await rows()).length, { timeout: 10_000 }).toBe(200)
  })

  it('F6.03 misses and tells of a value too large, which stays on the server, and replaces it', async () => {
    const recorder = createRecorder()
    await create().put('key', 'v'.repeat(1000), { version: 1, expiresAt: later() })
    const records = create({ plaintext: true, maxValueBytes: 999, telemetry: recorder })
    expect(await records.get('key')).toBeUndefined()
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'too_long' }])
    const error = await rejection(
      Promise.resolve(records.put('key', 'v'.repeat(1000), { version: 2, expiresAt: later() })),
    )
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'record_too_long' })
    expect(await records.put('key', 'value', { version: 2, expiresAt: later() })).toBe(true)
    expect(await records.get('key')).toBe('value')
  })

  it.each<{ name: string; break: string; mend: string; word: string }>([
    {
      name: 'the server takes no writes, as a standby',
      break: 'ALTER DATABASE postgres SET default_transaction_read_only = on',
      mend: 'SET default_transaction_read_only = off; ALTER DATABASE postgres RESET default_transaction_read_only',
      word: '25006',
    },
    {
      name: 'there is no table',
      break: 'ALTER TABLE evertoken_records RENAME TO gone',
      mend: 'ALTER TABLE gone RENAME TO evertoken_records',
      word: '42P01',
    },
  ])(
    'F5.05 F6.07 tells that a write failed when $name, without what was written, and works again after it',
    async (row) => {
      await owner.query(row.break)
      const records = create()
      const error = await rejection(
        Promise.resolve(records.put('a-key', 'a-token', { version: 1, expiresAt: later() })),
      )
      await owner.query(row.mend)
      expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
      expect(error.message).toBe(`postgres: expected an answer to INSERT, got ${row.word}`)
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
      expect(await records.put('a-key', 'a-token', { version: 1, expiresAt: later() })).toBe(true)
    },
  )

  it('F6.07 reads go on where writes fail', async () => {
    const records = create()
    await records.put('key', 'value', { version: 1, expiresAt: later() })
    await owner.query('ALTER DATABASE postgres SET default_transaction_read_only = on')
    const standby = create()
    const found = await standby.get('key')
    await owner.query(
      'SET default_transaction_read_only = off; ALTER DATABASE postgres RESET default_transaction_read_only',
    )
    expect(found).toBe('value')
  })

  it('F6.01 says so when the server is down, and works again when it is up', async () => {
    const records = create()
    await records.put('key', 'value', { version: 1, expiresAt: later() })
    await server.kill()
    const calls = [
      () => records.get('key'),
      () => records.put('a-key', 'a-token', { version: 2, expiresAt: later() }),
      () => records.delete('a-key'),
    ]
    const errors = await Promise.all(calls.map((call) => rejection(Promise.resolve(call()))))
    await server.start()
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable' })
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
    }
    const works = async (): Promise<unknown> => records.get('key')
    await expect.poll(() => works().catch(() => undefined), { timeout: 10_000 }).toBe('value')
  })

  it('F6.02 waits no longer than the deadline for a server that hangs, and ends the connection', async () => {
    const proxy = await startToxicProxy(server.port)
    const pool = openPool({ connectionString: `postgres://postgres@127.0.0.1:${proxy.port}/postgres`, max: 2 })
    const records = postgresRecords(pool, { plaintext: true, deadlineMs: 100 })
    await expect.poll(() => Promise.resolve(records.get('key')).catch(() => 'late')).toBeUndefined()
    proxy.spoil({ kind: 'black_hole' })
    for (const call of [() => records.get('key'), () => records.delete('key'), () => records.get('key')]) {
      const error = await rejection(Promise.resolve(call()))
      expect(error).toMatchObject({ name: 'StoreError', code: 'store_timeout', retryable: true })
      expect(error.message).toBe('postgresRecords: expected an answer within 100 ms, got none')
    }
    proxy.spoil(undefined)
    // Two connections gave no answer: a pool that had them back would have none left.
    await expect.poll(() => Promise.resolve(records.get('key')).catch(() => 'late')).toBeUndefined()
    await proxy.close()
  })

  it('F5.10 refuses a write that the network has held back while newer ones were made', async () => {
    const proxy = await startToxicProxy(server.port)
    const slow = postgresRecords(
      openPool({ connectionString: `postgres://postgres@127.0.0.1:${proxy.port}/postgres` }),
      { plaintext: true, deadlineMs: 20_000 },
    )
    const records = create()
    await slow.get('key')
    proxy.spoil({ kind: 'black_hole' })
    const late = slow.put('key', 'of the slow writer', { version: 1, expiresAt: later() })
    await records.put('key', 'once', { version: 2, expiresAt: later() })
    await records.put('key', 'twice', { version: 3, expiresAt: later() })
    proxy.spoil(undefined)
    expect(await late).toBe(false)
    expect(await records.get('key')).toBe('twice')
    await proxy.close()
  })

  it('F5.10 refuses a write that has waited for the row while a newer one was made', async () => {
    const records = create({ plaintext: true, deadlineMs: 20_000 })
    await records.put('key', 'older', { version: 1, expiresAt: later() })
    const other = await owner.connect()
    await other.query('BEGIN')
    await other.query('UPDATE evertoken_records SET version = 3')
    const late = records.put('key', 'late', { version: 2, expiresAt: later() })
    const waits =
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT%'"
    await expect.poll(async () => (await owner.query(waits)).rows[0].n).toBe(1)
    await other.query('COMMIT')
    other.release()
    expect(await late).toBe(false)
    expect(await records.get('key')).toBe('older')
  })

  it('does with one connection, and with those that locks leave to it', async () => {
    const records = postgresRecords(openPool({ max: 1 }), { plaintext: true })
    const writes = Array.from({ length: 20 }, (_, at) =>
      records.put(`key-${at}`, 'value', { version: 1, expiresAt: later() }),
    )
    expect(await Promise.all(writes)).toEqual(Array(20).fill(true))
  })

  it('holds nothing of the pool between calls', async () => {
    const pool = openPool()
    const records = postgresRecords(pool, { plaintext: true })
    await Promise.all(Array.from({ length: 30 }, (_, at) => records.get(`key-${at}`)))
    expect(pool.idleCount).toBe(pool.totalCount)
    expect(pool.waitingCount).toBe(0)
  })
})

describe('what PostgreSQL is told', () => {
  const pool = { connect: async () => {} }
  it.each<{ name: string; args: readonly unknown[]; code: string; message: string }>([
    { name: 'no pool', args: [undefined, { plaintext: true }], code: 'option_invalid', message: 'got undefined' },
    {
      name: 'an object that is no pool',
      args: [{}, { plaintext: true }],
      code: 'option_invalid',
      message: 'got an object',
    },
    { name: 'neither encryption nor plaintext', args: [pool, {}], code: 'option_invalid', message: 'got neither' },
    {
      name: 'an option that does not exist',
      args: [pool, { plaintext: true, tabel: 'x' }],
      code: 'option_unknown',
      message: '"tabel"',
    },
    ...['', 'a b', 'a"; DROP TABLE users; --', 'a.b.c', '1a', 'a.', 'ä'].map((table) => ({
      name: `the table ${JSON.stringify(table)}`,
      args: [pool, { plaintext: true, table }],
      code: 'option_invalid',
      message: 'table to be a name of letters, digits and "_"',
    })),
  ])('refuses $name', ({ args, code, message }) => {
    const create = postgresRecords as (...args: readonly unknown[]) => RecordStore
    expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
    expect(() => create(...args)).toThrow(message)
  })

  it('makes the table that docs/how-to/session-stores.md shows', async () => {
    expect(await readFile(`${root}docs/how-to/session-stores.md`, 'utf8')).toContain(createRecordsTable())
  })

  it('refuses a name that is none for the statement, too', () => {
    expect(() => createRecordsTable('a b')).toThrow(expect.objectContaining({ code: 'option_invalid' }))
  })
})
