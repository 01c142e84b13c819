import type { WithLock } from 'evertoken'
import { type IoredisClient, type RedisLockOptions, redisLock } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { hasRedis, heldLocks, type RedisServer, startRedis } from '../support/redis.ts'
import { createTestClock } from '../support/test-clock.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = `redisLock and faults${isMissing ? ' (skipped: redis-server is not installed, see test/setup.sh)' : ''}`

describe.skipIf(isMissing)(title, () => {
  let redis: RedisServer
  let client: Redis
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(async () => {
    await redis.command('FLUSHALL')
    await redis.command('CONFIG', 'RESETSTAT')
    client = new Redis({ port: redis.port, host: '127.0.0.1', retryStrategy: () => 20, maxRetriesPerRequest: 1 })
  })
  afterEach(() => {
    redis.resume()
    client.disconnect()
  })
  afterAll(() => redis?.stop())

  /** A lock whose commands go through this function on their way. */
  function through(via: (send: () => Promise<unknown>, at: number) => Promise<unknown>, options?: RedisLockOptions) {
    let sent = 0
    const between: IoredisClient = {
      call: (command, ...args) => {
        const at = sent++
        return via(() => client.call(command, ...args), at)
      },
    }
    return redisLock(between, options)
  }

  it('takes the lock when the answer got lost and the client has sent the command again', async () => {
    const lock = through(async (send, at) => (at === 0 ? send().then(send) : send()), { waitMs: 5000 })
    expect(await lock('name', async () => 'result')).toBe('result')
    expect(await heldLocks(redis)).toBe(0)
  })

  it('takes one renewal that fails for no loss', async () => {
    const clock = createTestClock()
    const failures: string[] = []
    const flaky: Parameters<typeof through>[0] = async (send, at) => {
      if (at !== 1) return send()
      failures.push('renewal')
      throw new Error('ECONNRESET')
    }
    const lock = through(flaky, { clock, leaseMs: 15_000 })
    let losses = 0
    const task = async (): Promise<unknown> => {
      await clock.advance(5000)
      await clock.untilPending(1)
      const before = Number(await redis.command('PTTL', await keyOf(redis)))
      await redis.command('PEXPIRE', await keyOf(redis), '3000')
      await clock.advance(5000)
      await expect.poll(async () => redis.command('PTTL', await keyOf(redis))).toBeGreaterThan(10_000)
      return before
    }
    expect(await lock('name', task, { onLost: () => losses++ })).toBeGreaterThan(0)
    expect({ losses, failures }).toEqual({ losses: 0, failures: ['renewal'] })
  })

  it('F7.03 tells of a lost lock at the next renewal, long before the lease would be over', async () => {
    const clock = createTestClock()
    const lock = redisLock(client, { clock, leaseMs: 15_000 })
    let tell = (): void => {}
    const lost = new Promise<void>((resolve) => {
      tell = resolve
    })
    const task = async (): Promise<number> => {
      const takenAt = clock.now()
      await redis.command('FLUSHALL')
      await clock.advance(5000)
      await lost
      return clock.now() - takenAt
    }
    expect(await lock('name', task, { onLost: tell })).toBe(5000)
  })

  it('gives the result of a task although the news of its loss goes wrong', async () => {
    const onLost = (): never => {
      throw new Error('of the listener')
    }
    const task = async (): Promise<string> => {
      await redis.command('FLUSHALL')
      return 'result'
    }
    expect(await redisLock(client)('name', task, { onLost })).toBe('result')
  })

  it('F7.05 lets a caller go at once who does not wait for a server that hangs, and keeps no lock for them', async () => {
    let tell = (): void => {}
    const asked = new Promise<void>((resolve) => {
      tell = resolve
    })
    const lock = through((send) => {
      const answer = send()
      tell()
      return answer
    })
    redis.pause()
    const controller = new AbortController()
    const waiting = rejection(lock('name', async () => 'taken', { signal: controller.signal }))
    await asked
    const reason = new Error('gone')
    controller.abort(reason)
    expect(await waiting).toBe(reason)
    redis.resume()
    const scripts = async (): Promise<unknown> => redis.command('INFO', 'commandstats')
    await expect.poll(scripts).toMatch(/cmdstat_eval:calls=2/)
    expect(await heldLocks(redis)).toBe(0)
  })

  it('F6.01 F7.05 lets the call that tries a server which hangs wait for 10 ms, and gives back what comes late', async () => {
    const clock = createTestClock()
    const lock = redisLock(client, { clock })
    redis.pause()
    const first = rejection(lock('name', async () => 'taken'))
    await clock.untilPending(2)
    await clock.advance(250)
    expect(await first).toMatchObject({ code: 'lock_unavailable' })
    await clock.advance(1000)
    const probe = rejection(lock('name', async () => 'taken'))
    await clock.untilPending(3)
    await clock.advance(10)
    expect(await probe).toMatchObject({ code: 'lock_unavailable' })
    redis.resume()
    // The answer to the probe tells everybody that the server is up; the locks that came late are given back.
    const again = (): Promise<string> => lock('another', async () => 'had a turn').catch(({ code }) => code)
    await expect.poll(again).toBe('had a turn')
    await expect.poll(() => heldLocks(redis)).toBe(0)
  })

  it.each([
    {
      name: 'has no memory left',
      spoil: ['CONFIG', 'SET', 'maxmemory', '1'],
      mend: ['CONFIG', 'SET', 'maxmemory', '0'],
    },
    { name: 'is a replica', spoil: ['REPLICAOF', '127.0.0.1', '1'], mend: ['REPLICAOF', 'NO', 'ONE'] },
  ])('F7.05 is unavailable while the server $name, and available again a second later', async ({ spoil, mend }) => {
    const clock = createTestClock()
    const lock = redisLock(client, { clock })
    await redis.command(...spoil)
    const error = await rejection(lock('name', async () => 'taken'))
    await redis.command(...mend)
    expect(error).toMatchObject({ name: 'StoreError', code: 'lock_unavailable', retryable: true })
    expect(await rejection(lock('name', async () => 'taken'))).toMatchObject({ code: 'lock_unavailable' })
    await clock.advance(1000)
    expect(await lock('name', async () => 'taken')).toBe('taken')
  })

  it('F7.06 gives each of many waiters its own deadline, and leaves no timer behind', async () => {
    const clock = createTestClock()
    // Answers take real time, which is none by this clock.
    const lock = redisLock(client, { clock, waitMs: 3000, leaseMs: 60_000, deadlineMs: 20_000 })
    let finish = (): void => {}
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    let holding: Promise<void> | undefined
    await new Promise<void>((resolve) => {
      holding = lock('name', () => {
        resolve()
        return finished
      })
    })
    const waiting = Array.from({ length: 100 }, () => rejection(lock('name', async () => 'taken')))
    await clock.untilPending(101)
    await clock.advance(3000)
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ name: 'StoreError', code: 'lock_timeout', retryable: true })
    }
    finish()
    await holding
    expect(clock.pending).toBe(0)
  })

  it('serves a task of the same process as soon as the one before it has ended', async () => {
    const clock = createTestClock()
    const lock: WithLock = redisLock(client, { clock })
    const order: number[] = []
    // No pause is waited out: the clock stands still.
    await Promise.all(Array.from({ length: 20 }, (_, at) => lock('name', async () => void order.push(at))))
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, at) => at))
    expect(clock.pending).toBe(0)
  })
})

async function keyOf(redis: RedisServer): Promise<string> {
  const keys = await redis.command('KEYS', '*')
  return Array.isArray(keys) ? String(keys[0]) : ''
}
