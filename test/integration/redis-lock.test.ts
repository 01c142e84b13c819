import type { WithLock } from 'evertoken'
import { type RedisLockOptions, redisLock } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { itKeepsTheLeaseContract, LEASE_MS } from '../support/lease-contract.ts'
import { withLoss } from '../support/lock-holder.ts'
import {
  type Connection,
  clientLibraries,
  hasRedis,
  heldLocks,
  type RedisServer,
  startRedis,
} from '../support/redis.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = isMissing ? 'redisLock (skipped: redis-server is not installed, see test/setup.sh)' : 'redisLock'

const DEADLINE_MS = 250

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
    async function createLock(options?: RedisLockOptions): Promise<WithLock> {
      const connection = await connect(redis.port)
      connections.push(connection)
      return redisLock(connection.client, options)
    }

    itKeepsTheLockContract(async () => ({ locks: [await createLock(), await createLock()] }))

    itKeepsTheLeaseContract(() => ({
      createLock,
      place: { kind: 'redis', place: redis.port },
      loseLocks: async () => void (await redis.command('FLUSHALL')),
    }))

    it('F7.08 names its key by a hash, apart from the keys of data, and leaves no more than a mark until the lease would be over', async () => {
      const lock = await createLock({ prefix: 'app:' })
      const keys = await lock('tenant|user@example', () => redis.command('KEYS', '*'))
      expect(keys).toEqual([expect.stringMatching(/^app:lock:[\w-]{43}$/)])
      expect(await redis.command('GET', String(keys))).toBe('')
      expect(await redis.command('PTTL', String(keys))).toBeGreaterThan(4000)
      expect(await redis.command('PTTL', String(keys))).toBeLessThanOrEqual(5000)
    })

    it('knows in Redis whether somebody had a turn before', async () => {
      const [one, other] = [await createLock(), await createLock()]
      const turn = async (lock: WithLock): Promise<unknown> => lock('name', async (given) => given?.isFirst)
      expect(await turn(one)).toBe(true)
      expect(await turn(other)).toBe(false)
      await redis.command('FLUSHALL')
      expect(await turn(other)).toBe(true)
    })

    it('lets a waiter go with what it has found meanwhile, without a command more', async () => {
      const [holder, waiter] = [await createLock(), await createLock()]
      const asked = await holder('name', async () => {
        await redis.command('CONFIG', 'RESETSTAT')
        let times = 0
        const meanwhile = async (): Promise<string | undefined> => (++times === 3 ? 'found' : undefined)
        return { found: await waiter('name', async () => 'had a turn', { meanwhile }), times }
      })
      expect(asked).toEqual({ found: 'found', times: 3 })
      // The waiter looked at the lock once; the other command is that of the holder, who gave it back.
      expect(await calls(redis, 'eval')).toBe(2)
      expect(await heldLocks(redis)).toBe(0)
    })

    it('F7.05 says within its deadline that Redis does not answer, to all who wait at once', async () => {
      const lock = await createLock()
      redis.pause()
      const startedAt = performance.now()
      const waiters = Array.from({ length: 100 }, () => rejection(lock('name', async () => 'taken')))
      const errors = await Promise.all(waiters)
      expect(performance.now() - startedAt).toBeLessThan(DEADLINE_MS * 3)
      for (const error of errors) expect(error).toMatchObject({ name: 'StoreError', code: 'lock_unavailable' })
      expect(new Set(errors).size).toBe(100)
      // What is known to be down is not waited for again.
      const next = performance.now()
      await rejection(lock('another name', async () => 'taken'))
      expect(performance.now() - next).toBeLessThan(DEADLINE_MS)
    })

    it('F7.05 gives back a lock that Redis hands out too late', async () => {
      const lock = await createLock()
      redis.pause()
      await rejection(lock('name', async () => 'taken'))
      redis.resume()
      await expect.poll(() => calls(redis, 'eval'), { timeout: 5000 }).toBeGreaterThanOrEqual(2)
      await expect.poll(() => heldLocks(redis), { timeout: 5000 }).toBe(0)
    })

    it('F7.05 gives the result of a task although Redis is gone by then, and works again when it is back', async () => {
      const lock = await createLock()
      expect(await lock('name', () => redis.kill().then(() => 'result'))).toBe('result')
      expect(await rejection(lock('name', async () => 'taken'))).toMatchObject({ code: 'lock_unavailable' })
      await redis.start()
      const again = (): Promise<string> => lock('name', async () => 'again').catch((error) => error.code)
      await expect.poll(again, { timeout: 10_000 }).toBe('again')
    })

    it('F7.05 tells of a lease that ran out because Redis did not answer', async () => {
      const lock = await createLock({ leaseMs: LEASE_MS })
      const task = async (lost: Promise<void>): Promise<string> => {
        redis.pause()
        await lost
        return 'finished'
      }
      expect(await withLoss(lock, task)).toEqual({ result: 'finished', losses: 1 })
    })

    it('F7.06 lets 1,000 tasks of one process wait with one look at a time', async () => {
      const [holder, lock] = [await createLock(), await createLock({ waitMs: 60_000 })]
      let waiting: Promise<string>[] = []
      const watched = await holder('name', async () => {
        waiting = Array.from({ length: 1000 }, () => lock('name', async () => 'had a turn'))
        return looks(redis, 8)
      })
      // One waiter looks: a first look at once, then 20 a second at most.
      expect(watched.count).toBeLessThanOrEqual(1 + watched.seconds * 20)
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['had a turn']))
    })

    it('F7.06 lets 40 processes wait with at most 20 commands a second each', async () => {
      const holder = await createLock()
      const waiters = await Promise.all(Array.from({ length: 40 }, () => createLock()))
      const leaving = waiters.map(() => new AbortController())
      let waiting: Promise<Error>[] = []
      const watched = await holder('name', async () => {
        waiting = waiters.map((lock, at) => rejection(lock('name', async () => {}, { signal: leaving[at]?.signal })))
        return looks(redis, 40 * 8)
      })
      for (const controller of leaving) controller.abort(new Error('enough'))
      await Promise.all(waiting)
      expect(watched.count).toBeLessThanOrEqual(40 * (1 + watched.seconds * 20))
    })
  })

  it('refuses a prefix that is none', () => {
    const prefix: string = JSON.parse('7')
    expect(() => redisLock({ call: async () => 1 }, { prefix })).toThrow(/prefix/)
  })
})

async function calls(redis: RedisServer, command: string): Promise<number> {
  const stats = String(await redis.command('INFO', 'commandstats'))
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

/** Waits for so many looks at a lock, and tells how many there were in what time. */
async function looks(
  redis: RedisServer,
  atLeast: number,
): Promise<{ readonly count: number; readonly seconds: number }> {
  await redis.command('CONFIG', 'RESETSTAT')
  const startedAt = performance.now()
  await expect.poll(() => calls(redis, 'eval'), { interval: 20, timeout: 20_000 }).toBeGreaterThanOrEqual(atLeast)
  const count = await calls(redis, 'eval')
  return { count, seconds: (performance.now() - startedAt) / 1000 }
}
