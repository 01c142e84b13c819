import { expect } from 'vitest'
import type { FleetProcess } from '../support/fleet-process.ts'
import { spareOf } from './issuer.ts'
import { LEASE_MS, missesOf, reportsOf, stallOf, test } from './scene.ts'

interface Fate {
  readonly name: string
  /** What happens to the process that asks for a token while the others wait for it. */
  readonly harm: (holder: FleetProcess) => unknown
  readonly heal: (holder: FleetProcess) => unknown
  /** Whether its calls are answered all the while. */
  readonly isServed: boolean
}

const FATES: readonly Fate[] = [
  { name: 'C6 F7.01 is killed', harm: (holder) => holder.kill(), heal: () => {}, isServed: false },
  {
    name: 'C6 F7.02 is paused beyond its lease',
    harm: (holder) => holder.signal('SIGSTOP'),
    heal: (holder) => holder.signal('SIGCONT'),
    isServed: false,
  },
  {
    name: 'C6 F7.05 is cut off from Redis',
    harm: (holder) => holder.network?.spoil({ kind: 'black_hole' }),
    heal: (holder) => holder.network?.spoil(undefined),
    isServed: true,
  },
]

/** The process that asks for all is the one that it happens to. */
export function holderScenarios(): void {
  for (const { name, harm, heal, isServed } of FATES) {
    test(`${name} while it asks: one spare request, and a wait of no more than the lease`, async ({ stage }) => {
      const { issuer, start } = await stage({ lifetimeMs: 5000 })
      const fleet = await start(4, { isProxied: true })
      for (const each of fleet) await each.load(25)
      await issuer.until(1)
      const held = issuer.hold()
      const { process } = await held.asked
      const [holder] = fleet.filter(({ name }) => name === process) as [FleetProcess]
      const others = fleet.filter((each) => each !== holder)
      await harm(holder)
      await issuer.until(3)
      held.release()
      await heal(holder)
      // On they go, one request a lifetime.
      await issuer.until(5)
      const served = isServed ? fleet : others
      for (const each of served) await each.rest()
      const reports = await reportsOf(served)
      expect(reports.flatMap(({ failures }) => Object.keys(failures))).toEqual([])
      expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
      const bound = LEASE_MS + 1000 + stallOf(reports)
      for (const { longestMs } of reports) expect(longestMs).toBeLessThan(bound)
      expect(spareOf(issuer.requests, issuer.lifetimeMs).length).toBeLessThanOrEqual(1 + missesOf(reports))
    }, 60_000)
  }
}
