import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { FleetProcess } from '../support/fleet-process.ts'
import { test } from './scene.ts'

/** How processes begin and end. */
export function lifeScenarios(): void {
  test('F8.01 server and Redis are down at the start: the first call gets a typed error, and later ones their token', async ({
    stage,
  }) => {
    const { redis, issuer, server, start } = await stage()
    await Promise.all([redis.kill(), server.shut()])
    const fleet = await start(2, { awaitsConnection: false })
    const first = await Promise.all(fleet.map((each) => each.call(1)))
    expect(first.map(({ failures }) => failures)).toEqual([{ unreachable: 1 }, { unreachable: 1 }])
    await server.reopen()
    for (const each of fleet) await untilServed(each)
    expect(issuer.requests).toHaveLength(2)
    await redis.start()
    // They share again when there is a key that both of them want for the first time.
    for (let n = 0, requests = 0; requests !== 1; n++) {
      const before = issuer.requests.length
      const partition = `shared ${n}`
      const shared = await Promise.all(fleet.map((each) => each.call(1, { partition })))
      expect(shared.map(({ failures }) => failures)).toEqual([{}, {}])
      requests = issuer.requests.length - before
      await delay(50)
    }
  }, 60_000)

  test('F8.02 SIGTERM with 500 calls under way: they get their token, later ones do not, and the process ends by itself', async ({
    stage,
  }) => {
    const { issuer, start } = await stage()
    const fleet = await start(2)
    const [one, other] = fleet as [FleetProcess, FleetProcess]
    const held = issuer.hold()
    const calling = [one.call(500), other.call(500)]
    await held.asked
    for (const each of fleet) each.signal('SIGTERM')
    expect(await Promise.all(fleet.map(({ closed }) => closed))).toEqual(['closed', 'closed'])
    held.release()
    const releasedAt = performance.now()
    for (const { calls, failures } of await Promise.all(calling))
      expect({ calls, failures }).toEqual({ calls: 500, failures: {} })
    expect(await Promise.all(fleet.map(({ ended }) => ended))).toEqual([0, 0])
    expect(performance.now() - releasedAt).toBeLessThan(1000)
    expect(issuer.requests).toHaveLength(1)
  }, 60_000)
}

/** Calls until there is a token: a server that was down is tried again within a second. */
async function untilServed(each: FleetProcess): Promise<void> {
  for (;;) {
    const { failures } = await each.call(1)
    if (Object.keys(failures).length === 0) return
    await delay(50)
  }
}
