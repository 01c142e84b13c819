import type { ClientCertificate } from 'evertoken'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { test } from '../support/mtls-fixtures.ts'
import { startMtlsResourceServer, thumbprintOf } from '../support/mtls-servers.ts'

interface Answer {
  readonly status: number
  readonly body: { readonly access_token?: string; readonly error?: string }
}

async function requestToken({ fetch }: ClientCertificate, origin: string, clientId: string): Promise<Answer> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, scope: 'read' })
  const response = await fetch(`${origin}/token`, { method: 'POST', body })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

describe('a token request that a certificate authenticates (RFC 8705 section 2)', () => {
  test.for([
    { clientId: 'by-subject', whose: 'blue' },
    { clientId: 'by-name', whose: 'blue' },
    { clientId: 'by-certificate', whose: 'own' },
  ] as const)(
    'N7.01 $clientId: client_id in the body, the certificate on the connection, no secret',
    async ({ clientId, whose }, { provider, pairs, own, open }) => {
      const { cert, key } = whose === 'own' ? own : pairs.blue
      const { status, body } = await requestToken(open({ cert, key }), provider.mtlsOrigin, clientId)
      expect(status).toBe(200)
      expect(decodeJwt(body.access_token ?? '').cnf).toEqual({ 'x5t#S256': thumbprintOf(cert) })
      expect(provider.tokenRequests).toMatchObject([
        { clientId, listener: 'mtls', thumbprint: thumbprintOf(cert), authentication: ['none'], status: 200 },
      ])
    },
  )

  test.for([
    { name: 'of another subject', clientId: 'by-subject', whose: 'green' },
    { name: 'of another name', clientId: 'by-name', whose: 'green' },
    { name: 'that is not registered', clientId: 'by-certificate', whose: 'blue' },
    { name: 'that no authority has signed', clientId: 'by-subject', whose: 'own' },
  ] as const)('N7.01 a certificate $name is refused', async ({ clientId, whose }, { provider, pairs, own, open }) => {
    const certificate = open({ own, ...pairs }[whose])
    const { status, body } = await requestToken(certificate, provider.mtlsOrigin, clientId)
    expect({ status, error: body.error }).toEqual({ status: 401, error: 'invalid_client' })
  })

  test('N7.02 the listener that asks for no certificate gets none', async ({ provider, pairs, open }) => {
    const { status } = await requestToken(open(pairs.blue), provider.issuer, 'by-subject')
    expect(status).toBe(401)
    expect(provider.tokenRequests).toMatchObject([{ listener: 'plain', thumbprint: undefined }])
  })

  test('N7.02 metadata names both listeners', async ({ provider, pairs, open }) => {
    const response = await open(pairs.blue).fetch(`${provider.issuer}/.well-known/openid-configuration`)
    expect(await response.json()).toMatchObject({
      issuer: provider.issuer,
      token_endpoint: `${provider.issuer}/token`,
      tls_client_certificate_bound_access_tokens: true,
      mtls_endpoint_aliases: { token_endpoint: `${provider.mtlsOrigin}/token` },
    })
  })
})

test('N7.03 a token that is bound to a certificate is worth nothing over another (RFC 8705 section 3)', async ({
  authority,
  provider,
  pairs,
  open,
}) => {
  await using api = await startMtlsResourceServer(authority, provider)
  const [blue, green] = [open(pairs.blue), open(pairs.green)]
  const { body } = await requestToken(blue, provider.mtlsOrigin, 'by-subject')
  const headers = { authorization: `Bearer ${body.access_token}` }
  expect((await blue.fetch(api.origin, { headers })).status).toBe(200)
  const refused = await green.fetch(api.origin, { headers })
  expect(refused.status).toBe(401)
  expect(await refused.json()).toEqual({ refusal: 'the token is bound to another certificate' })
})
