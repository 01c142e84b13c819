import { attestJwtClientAuth, type ClientAttester, createTokenManager } from 'evertoken'
import { jwkThumbprint, type PrivateKey } from 'evertoken/keys'
import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose'
import { describe, expect } from 'vitest'
import type { AuthorizationServer, AuthorizationServerOptions } from '../../demo/authorization-server.ts'
import { createAttester } from '../support/attestation.ts'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'

const ATTESTATION = 'oauth-client-attestation'
const POP = 'oauth-client-attestation-pop'
const CHALLENGE = 'oauth-client-attestation-challenge'
const issued = { issuer: 'https://as.example' }

const headerOf = ({ headers }: SeenRequest, name: string): string => String(headers[name])
const popOf = (request: SeenRequest) => decodeJwt(headerOf(request, POP))
const withHeaders = (answer: unknown, headers: Record<string, string>): Answer =>
  ({ ...(answer as object), headers }) as Answer

describe('A12 attestation-based client authentication at a real authorization server', () => {
  type Start = (options: AuthorizationServerOptions) => Promise<AuthorizationServer>
  async function startWith(startProvider: Start, publicJwk: object): Promise<AuthorizationServer> {
    return startProvider({
      clients: [{ client_id: 'machine', token_endpoint_auth_method: 'attest_jwt_client_auth' }],
      resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } },
      settings: {
        clientAuthMethods: ['attest_jwt_client_auth'],
        features: {
          dPoP: { enabled: false },
          attestClientAuth: {
            enabled: true,
            ack: 'draft-12',
            challengeSecret: Buffer.alloc(32, 7),
            getAttestationSignaturePublicKey: () => importJWK(publicJwk, 'ES256') as never,
          } as never,
        },
      },
    })
  }

  test('A12 N22.01 attestation and proof are accepted, with the challenge of the challenge endpoint', async ({
    startProvider,
  }) => {
    const attester = await createAttester()
    const provider = await startWith(startProvider, attester.key.publicJwk)
    const tokens = createTokenManager({
      clients: {
        api: {
          issuer: provider.issuer,
          clientId: 'machine',
          authentication: attestJwtClientAuth(attester.attest),
          scope: 'read',
        },
      },
    })
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    // The challenge came first, so that no request was refused; one attestation serves for both.
    expect(provider.tokenRequests.map(({ status }) => status)).toEqual([200, 200])
    expect(attester.asked).toEqual([{ clientId: 'machine', issuer: provider.issuer, publicJwk: expect.anything() }])
    await tokens.close()
  })
})

describe('A12 attestation-based client authentication, field by field', () => {
  test('N22.01 header names, types, audience and claims are those of the draft; jti and iat are fresh', async ({
    manage,
    server,
    clock,
  }) => {
    const attester = await createAttester({ now: () => clock.wallTime() })
    const authentication = attestJwtClientAuth(attester.attest)
    const tokens = manage({ ...issued, authentication })
    await tokens.getToken('api')
    await clock.advance(1000)
    await tokens.getToken('api', {}, { forceRenewal: true })
    const [first, second] = server.requests as unknown as [SeenRequest, SeenRequest]
    expect(decodeProtectedHeader(headerOf(first, POP))).toEqual({
      alg: 'ES256',
      typ: 'oauth-client-attestation-pop+jwt',
    })
    expect(popOf(first)).toEqual({
      aud: 'https://as.example',
      jti: expect.stringMatching(/^[\w-]{24}$/),
      iat: clock.wallTime() / 1000 - 1 - 5,
    })
    expect(popOf(second)).toMatchObject({ iat: clock.wallTime() / 1000 - 5 })
    expect(popOf(second).jti).not.toBe(popOf(first).jti)
    expect(headerOf(second, ATTESTATION)).toBe(headerOf(first, ATTESTATION))
    const { cnf } = decodeJwt<{ cnf: { jwk: object } }>(headerOf(first, ATTESTATION))
    await jwtVerify(headerOf(first, POP), await importJWK(cnf.jwk, 'ES256'), {
      currentDate: new Date(clock.wallTime()),
    })
    expect(Object.fromEntries(first.form)).toEqual({ grant_type: 'client_credentials', client_id: 'machine' })
    expect(first.headers.authorization).toBeUndefined()
  })

  test('N22.02 a challenge of any response is in the next proof', async ({ manage, server }) => {
    const attester = await createAttester()
    server.answer = (request) => withHeaders(tokenJson()(request), { [CHALLENGE]: `challenge-${request.n}` })
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    for (let call = 0; call < 3; call++) await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map((request) => popOf(request).challenge)).toEqual([
      undefined,
      'challenge-1',
      'challenge-2',
    ])
  })

  test('N22.03 use_attestation_challenge is answered once with the challenge', async ({ manage, server }) => {
    const attester = await createAttester()
    server.answer = (request) =>
      popOf(request).challenge === 'fresh'
        ? tokenJson()(request)
        : withHeaders(errorJson(400, 'use_attestation_challenge'), { [CHALLENGE]: 'fresh' })
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    await tokens.getToken('api')
    expect(server.requests).toHaveLength(2)
    const [first, second] = server.requests as unknown as [SeenRequest, SeenRequest]
    expect(popOf(second).jti).not.toBe(popOf(first).jti)
    expect(attester.asked).toHaveLength(1)
  })

  test('N22.03 use_fresh_attestation is answered once with a new attestation for the same key', async ({
    manage,
    server,
  }) => {
    const attester = await createAttester()
    server.answer = (request) => (request.n === 1 ? errorJson(400, 'use_fresh_attestation') : tokenJson()(request))
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    await tokens.getToken('api')
    expect(server.requests).toHaveLength(2)
    const [before, after] = attester.asked
    expect(after?.publicJwk).toEqual(before?.publicJwk)
    const [first, second] = server.requests as unknown as [SeenRequest, SeenRequest]
    expect(headerOf(second, ATTESTATION)).not.toBe(headerOf(first, ATTESTATION))
  })

  const stubborn = [
    { name: 'use_attestation_challenge', headers: { [CHALLENGE]: 'again' }, requests: 2 },
    { name: 'use_attestation_challenge', headers: {}, requests: 1 },
    { name: 'use_fresh_attestation', headers: {}, requests: 2 },
    { name: 'invalid_client', headers: {}, requests: 1 },
  ]
  for (const { name, headers, requests } of stubborn) {
    test(`N22.03 a server that answers ${name} ${JSON.stringify(headers)} for ever gets ${requests}`, async ({
      manage,
      server,
      clock,
    }) => {
      const attester = await createAttester()
      const date = new Date(clock.wallTime()).toUTCString()
      server.answer = () => withHeaders(errorJson(400, name), { date, ...headers })
      const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
      expect((await rejection(tokens.getToken('api'))).error).toBe(name)
      expect(server.requests).toHaveLength(requests)
    })
  }

  test('N22.04 every request to one server has the same instance key', async ({ manage, server }) => {
    const attester = await createAttester()
    server.answer = tokenJson({ expires_in: 0 })
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    await tokens.getToken('api')
    await tokens.getToken('api', { scope: 'other' })
    const keys = server.requests.map(
      (request) => decodeJwt<{ cnf: { jwk: object } }>(headerOf(request, ATTESTATION)).cnf,
    )
    expect(keys).toHaveLength(2)
    expect(keys[1]).toEqual(keys[0])
  })

  test('N22.05 two servers see different keys and attestations', async ({ server, elsewhere }) => {
    const attester = await createAttester()
    const authentication = attestJwtClientAuth(attester.attest)
    const client = (issuer: string, { tokenEndpoint }: { readonly tokenEndpoint: string }) => ({
      issuer,
      tokenEndpoint,
      clientId: 'machine',
      authentication,
    })
    const tokens = createTokenManager({
      clients: { a: client('https://a.example', server), b: client('https://b.example', elsewhere) },
    })
    await tokens.getToken('a')
    await tokens.getToken('b')
    const thumbprints = await Promise.all(attester.asked.map(({ publicJwk }) => jwkThumbprint(publicJwk as never)))
    expect(new Set(thumbprints).size).toBe(2)
    expect([server, elsewhere].map(({ requests }) => popOf(requests[0] as SeenRequest).aud)).toEqual([
      'https://a.example',
      'https://b.example',
    ])
    await tokens.close()
  })

  test('A12 an attestation is renewed half a minute before it expires', async ({ manage, server, clock }) => {
    const attester = await createAttester({ lifetimeSeconds: 90, now: () => clock.wallTime() })
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    const renew = () => tokens.getToken('api', {}, { forceRenewal: true })
    await renew()
    await clock.advance(59_000)
    await renew()
    expect(attester.asked).toHaveLength(1)
    await clock.advance(1000)
    await renew()
    expect(attester.asked).toHaveLength(2)
    expect(server.requests).toHaveLength(3)
  })

  test('A12 the instance key can be one that is kept elsewhere', async ({ manage, server }) => {
    const attester = await createAttester()
    const { pem, publicJwk } = await testKey('ES384')
    const asked: string[] = []
    const keyFor = (issuer: string): PrivateKey => {
      asked.push(issuer)
      return pem
    }
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest, { keyFor }) })
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(asked).toEqual(['https://as.example'])
    await jwtVerify(headerOf(server.requests[1] as SeenRequest, POP), await importJWK(publicJwk, 'ES384'))
  })

  const broken: readonly { readonly name: string; readonly attest: ClientAttester; readonly code: string }[] = [
    {
      name: 'throws',
      attest: () => {
        throw new Error('no backend')
      },
      code: 'client_authentication_failed',
    },
    { name: 'gives nothing', attest: () => undefined as never, code: 'attestation_invalid' },
    { name: 'gives a text with a line break', attest: () => 'a.b.c\r\nx: y', code: 'attestation_invalid' },
  ]
  for (const { name, attest, code } of broken) {
    test(`A12 an attester that ${name}: a typed error, nothing sent`, async ({ manage, server }) => {
      const error = await rejection(manage({ ...issued, authentication: attestJwtClientAuth(attest) }).getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect(server.requests).toHaveLength(0)
    })
  }

  test('A12 an attester that hangs: a typed error at the deadline, and the next call starts afresh', async ({
    manage,
    server,
    clock,
  }) => {
    const attester = await createAttester()
    let hangs = true
    const attest: ClientAttester = (request) => (hangs ? new Promise<never>(() => {}) : attester.attest(request))
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attest) })
    const pending = rejection(tokens.getToken('api'))
    await expect
      .poll(async () => {
        await clock.advance(5000)
        return clock.pending
      })
      .toBe(0)
    expect((await pending).code).toBe('timeout')
    hangs = false
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests).toHaveLength(1)
  })

  test('A2.05 a server that quotes attestation and proof is not repeated', async ({ manage, server }) => {
    const attester = await createAttester()
    server.answer = (request) =>
      errorJson(400, 'invalid_client', {
        error_description: `got ${headerOf(request, POP)} and ${headerOf(request, ATTESTATION)}`.slice(0, 150),
      })
    const error = await rejection(
      manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) }).getToken('api'),
    )
    expect(error.message).not.toContain(headerOf(server.requests[0] as SeenRequest, POP).slice(0, 16))
  })

  test('A12 a client without issuer has nobody to address the proof to', ({ manage }) => {
    expect(() => manage({ authentication: attestJwtClientAuth(() => 'a.b.c') })).toThrow('expected an issuer')
    expect(() => attestJwtClientAuth('a.b.c' as never)).toThrow('expected the attester to be a function, got a string')
  })
})
