import { setTimeout as delay } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { FleetProcess, Report } from '../support/fleet-process.ts'
import type { RedisServer } from '../support/redis.ts'
import type { Toxic } from '../support/toxic-proxy.ts'
import { type Issued, spareOf } from './issuer.ts'
import { LEASE_MS, reportsOf, type Scene, stallOf, test } from './scene.ts'

const OUTAGE_MS = 60_000

/** Redis is not there, or might as well not be. */
export function outageScenarios(): void {
  test('F6.01 F7.05 Redis is killed for a minute under 100 calls a second: no failed call, and it is shared again after that', async ({
    stage,
  }) => {
    const { redis, issuer, start } = await stage({ lifetimeMs: 4000 })
    const fleet = await start(4)
    for (const each of fleet) await each.load(25)
    await issuer.until(2)
    await redis.kill()
    const before = issuer.requests.length
    await delay(OUTAGE_MS / 2)
    const reports = await reportsOf(fleet)
    await delay(OUTAGE_MS / 2)
    const later = await reportsOf(fleet)
    const whileDown = issuer.requests.slice(before)
    await redis.start()
    await untilShared(issuer)
    for (const each of fleet) await each.rest()
    const after = await reportsOf(fleet)

    const all = [...reports, ...later, ...after]
    expect(all.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect(all.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(all.flatMap(({ calls }) => calls).reduce((a, b) => a + b)).toBeGreaterThan(5000)
    // Nobody waits for Redis any more: renewals behind the callers end before anybody would.
    for (const { longestMs } of later) expect(longestMs).toBeLessThan(2 * DEADLINE_MS + stallOf(later))
    for (const [at, { events }] of reports.entries()) {
      // One that was about to take its turn hears of the lock, too.
      const told = events.map(({ name }) => name).sort()
      expect(
        [
          ['store_down', 'store_down'],
          ['lock_down', 'store_down', 'store_down'],
        ],
        fleet[at]?.name,
      ).toContainEqual(told)
    }
    for (const { name } of fleet) {
      const own = whileDown.filter(({ process }) => process === name)
      expect(spareOf(own, issuer.lifetimeMs)).toEqual([])
    }
  }, 120_000)

  for (const { name, harm, heal } of SLOWNESS) {
    test(`F6.02 ${name}: calls wait for some deadlines, and then hardly at all; what comes late is not used`, async ({
      stage,
    }) => {
      const scene = await stage()
      const { redis, issuer, start } = scene
      const fleet = await start(2, { isProxied: true })
      const [one, other] = fleet as [FleetProcess, FleetProcess]
      const late = await one.call(1, { partition: 'late' })
      for (const each of fleet) await each.load(25)
      await Promise.all(fleet.map((each) => each.call(1)))
      harm(scene, fleet)
      const inTime = await other.call(1, { partition: 'late' })
      const rounds: Report[][] = []
      for (let n = 0; n < 8; n++) {
        rounds.push(await Promise.all(fleet.map((each) => each.call(10, { partition: `cold ${n}` }))))
        await delay(300)
      }
      heal(scene, fleet)
      for (let n = 0, requests = 0; requests !== 1; n++) {
        const before = issuer.requests.length
        const partition = `healed ${n}`
        rounds.push(await Promise.all(fleet.map((each) => each.call(10, { partition }))))
        requests = issuer.requests.length - before
        await delay(50)
      }
      for (const each of fleet) await each.rest()
      const loads = await reportsOf(fleet)
      const afterwards = await other.call(1, { partition: 'late' })

      const reports = [late, ...loads, inTime, ...rounds.flat(), afterwards]
      expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
      expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
      // It kept to the token that it got for itself, although the one in the store did come in the end.
      expect(Object.keys(afterwards.tokens)).toEqual(Object.keys(inTime.tokens))
      expect(Object.keys(afterwards.tokens)).not.toEqual(Object.keys(late.tokens))
      const waits = [inTime, ...rounds.flat()].map(({ longestMs }) => longestMs)
      expect(Math.max(...waits)).toBeLessThan(DEADLINES * DEADLINE_MS + SLACK_MS)
      expect(Math.min(...waits.slice(-10))).toBeLessThan(DEADLINE_MS)
      // Locks that were given too late are held by nobody.
      await vi.waitFor(async () => expect(await heldLocks(redis)).toEqual([]), { timeout: (LEASE_MS * 3) / 4 })
    }, 60_000)
  }
}

/** Of one command. */
const DEADLINE_MS = 250
/** A cold call looks into the store, asks for the lock, looks once more, and writes. */
const DEADLINES = 4
/** What a token request and a machine with other things to do may take. */
const SLACK_MS = 1000

interface Slowness {
  readonly name: string
  readonly harm: (scene: Scene, fleet: readonly FleetProcess[]) => void
  readonly heal: (scene: Scene, fleet: readonly FleetProcess[]) => void
}

function spoil(toxic: Toxic | undefined): Slowness['harm'] {
  return (_scene, fleet) => {
    for (const { network } of fleet) network?.spoil(toxic)
  }
}

const SLOWNESS: readonly Slowness[] = [
  { name: 'Redis takes 2 s for a command', harm: spoil({ kind: 'slow', ms: 2000 }), heal: spoil(undefined) },
  { name: 'Redis hangs', harm: ({ redis }) => redis.pause(), heal: ({ redis }) => redis.resume() },
  { name: 'the network hangs', harm: spoil({ kind: 'black_hole' }), heal: spoil(undefined) },
  {
    name: 'connections are half open',
    harm: spoil({ kind: 'half_open' }),
    heal: (scene, fleet) => {
      spoil(undefined)(scene, fleet)
      for (const { network } of fleet) network?.reset()
    },
  },
  { name: 'replies break off in the middle', harm: spoil({ kind: 'cut' }), heal: spoil(undefined) },
  { name: 'connections are refused', harm: spoil({ kind: 'refuse' }), heal: spoil(undefined) },
]

/** The owners of all locks that are held; what is left of one that was given back is empty. */
async function heldLocks(redis: RedisServer): Promise<readonly string[]> {
  const keys = (await redis.command('KEYS', '*lock*')) as string[]
  const owners = await Promise.all(keys.map((key) => redis.command('GET', key)))
  return owners.map((owner) => String(owner ?? '')).filter((owner) => owner !== '')
}

/** So many requests in a row that were needed. */
const IN_A_ROW = 3

/** Waits until the fleet is as one again: one request a lifetime. */
export async function untilShared(issuer: Scene['issuer']): Promise<void> {
  const own = (): readonly Issued[] => issuer.requests.slice(-IN_A_ROW - 1)
  do await issuer.until(issuer.requests.length + 1)
  while (spareOf(own(), issuer.lifetimeMs).length > 0)
}
