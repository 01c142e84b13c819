import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { seededRandom } from '../support/interleaving.ts'
import { spareOf } from './issuer.ts'
import { untilShared } from './outages.ts'
import { missesOf, reportsOf, test } from './scene.ts'

const FLUSHES = 12

/** Redis is there, and forgets, or does not take what it is given. */
export function lossScenarios(seed: number): void {
  test(`C6 F7.03 all is flushed away at random instants (seed ${seed}): one spare request for each at the most`, async ({
    stage,
  }) => {
    const random = seededRandom(seed)
    const { redis, issuer, start } = await stage({ lifetimeMs: 3000 })
    const fleet = await start(4)
    for (const each of fleet) await each.load(25)
    for (let n = 0; n < FLUSHES; n++) {
      await delay(random() * 2000)
      // While somebody asks, now and then: that is when a lock is lost.
      if (n % 3 === 0) {
        issuer.delayMs = 200
        await issuer.until(issuer.requests.length + 1)
      }
      await redis.command('FLUSHALL')
      issuer.delayMs = 0
    }
    await issuer.until(issuer.requests.length + 2)
    for (const each of fleet) await each.rest()
    const reports = await reportsOf(fleet)
    expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(spareOf(issuer.requests, issuer.lifetimeMs).length).toBeLessThanOrEqual(FLUSHES + missesOf(reports))
  }, 90_000)

  test('F6.09 Redis evicts what is ours under pressure: one spare request for each entry at the most', async ({
    stage,
  }) => {
    const redisSettings = ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru', '--notify-keyspace-events', 'Ee']
    const { issuer, connect, start } = await stage({ lifetimeMs: 3000, redisSettings })
    const watcher = connect()
    const evicted: string[] = []
    watcher.on('message', (_channel, key: string) => key.startsWith('evertoken:') && evicted.push(key))
    await watcher.subscribe('__keyevent@0__:evicted')
    const fleet = await start(4)
    for (const each of fleet) await each.load(25)
    const pressing = press(connect())
    await issuer.until(8)
    const pressed = pressing.end()
    for (const each of fleet) await each.rest()
    const reports = await reportsOf(fleet)
    await pressed
    expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(evicted).not.toEqual([])
    expect(spareOf(issuer.requests, issuer.lifetimeMs).length).toBeLessThanOrEqual(evicted.length + missesOf(reports))
  }, 90_000)

  test('F6.07 Redis turns into a replica that takes no writes: each process asks for itself, once a lifetime', async ({
    stage,
  }) => {
    const { redis, issuer, start } = await stage({ lifetimeMs: 3000 })
    const fleet = await start(4)
    for (const each of fleet) await each.load(25)
    await issuer.until(2)
    await redis.command('REPLICAOF', '127.0.0.1', '1')
    const before = issuer.requests.length
    await issuer.until(before + 8)
    const meanwhile = issuer.requests.slice(before)
    await redis.command('REPLICAOF', 'NO', 'ONE')
    await untilShared(issuer)
    for (const each of fleet) await each.rest()
    const reports = await reportsOf(fleet)
    expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    for (const { name } of fleet) {
      const own = meanwhile.filter(({ process }) => process === name)
      expect(spareOf(own, issuer.lifetimeMs)).toEqual([])
    }
  }, 90_000)
}

/** Fills Redis, again and again, with what nobody reads. */
function press(connection: Redis): { end(): Promise<void> } {
  let isPressing = true
  async function fill(): Promise<void> {
    for (let n = 0; isPressing; ) {
      const pipeline = connection.pipeline()
      for (let i = 0; i < 100; i++) pipeline.set(`noise:${n++}`, 'n'.repeat(1000))
      await pipeline.exec()
      await delay(20)
    }
  }
  // A test that has failed already has taken the connection away.
  const filling = fill().catch(() => {})
  return {
    end() {
      isPressing = false
      return filling
    },
  }
}
