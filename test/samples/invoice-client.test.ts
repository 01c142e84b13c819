import { expect } from 'vitest'
import { createTokens } from '../../samples/invoice-client.ts'
import { test } from '../support/fixtures.ts'
import { testKey } from '../support/keys.ts'

test('the service makes the assertions of invoice, and catalog goes on to its secret', async ({ startProvider }) => {
  const key = await testKey('ES256')
  const provider = await startProvider({
    clients: [
      { client_id: 'ff8a', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key.publicJwk] } },
      { client_id: '6f59', token_endpoint_auth_method: 'client_secret_basic', client_secret: 'a long enough secret' },
    ],
    resources: { 'urn:api': { scope: 'invoice catalog', lifetimeSeconds: 60 } },
  })
  const tokens = createTokens({
    issuer: provider.issuer,
    invoiceClientId: 'ff8a',
    signingKey: async () => key.cryptoKeyPair.privateKey,
    catalogClientId: '6f59',
    catalogSecret: 'a long enough secret',
  })
  await tokens.getToken('invoice')
  await tokens.getToken('invoice', {}, { forceRenewal: true })
  const { accessToken } = await tokens.getToken('catalog')
  expect(accessToken).not.toBe('')

  expect(provider.assertions).toHaveLength(2)
  const [first, second] = provider.assertions
  expect(first?.header).toEqual({ alg: 'ES256', typ: 'client-authentication+jwt' })
  const { iat, exp, jti, ...claims } = first?.claims ?? {}
  expect(claims).toEqual({ iss: 'ff8a', sub: 'ff8a', aud: provider.issuer })
  expect(Number(exp) - Number(iat)).toBe(60)
  expect(jti).toMatch(/^[\w-]{36}$/)
  expect(second?.claims.jti).not.toBe(jti)
  await tokens.close()
})
