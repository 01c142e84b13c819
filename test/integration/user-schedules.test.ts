import { afterEach, beforeEach, describe, expect, vi } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { synchronousCrypto } from '../support/synchronous-crypto.ts'
import { openUserInterleaving } from '../support/user-interleaving.ts'

describe('A1.01 interleaved users', () => {
  const SCHEDULES = 1000
  /** Another run of chance: `ISOLATION_SEED=7 npx vitest run test/integration/user-schedules.test.ts`. */
  const seed = Number(process.env.ISOLATION_SEED ?? 20_260_101)

  beforeEach(() => {
    vi.stubGlobal('crypto', synchronousCrypto(seed))
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  test('A1.01 A1.13 F5.01 50 users, 20 interleaved calls each, 1,000 schedules, 2 processes: no token ever reaches another user, scope or resource, and no refresh token is spent twice', {
    timeout: 600_000,
  }, async () => {
    const interleaving = await openUserInterleaving({ seed })
    for (let n = 0; n < SCHEDULES; n++) await interleaving.runSchedule(n)
    const { calls, tokens, refreshes, faults, aborted, switches } = interleaving.counts
    // What was checked was worth checking.
    expect(calls).toBe(50 * 20 * SCHEDULES)
    expect(tokens).toBeGreaterThan(0.8 * calls)
    expect(refreshes).toBeGreaterThan(50 * SCHEDULES)
    expect(Math.min(faults, aborted, switches)).toBeGreaterThan(SCHEDULES)
    expect(interleaving.reuses).toEqual([])
  })

  test('A1.01 a mix-up is caught, its message names seed and schedule, and the seed plays it again', async () => {
    const messageOf = async (): Promise<string> => {
      vi.stubGlobal('crypto', synchronousCrypto(seed))
      const interleaving = await openUserInterleaving({ seed, mixesUp: true })
      const run = async (): Promise<void> => {
        for (let n = 0; n < 100; n++) await interleaving.runSchedule(n)
      }
      return (await rejection(run())).message
    }
    const message = await messageOf()
    expect(message).toMatch(new RegExp(`^seed ${seed}, schedule \\d+: [uv]\\d+ asked for \\S+, got \\S+somebody-else`))
    expect(await messageOf()).toBe(message)
  })

  test('F11.02 a seed plays the same schedules again, whatever else the machine has to do', async () => {
    const played: unknown[] = []
    for (let run = 0; run < 3; run++) {
      vi.stubGlobal('crypto', synchronousCrypto(seed))
      const interleaving = await openUserInterleaving({ seed })
      for (let n = 0; n < 3; n++) await interleaving.runSchedule(n)
      played.push({ ...interleaving.counts })
    }
    expect(played).toEqual([played[0], played[0], played[0]])
  })
})
