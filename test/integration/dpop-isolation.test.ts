import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openDPoPSchedules } from '../support/dpop-schedules.ts'
import { rejection } from '../support/fixtures.ts'

describe('N12.03 N12.06 N12.09 interleaved clients with keys', () => {
  const SCHEDULES = 1000
  /** Another run of chance: `DPOP_SEED=7 npx vitest run test/integration/dpop-isolation.test.ts`. */
  const seed = Number(process.env.DPOP_SEED ?? 20_260_401)

  // Jitter is drawn from crypto; here there is none, so that a failure can be played again.
  beforeEach(() => {
    const { subtle } = crypto
    const getRandomValues = crypto.getRandomValues.bind(crypto)
    vi.stubGlobal('crypto', {
      subtle,
      getRandomValues: (array: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) =>
        array instanceof Uint32Array ? array.fill(2 ** 31) : getRandomValues(array),
    })
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('N12.03 N12.06 N12.07 N12.08 N12.09 50 callers, two keys, one origin, rotating nonces, 1,000 seeded schedules: never a proof with the wrong key, never Bearer', {
    timeout: 300_000,
  }, async () => {
    const schedules = await openDPoPSchedules({ seed, callers: 50 })
    for (let n = 0; n < SCHEDULES; n++) await schedules.run(n)
    const { counts } = schedules
    // What was checked was worth checking.
    expect(counts.calls).toBe(50 * SCHEDULES)
    expect(counts.requests).toBeGreaterThan(50 * SCHEDULES)
    expect(counts.granted).toBeGreaterThan(2 * SCHEDULES)
    for (const name of [
      'demands',
      'refusals',
      'redirects',
      'failures',
      'rotations',
      'newKey',
      'lost',
      'inVain',
    ] as const)
      expect(counts[name], name).toBeGreaterThan(SCHEDULES / 10)
    expect(counts.mostTries).toBeGreaterThan(3)
  })

  it.each([
    { name: 'the proof of another client', tampering: 'proof of another', says: /key|htm|htu|ath/ },
    { name: 'the scheme Bearer', tampering: 'bearer', says: /scheme is Bearer/ },
    { name: 'a proof that was used before', tampering: 'proof again', says: /twice|htm|htu|ath/ },
  ] as const)('$name is caught, and the message names the seed', async ({ tampering, says }) => {
    const schedules = await openDPoPSchedules({ seed, callers: 50, tampering })
    const run = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) await schedules.run(n)
    }
    const { message } = await rejection(run())
    expect(message).toMatch(new RegExp(`^seed ${seed}, schedule \\d+ \\(`))
    expect(message).toMatch(says)
  })
})
