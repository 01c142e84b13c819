import { type AccessToken, clientSecretBasic, createTokenManager } from 'evertoken'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { createDPoPCheck } from '../../demo/dpop-check.ts'
import {
  type NoncePolicy,
  nonces,
  type RotatingNonces,
  rotatedByAnswers,
  toldInRefusals,
} from '../../demo/nonce-policy.ts'
import { type ResourceServer, startResourceServer } from '../../demo/resource-server.ts'
import { test } from '../support/fixtures.ts'

const SECRET = 'a-long-enough-secret'
const RESOURCES = { 'urn:api': { scope: 'read', lifetimeSeconds: 600, alg: 'ES256' as const } }

/** One way to treat nonces, and how many demands it makes at the most. */
interface Phase {
  readonly name: string
  readonly requests: number
  readonly atOnce: number
  readonly accepted?: number
  /** After how many answers the nonce changes. */
  readonly every: number
  readonly policy?: (inner: RotatingNonces) => NoncePolicy
  readonly mostDemands: number
}

const PHASES: readonly Phase[] = [
  // Only who starts without a nonce is asked for one: whoever is on the way at a change has the one before it.
  { name: 'the last two are taken', requests: 6000, atOnce: 20, accepted: 2, every: 100, mostDemands: 20 },
  // Each answer brings the nonce of the next request.
  { name: 'a nonce for each request', requests: 1500, atOnce: 1, every: 1, mostDemands: 1 },
  // Whoever is on the way at a change is asked once.
  { name: 'only the last one is taken', requests: 1500, atOnce: 10, every: 100, mostDemands: 10 * (1 + 15) },
  // The first request after each change.
  { name: 'told when refused', requests: 1000, atOnce: 1, every: 50, policy: toldInRefusals, mostDemands: 1 + 20 },
]

/** Does the work so many times, so many at once. */
async function repeat(work: () => Promise<void>, { requests, atOnce }: Phase): Promise<void> {
  let left = requests
  const lane = async (): Promise<void> => {
    while (left-- > 0) await work()
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}

describe('F9.01 N12.01 N12.03 N12.08 proofs against real servers', () => {
  test('10,000 proofs that are checked by every rule of RFC 9449 section 4.3, none refused, no jti twice', {
    timeout: 120_000,
  }, async ({ startProvider }) => {
    const { issuer, tokenRequests } = await startProvider({
      clients: ['one', 'two'].map((client_id) => ({
        client_id,
        client_secret: SECRET,
        dpop_bound_access_tokens: true,
      })),
      resources: RESOURCES,
      requireDPoPNonce: true,
    })
    const client = { issuer, authentication: clientSecretBasic(SECRET), scope: 'read', dpop: true } as const
    const tokens = createTokenManager({
      clients: { one: { ...client, clientId: 'one' }, two: { ...client, clientId: 'two' } },
    })
    const names = ['one', 'two'] as const
    const bound = new Map<string, AccessToken>()
    for (const name of names) bound.set(name, await tokens.getToken(name))
    const jkts = [...bound.values()].map(({ jkt, accessToken }) => {
      expect(decodeJwt(accessToken).cnf).toEqual({ jkt })
      return jkt
    })
    expect(new Set(jkts).size).toBe(2)

    const seen = new Set<unknown>()
    let accepted = 0
    let proofs = 0
    for (const phase of PHASES) {
      const { name, accepted: kept = 1, every, policy = (inner) => inner } = phase
      const check = createDPoPCheck({ nonces: policy(rotatedByAnswers(nonces({ accepted: kept }), { every })) })
      await using api: ResourceServer = await startResourceServer({
        issuer,
        audience: 'urn:api',
        scope: 'read',
        dpop: check,
      })
      // One client a phase and another the next: an origin has had no nonce for the key yet.
      const fetchOf = tokens.fetch(names[PHASES.indexOf(phase) % 2] ?? 'one', { baseUrl: api.url })
      await repeat(async () => {
        const response = await fetchOf('items?page=1')
        await response.arrayBuffer()
        expect(response.status).toBe(200)
      }, phase)
      const { record } = check
      const { use_dpop_nonce: demands = 0, ...others } = Object.fromEntries(record.refused)
      expect(others, name).toEqual({})
      expect(demands, name).toBeGreaterThan(0)
      expect(demands, name).toBeLessThanOrEqual(phase.mostDemands)
      expect(record.accepted, name).toBe(phase.requests)
      for (const { claims, jkt } of record.proofs) {
        expect(jkts).toContain(jkt)
        seen.add(claims.jti)
      }
      proofs += record.proofs.length
      accepted += record.accepted
    }
    expect(accepted).toBe(10_000)
    expect(proofs).toBeGreaterThan(accepted)
    expect(seen.size).toBe(proofs)
    // One demand for each key, and nothing else is refused.
    expect(tokenRequests.map(({ status }) => status)).toEqual([400, 200, 400, 200])
    await tokens.close()
  })

  test('a hundred tokens in a row cost one demand for a nonce', async ({ startProvider }) => {
    const { issuer, tokenRequests } = await startProvider({
      clients: [{ client_id: 'one', client_secret: SECRET, dpop_bound_access_tokens: true }],
      resources: RESOURCES,
      requireDPoPNonce: true,
    })
    const authentication = clientSecretBasic(SECRET)
    const tokens = createTokenManager({
      clients: { one: { issuer, clientId: 'one', authentication, scope: 'read', dpop: true } },
    })
    const jkts = new Set<unknown>()
    for (let n = 0; n < 100; n++) {
      const token = await tokens.getToken('one', undefined, { forceRenewal: true })
      jkts.add(token.jkt).add(Object(decodeJwt(token.accessToken).cnf).jkt)
    }
    expect(jkts.size).toBe(1)
    const statuses = tokenRequests.map(({ status }) => status)
    // The server's nonce may change once in so short a time.
    expect(statuses.filter((status) => status === 200)).toHaveLength(100)
    expect(statuses.filter((status) => status === 400).length).toBeLessThanOrEqual(2)
    expect(statuses).toHaveLength(100 + statuses.filter((status) => status === 400).length)
    await tokens.close()
  })
})
