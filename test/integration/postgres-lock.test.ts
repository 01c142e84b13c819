import type { WithLock } from 'evertoken'
import {
  type PostgresClient,
  type PostgresLockOptions,
  type PostgresPool,
  postgresLock,
} from 'evertoken/stores/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { itKeepsTheLeaseContract } from '../support/lease-contract.ts'
import { withLoss } from '../support/lock-holder.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../support/postgres.ts'
import { startToxicProxy, type ToxicProxy } from '../support/toxic-proxy.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

const isMissing = !hasPostgres && process.env.CI === undefined
const title = isMissing ? 'postgresLock (skipped: postgres is not installed, see test/setup.sh)' : 'postgresLock'
/** A connection takes its time on a loaded machine: a process of the server comes with it. */
const [LEASE_MS, DEADLINE_MS] = [2400, 800]
const SHORT = { leaseMs: LEASE_MS, deadlineMs: DEADLINE_MS }

describe.skipIf(isMissing)(title, () => {
  let postgres: PostgresServer
  const pools: pg.Pool[] = []
  const wires: ToxicProxy[] = []
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterEach(async () => {
    for (const wire of wires.splice(0)) await wire.close()
    for (const pool of pools.splice(0)) await pool.end()
  })
  afterAll(() => postgres?.stop())

  function createPool({ port = postgres.port, max = 40 }: { port?: number; max?: number } = {}): pg.Pool {
    const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max })
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }
  // Names that are held take a connection each, and half of the pool at the most.
  const createLock = (options?: PostgresLockOptions): WithLock => postgresLock(createPool(), options)
  async function createWire(): Promise<ToxicProxy> {
    const wire = await startToxicProxy(postgres.port)
    wires.push(wire)
    return wire
  }
  /** What the server says of everybody who holds a lock. */
  async function holders(): Promise<readonly Record<string, unknown>[]> {
    const seen = await createPool().query(
      `SELECT a.pid, a.state, a.query, a.backend_xid, a.backend_xmin FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE l.locktype = 'advisory' AND l.granted`,
    )
    return seen.rows
  }
  /** Ends their connections, as an administrator or a failover does. */
  async function endHolders(): Promise<void> {
    for (const { pid } of await holders()) await createPool().query('SELECT pg_terminate_backend($1)', [pid])
  }

  itKeepsTheLockContract(() => ({ locks: [createLock(), createLock()] }))

  itKeepsTheLeaseContract(
    () => ({ createLock, place: { kind: 'postgres', place: postgres.port }, loseLocks: endHolders }),
    SHORT,
  )

  it('F7.08 knows a name by a hash, in a transaction that holds up no vacuum', async () => {
    const seen = await createLock()('tenant|user@example', holders)
    expect(seen).toEqual([
      expect.objectContaining({ state: 'idle in transaction', backend_xid: null, backend_xmin: null }),
    ])
    expect(JSON.stringify(seen)).not.toContain('user@example')
    expect(await holders()).toEqual([])
  })

  it('F7.08 keeps applications with prefixes of their own apart', async () => {
    const [one, other] = [createLock({ prefix: 'one:' }), createLock({ prefix: 'other:' })]
    expect(await one('name', () => other('name', async () => 'meanwhile'))).toBe('meanwhile')
  })

  it('F7.03 tells at once, and once, of a connection that has ended; the task goes on', async () => {
    const lock = createLock({ leaseMs: 3_600_000 })
    const task = async (lost: Promise<void>): Promise<string> => {
      await endHolders()
      await lost
      return 'finished'
    }
    expect(await withLoss(lock, task)).toEqual({ result: 'finished', losses: 1 })
    expect(await lock('name', async () => 'again')).toBe('again')
  })

  it('C6 goes to the next one when its holder is cut off, and tells that one', async () => {
    const wire = await createWire()
    const cutOff = postgresLock(createPool({ port: wire.port }), SHORT)
    const next = createLock(SHORT)
    const task = async (lost: Promise<void>): Promise<string> => {
      wire.spoil({ kind: 'black_hole' })
      // It waits for a second longer than the lease, and no longer.
      const turn = await next('name', async () => 'next')
      await lost
      return turn
    }
    expect(await withLoss(cutOff, task)).toEqual({ result: 'next', losses: 1 })
  })

  it('F7.05 says within its deadline that nothing answers, to all who wait at once, and works when it does', async () => {
    const wire = await createWire()
    const pool = createPool({ port: wire.port, max: 4 })
    const lock = postgresLock(pool, SHORT)
    await lock('name', async () => 'warm')
    wire.spoil({ kind: 'black_hole' })
    const startedAt = performance.now()
    const errors = await Promise.all(Array.from({ length: 100 }, () => rejection(lock('name', async () => 'taken'))))
    expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS * 3)
    for (const error of errors) expect(error).toMatchObject({ name: 'StoreError', code: 'lock_unavailable' })
    // The connection that did not answer is not given to anybody else.
    expect(pool.totalCount).toBe(0)
    wire.spoil(undefined)
    const again = (): Promise<string> => lock('name', async () => 'again').catch((error) => error.code)
    await expect.poll(again, { timeout: 10_000 }).toBe('again')
  })

  it('F7.05 gives the result of a task although the server is gone by then, and works again when it is back', async () => {
    const lock = createLock()
    expect(await lock('name', () => postgres.kill().then(() => 'result'))).toBe('result')
    const error = await rejection(lock('name', async () => 'taken'))
    expect(error).toMatchObject({
      code: 'lock_unavailable',
      cause: { message: expect.stringContaining('ECONNREFUSED') },
    })
    await postgres.start()
    const again = (): Promise<string> => lock('name', async () => 'again').catch((failed) => failed.code)
    await expect.poll(again, { timeout: 10_000 }).toBe('again')
  })

  it('F7.05 waits no longer than its deadline for a pool whose connections are all in use', async () => {
    const pool = createPool({ max: 2 })
    const lock = postgresLock(pool, SHORT)
    const inUse = [await pool.connect(), await pool.connect()]
    expect(await rejection(lock('name', async () => 'taken'))).toMatchObject({ code: 'lock_unavailable' })
    for (const client of inUse) client.release()
    const again = (): Promise<string> => lock('name', async () => 'again').catch((error) => error.code)
    await expect.poll(again, { timeout: 10_000 }).toBe('again')
    expect(pool).toMatchObject({ totalCount: 2, idleCount: 2, waitingCount: 0 })
  })

  it('leaves half of a pool to the tasks that hold its locks, all locks of it together', async () => {
    const pool = createPool({ max: 3 })
    const [one, other] = [postgresLock(pool), postgresLock(pool, SHORT)]
    const seen = await one('a', async () => {
      const refused = await rejection(other('b', async () => 'taken'))
      return { refused, rows: (await Promise.all([pool.query('SELECT 1'), pool.query('SELECT 1')])).length }
    })
    expect(seen).toMatchObject({ refused: { code: 'lock_unavailable' }, rows: 2 })
    expect(seen.refused.message).toBe(
      `lock: expected room to ask PostgreSQL within ${DEADLINE_MS} ms, got as many locks at a time as may be`,
    )
    expect(await other('b', async () => 'free')).toBe('free')
  })

  it('F7.05 lets 50 tasks of other names wait for room in its pool no longer than its deadline, and holds that against nobody', async () => {
    const pool = createPool({ max: 4 })
    // So long it would wait for a lock that somebody holds.
    const lock = postgresLock(pool, { ...SHORT, waitMs: 600_000 })
    const [leaving, reason] = [new AbortController(), new Error('gone')]
    const task = async (): Promise<string> => 'had a turn'
    const seen = await lock('a', () =>
      lock('b', async () => {
        const crowd = Array.from({ length: 50 }, (_, at) => rejection(lock(`name ${at}`, task)))
        const gone = rejection(lock('c', task, { signal: leaving.signal }))
        leaving.abort(reason)
        expect(await gone).toBe(reason)
        return Promise.all(crowd)
      }),
    )
    expect(new Set(seen.map(({ code }) => code))).toEqual(new Set(['lock_unavailable']))
    // At once, and each in turn: the server was not found to be down.
    const names = Array.from({ length: 20 }, (_, at) => `name ${at}`)
    const turns = await Promise.all(names.map((name) => lock(name, task)))
    expect(new Set(turns)).toEqual(new Set(['had a turn']))
    expect(pool).toMatchObject({ waitingCount: 0 })
    expect(pool.totalCount).toBeLessThanOrEqual(2)
  })

  it('keeps no connection for whoever waits, and none for whoever has gone', async () => {
    const [holder, pool, controller] = [createLock(), createPool(), new AbortController()]
    const lock = postgresLock(pool)
    await holder('name', async () => {
      let asked = 0
      const meanwhile = async (): Promise<undefined> => {
        asked++
        expect(pool).toMatchObject({ totalCount: 1, idleCount: 1 })
        if (asked === 4) controller.abort(new Error('gone'))
      }
      const reason = await rejection(lock('name', async () => 'taken', { signal: controller.signal, meanwhile }))
      expect(reason.message).toBe('gone')
    })
    expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 })
  })

  it('F7.06 lets 1,000 tasks of one process, and 20 processes, wait with at most 20 commands a second each', async () => {
    const sent: number[] = []
    const counted = (at: number): WithLock => {
      sent[at] = 0
      const onCommand = (): void => {
        sent[at] = (sent[at] ?? 0) + 1
      }
      return postgresLock(counting(createPool({ max: 2 }), onCommand), { waitMs: 60_000 })
    }
    const waiters = Array.from({ length: 20 }, (_, at) => counted(at))
    let waiting: Promise<string>[] = []
    const seconds = await createLock()('name', async () => {
      const startedAt = performance.now()
      const inOne = Array.from({ length: 1000 }, () => waiters[0] as WithLock)
      waiting = [...inOne, ...waiters.slice(1)].map((lock) => lock('name', async () => 'had a turn'))
      await expect.poll(() => Math.min(...sent), { interval: 20, timeout: 20_000 }).toBeGreaterThanOrEqual(16)
      return (performance.now() - startedAt) / 1000
    })
    // The first look is at once.
    const most = 2 + seconds * 20
    expect(sent.filter((commands) => commands > most)).toEqual([])
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['had a turn']))
  })

  it.each<{ name: string; pool: unknown; message: string }>([
    { name: 'a client', pool: { query: async () => ({}) }, message: 'a pool of the package pg' },
    { name: 'nothing', pool: undefined, message: 'a pool of the package pg' },
    { name: 'a pool of one connection', pool: { connect: async () => ({}), options: { max: 1 } }, message: 'max' },
  ])('refuses $name in place of a pool', ({ pool, message }) => {
    expect(() => postgresLock(pool as PostgresPool)).toThrow(message)
  })

  it('refuses a prefix that is none', () => {
    const prefix: string = JSON.parse('7')
    expect(() => postgresLock(createPool(), { prefix })).toThrow(/prefix/)
  })
})

/** A pool that tells of every command. */
function counting(pool: pg.Pool, onCommand: () => void): PostgresPool {
  return {
    options: pool.options,
    async connect(): Promise<PostgresClient> {
      const client = await pool.connect()
      return {
        query(text) {
          onCommand()
          return client.query(text)
        },
        on: (event, listener) => client.on(event, listener),
        removeListener: (event, listener) => client.removeListener(event, listener),
        release: (error) => client.release(error),
      }
    },
  }
}
