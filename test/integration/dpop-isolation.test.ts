import { dpopKeyRing } from 'evertoken/dpop'
import { jwkThumbprint } from 'evertoken/keys'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openDPoPSchedules } from '../support/dpop-schedules.ts'
import { rejection, test } from '../support/fixtures.ts'
import { type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'
import { nonceDemand, proofOf } from '../support/proofs.ts'

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

  it('a schedule that is run again by itself goes the same way', async () => {
    const runAlone = async (n: number): Promise<object> => {
      const schedules = await openDPoPSchedules({ seed, callers: 50 })
      await schedules.run(n)
      return schedules.counts
    }
    for (let n = 0; n < 10; n++) expect(await runAlone(n), `schedule ${n}`).toEqual(await runAlone(n))
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

test('F9.01 a call whose token is renewed after another key was taken answers the nonce demands of both keys', async ({
  manage,
  server,
  elsewhere,
}) => {
  server.answer = tokenJson({ token_type: 'DPoP' })
  const ring = dpopKeyRing((await createTestKey('ES256', 'old')).jwk)
  const thumbprints = [await ring.thumbprint()]
  const tokens = manage({ dpop: ring })
  const first = await tokens.getToken('api')
  ring.rotate((await createTestKey('ES256', 'new')).jwk)
  thumbprints.push(await ring.thumbprint())
  const keyIn = async (request: SeenRequest): Promise<string> => jwkThumbprint(Object(proofOf(request).header.jwk))
  elsewhere.answer = async (request) => {
    const nonce = `nonce-of-${await keyIn(request)}`
    if (proofOf(request).claims.nonce !== nonce) return nonceDemand(nonce)
    return { status: request.headers.authorization === `DPoP ${first.accessToken}` ? 401 : 200 }
  }
  expect((await tokens.fetch('api', { baseUrl: elsewhere.origin })('/items')).status).toBe(200)
  const [before, after] = thumbprints
  expect(await Promise.all(elsewhere.requests.map(keyIn))).toEqual([before, before, after, after])
})
