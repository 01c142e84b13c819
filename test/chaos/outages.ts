import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { spareOf } from './issuer.ts'
import { type Scene, test } from './scene.ts'

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
    const [killedAt, before] = [Date.now(), issuer.requests.length]
    await delay(OUTAGE_MS)
    const whileDown = issuer.requests.slice(before)
    const reports = await Promise.all(fleet.map((each) => each.report()))
    await redis.start()
    await untilShared(issuer)
    for (const each of fleet) await each.rest()
    const after = await Promise.all(fleet.map((each) => each.report()))
    console.log(
      Date.now() - killedAt,
      whileDown.length,
      issuer.requests.length,
      [...reports, ...after].map(({ tokens, ...r }) => JSON.stringify(r)),
    )

    expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect(after.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
    expect([...reports, ...after].flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    for (const { name } of fleet) {
      const own = whileDown.filter(({ process }) => process === name)
      expect(spareOf(own, issuer.lifetimeMs)).toEqual([])
    }
  }, 120_000)
}

/** So many requests in a row that were needed. */
const IN_A_ROW = 3

/** Waits until the fleet is as one again: one request a lifetime. */
async function untilShared(issuer: Scene['issuer']): Promise<void> {
  do await issuer.until(issuer.requests.length + 1)
  while (spareOf(issuer.requests.slice(-IN_A_ROW - 1), issuer.lifetimeMs).length > 0)
}
