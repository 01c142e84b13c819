import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { FleetProcess } from '../support/fleet-process.ts'
import { spareOf } from './issuer.ts'
import { missesOf, reportsOf, test } from './scene.ts'

const MINUTE_MS = 60_000
const LEAPS = [
  { name: 'an hour ahead', ms: 60 * MINUTE_MS },
  { name: 'an hour back', ms: -60 * MINUTE_MS },
  { name: 'five minutes ahead', ms: 5 * MINUTE_MS },
  { name: 'five minutes back', ms: -5 * MINUTE_MS },
]

/** One process that has another time than the others. */
export function clockScenarios(): void {
  for (const { name, ms } of LEAPS) {
    test(`F6.13 F11.02 the clock of one process leaps ${name}: no failed call, one spare request at the most`, async ({
      stage,
    }) => {
      const { issuer, start } = await stage({ lifetimeMs: 3000 })
      const fleet = await start(4)
      const [one] = fleet as [FleetProcess]
      for (const each of fleet) await each.load(25, { via: 'fetch' })
      await issuer.until(2)
      await delay(issuer.lifetimeMs / 3)
      await one.leap(ms)
      await issuer.until(5)
      for (const each of fleet) await each.rest()
      const reports = await reportsOf(fleet)
      expect(reports.map(({ failures }) => failures)).toEqual([{}, {}, {}, {}])
      expect(spareOf(issuer.requests, issuer.lifetimeMs).length).toBeLessThanOrEqual(1 + missesOf(reports))
      if (ms < 0) expect(issuer.refusals).toEqual([])
    }, 60_000)
  }
}
