import { clientSecretBasic, createTokenManager } from 'evertoken'
import { describe, expect, onTestFinished } from 'vitest'
import { createDPoPCheck } from '../../demo/dpop-check.ts'
import { noNonces, nonces, rotatedByAnswers, toldInRefusals } from '../../demo/nonce-policy.ts'
import { startResourceServer } from '../../demo/resource-server.ts'
import { test } from '../support/fixtures.ts'

const SECRET = 'a-long-enough-secret'
const OPTIONS = {
  clients: [{ client_id: 'machine', client_secret: SECRET, dpop_bound_access_tokens: true }],
  resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 600 } },
  requireDPoPNonce: true,
}

const rows = [
  { name: 'no nonces', policy: noNonces, calls: 200, demands: 0 },
  { name: 'one nonce', policy: () => nonces(), calls: 200, demands: 1 },
  {
    name: 'F9.01 a new nonce with every answer',
    policy: () => rotatedByAnswers(nonces(), { every: 1 }),
    calls: 200,
    demands: 1,
  },
  {
    name: 'F9.01 a new nonce with every second answer',
    policy: () => rotatedByAnswers(nonces(), { every: 2 }),
    calls: 200,
    demands: 1,
  },
  {
    name: 'F9.01 a new nonce every fifty answers, told in refusals only',
    policy: () => toldInRefusals(rotatedByAnswers(nonces(), { every: 50 })),
    calls: 200,
    demands: 4,
  },
] as const

describe('D1 D3 D4 DPoP against servers that check every rule', () => {
  for (const { name, policy, calls, demands } of rows) {
    test(`${name}: ${calls} calls cost ${demands} demands for a nonce`, async ({ startProvider }) => {
      const { issuer } = await startProvider(OPTIONS)
      const dpop = createDPoPCheck({ nonces: policy() })
      await using api = await startResourceServer({ issuer, audience: 'urn:api', scope: 'read', dpop })
      const tokens = managerOf(issuer)
      const call = tokens.fetch('api', { baseUrl: api.url })
      for (let n = 0; n < calls; n++) await (await call(`list?page=${n}`)).text()
      const { accepted, refused, proofs } = dpop.record
      expect(accepted).toBe(calls)
      expect(refused.get('use_dpop_nonce') ?? 0).toBe(demands)
      expect(proofs).toHaveLength(calls + demands)
      expect(new Set(proofs.map(({ claims }) => claims.jti)).size).toBe(proofs.length)
    })
  }
})

function managerOf(issuer: string) {
  const tokens = createTokenManager({
    clients: {
      api: {
        issuer,
        clientId: 'machine',
        authentication: clientSecretBasic(SECRET),
        scope: 'read',
        resource: 'urn:api',
        dpop: true,
      },
    },
  })
  onTestFinished(() => tokens.close())
  return tokens
}
