import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  type ClientAuthentication,
  type ClientDefinition,
  clientAssertion,
  clientSecretJwt,
  clientSecretPost,
  createTokenManager,
  type PrivateKey,
  privateKeyJwt,
  type TokenManagerOptions,
} from 'evertoken'
import { signerFrom } from 'evertoken/keys'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, tokenJson } from '../support/hostile-server.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const RESOURCES = { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } }
const SECRET = 'a secret of sixty-four bytes, which is enough for any of the hashes'

function generate(alg: string): KeyObject {
  if (alg.startsWith('RS') || alg.startsWith('PS'))
    return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519').privateKey
  const namedCurve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] ?? ''
  return generateKeyPairSync('ec', { namedCurve }).privateKey
}

const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' }).toString()
const publicJwk = (key: KeyObject): Record<string, unknown> => {
  const { kty, crv, x, y, n, e } = key.export({ format: 'jwk' })
  return kty === 'RSA' ? { kty, n, e } : { kty, crv, x, ...(y !== undefined && { y }) }
}
const ec = generate('ES256')
const issued = { issuer: 'https://as.example' }

describe('A5 privateKeyJwt at a real authorization server', () => {
  for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
    test(`A5 N2.01 N2.03 N2.04 C5.02 ${alg}: every field, accepted with a strict audience`, async ({
      startProvider,
    }) => {
      const key = generate(alg)
      const provider = await startProvider({
        clients: [
          {
            client_id: 'machine',
            token_endpoint_auth_method: 'private_key_jwt',
            jwks: { keys: [{ ...publicJwk(key), alg, kid: 'k1' }] },
          },
        ],
        resources: RESOURCES,
      })
      const tokens = createTokenManager({
        clients: {
          api: {
            issuer: provider.issuer,
            clientId: 'machine',
            authentication: privateKeyJwt(pem(key), { alg, kid: 'k1' }),
            scope: 'read',
          },
        },
      })
      // Back-dated by five seconds.
      const before = Math.floor(Date.now() / 1000) - 5
      await tokens.getToken('api')
      await tokens.getToken('api', {}, { forceRenewal: true })
      const [first, second] = provider.assertions
      expect(first?.header).toEqual({ alg, typ: 'client-authentication+jwt', kid: 'k1' })
      const { iat, exp, jti, ...claims } = first?.claims ?? {}
      expect(claims).toEqual({ iss: 'machine', sub: 'machine', aud: provider.issuer })
      expect(Number(iat)).toBeGreaterThanOrEqual(before)
      expect(Number(iat)).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) - 5)
      expect(Number(exp) - Number(iat)).toBe(60)
      expect(String(jti)).toMatch(/^[\w-]{22,}$/)
      expect(second?.claims.jti).not.toBe(jti)
      await tokens.close()
    })
  }

  for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
    test(`A6 clientSecretJwt ${alg}: accepted with a strict audience`, async ({ startProvider }) => {
      const provider = await startProvider({
        clients: [{ client_id: 'machine', client_secret: SECRET, token_endpoint_auth_method: 'client_secret_jwt' }],
        resources: RESOURCES,
      })
      const tokens = createTokenManager({
        clients: {
          api: {
            issuer: provider.issuer,
            clientId: 'machine',
            authentication: clientSecretJwt(SECRET, { alg }),
            scope: 'read',
          },
        },
      })
      const before = Math.floor(Date.now() / 1000) - 5
      await tokens.getToken('api')
      await tokens.getToken('api', {}, { forceRenewal: true })
      const [first, second] = provider.assertions
      expect(first?.header).toEqual({ alg, typ: 'client-authentication+jwt' })
      const { iat, exp, jti, ...claims } = first?.claims ?? {}
      expect(claims).toEqual({ iss: 'machine', sub: 'machine', aud: provider.issuer })
      expect(Number(iat)).toBeGreaterThanOrEqual(before)
      expect(Number(iat)).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) - 5)
      expect(Number(exp) - Number(iat)).toBe(60)
      expect(String(jti)).toMatch(/^[\w-]{22,}$/)
      expect(second?.claims.jti).not.toBe(jti)
      await tokens.close()
    })
  }

  test('A4 revocation authenticates with a fresh assertion that is addressed to the issuer', async ({
    startProvider,
  }) => {
    const provider = await startProvider({
      clients: [
        { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [publicJwk(ec)] } },
      ],
      resources: RESOURCES,
    })
    const tokens = createTokenManager({
      clients: {
        api: { issuer: provider.issuer, clientId: 'machine', authentication: privateKeyJwt(ec), scope: 'read' },
      },
    })
    await tokens.getToken('api')
    // A JWT access token is none that this server can revoke; that it authenticated the request is what matters here.
    await tokens.revoke('api').catch(({ code }) => expect(code).toBe('request_refused'))
    expect(provider.assertions).toHaveLength(2)
    expect(new Set(provider.assertions.map(({ claims }) => claims.jti)).size).toBe(2)
    expect(new Set(provider.assertions.map(({ claims }) => claims.aud))).toEqual(new Set([provider.issuer]))
    await tokens.close()
  })

  test('an array audience or a token endpoint audience would have been refused', async ({ startProvider }) => {
    const provider = await startProvider({
      clients: [
        { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [publicJwk(ec)] } },
      ],
      resources: RESOURCES,
    })
    const authentication = privateKeyJwt(ec, { audience: 'token_endpoint' })
    const tokens = createTokenManager({
      clients: { api: { issuer: provider.issuer, clientId: 'machine', authentication } },
    })
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ error: 'invalid_client', status: 401 })
    await tokens.close()
  })
})

describe('A5 keys as people have them', () => {
  const jwk = ec.export({ format: 'jwk' })
  const subtle = globalThis.crypto.subtle
  const forms: readonly { readonly name: string; readonly key: () => Promise<PrivateKey> | PrivateKey }[] = [
    { name: 'PEM', key: () => pem(ec) },
    { name: 'PEM with CRLF', key: () => pem(ec).replaceAll('\n', '\r\n') },
    { name: 'JWK', key: () => jwk },
    { name: 'KeyObject', key: () => ec },
    {
      name: 'CryptoKey, not extractable',
      key: () => subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']),
    },
    {
      name: 'CryptoKeyPair',
      key: () => subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']),
    },
    { name: 'Signer', key: () => signerFrom(ec, { kid: 'mine' }) },
  ]
  for (const { name, key } of forms) {
    test(`A5 ${name}`, async ({ manage, server }) => {
      await manage({ ...issued, authentication: privateKeyJwt(await key()) }).getToken('api')
      const assertion = server.requests[0]?.form.get('client_assertion') ?? ''
      expect(decodeProtectedHeader(assertion).alg).toBe('ES256')
      expect(decodeJwt(assertion).aud).toBe('https://as.example')
    })
  }

  test('A5 a JWK brings its own alg and kid', async ({ manage, server }) => {
    const own = { ...generate('PS256').export({ format: 'jwk' }), alg: 'PS384', kid: 'own' }
    await manage({ ...issued, authentication: privateKeyJwt(own) }).getToken('api')
    expect(decodeProtectedHeader(server.requests[0]?.form.get('client_assertion') ?? '')).toMatchObject({
      alg: 'PS384',
      kid: 'own',
    })
  })

  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const wrong: readonly { readonly name: string; readonly make: () => ClientAuthentication; readonly code: string }[] =
    [
      {
        name: 'a public PEM',
        make: () =>
          privateKeyJwt(generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }).toString()),
        code: 'key_invalid',
      },
      {
        name: 'a public KeyObject',
        make: () => privateKeyJwt(generateKeyPairSync('ed25519').publicKey),
        code: 'key_invalid',
      },
      { name: 'a public JWK', make: () => privateKeyJwt(publicJwk(ec)), code: 'key_invalid' },
      { name: 'a symmetric JWK', make: () => privateKeyJwt({ kty: 'oct', k: 'c2VjcmV0' }), code: 'key_invalid' },
      { name: 'an EC key for PS256', make: () => privateKeyJwt(ec, { alg: 'PS256' }), code: 'key_invalid' },
      { name: 'an algorithm nobody knows', make: () => privateKeyJwt(ec, { alg: 'none' }), code: 'key_invalid' },
      {
        name: 'a curve that is not used',
        make: () => privateKeyJwt(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey),
        code: 'key_invalid',
      },
      { name: 'RSA of 1024 bits as PEM', make: () => privateKeyJwt(pem(weak)), code: 'key_invalid' },
      {
        name: 'RSA of 1024 bits as JWK',
        make: () => privateKeyJwt(weak.export({ format: 'jwk' })),
        code: 'key_invalid',
      },
      {
        name: 'an encrypted PEM',
        make: () =>
          privateKeyJwt(ec.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' }).toString()),
        code: 'key_invalid',
      },
      {
        name: 'a SEC1 PEM',
        make: () => privateKeyJwt(ec.export({ format: 'pem', type: 'sec1' }).toString()),
        code: 'key_invalid',
      },
      { name: 'text', make: () => privateKeyJwt('not a key'), code: 'key_invalid' },
      { name: 'an empty string', make: () => privateKeyJwt(''), code: 'key_invalid' },
      // @ts-expect-error nothing is no key
      { name: 'nothing', make: () => privateKeyJwt(undefined), code: 'key_invalid' },
      {
        name: 'a lifetime of ten minutes',
        make: () => privateKeyJwt(ec, { lifetimeSeconds: 600 }),
        code: 'assertion_options_invalid',
      },
      {
        name: 'a date before the assertion would live',
        make: () => privateKeyJwt(ec, { lifetimeSeconds: 5, backdateSeconds: 5 }),
        code: 'assertion_options_invalid',
      },
      {
        name: 'a date two minutes back',
        make: () => privateKeyJwt(ec, { lifetimeSeconds: 300, backdateSeconds: 120 }),
        code: 'assertion_options_invalid',
      },
      { name: 'an empty audience', make: () => privateKeyJwt(ec, { audience: '' }), code: 'assertion_options_invalid' },
      { name: 'an HMAC secret that is too short', make: () => clientSecretJwt('short'), code: 'secret_invalid' },
      { name: 'an HMAC secret that is an RSA PEM', make: () => clientSecretJwt(pem(weak)), code: 'secret_invalid' },
    ]
  for (const { name, make, code } of wrong) {
    test(`N2.08 F9.07 ${name} is refused at creation, without showing it`, () => {
      let error: (Error & { code?: string }) | undefined
      try {
        make()
      } catch (thrown) {
        error = thrown as Error
      }
      expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect(error?.message).not.toMatch(/[\w+/]{40}/)
      expect(() => createPrivateKey(error?.message ?? '')).toThrow()
    })
  }

  test('N2.08 a key for an algorithm that the server does not take is refused before anything secret is sent', async ({
    manage,
    server,
  }) => {
    server.answer = (request) =>
      request.url === '/token'
        ? tokenJson()(request)
        : {
            body: JSON.stringify({
              issuer: server.origin,
              token_endpoint: server.tokenEndpoint,
              token_endpoint_auth_signing_alg_values_supported: ['PS256'],
            }),
          }
    const tokens = manage({ tokenEndpoint: undefined, issuer: server.origin, authentication: privateKeyJwt(ec) })
    expect((await rejection(tokens.getToken('api'))).code).toBe('alg_unsupported')
    expect(server.requests.map(({ method }) => method)).toEqual(['GET'])
  })

  test('A5 typ and audience can be set, explicitly', async ({ manage, server }) => {
    const authentication = privateKeyJwt(ec, { audience: 'token_endpoint', typ: 'JWT', lifetimeSeconds: 30 })
    await manage({ authentication }).getToken('api')
    const assertion = server.requests[0]?.form.get('client_assertion') ?? ''
    expect(decodeProtectedHeader(assertion).typ).toBe('JWT')
    expect(decodeJwt(assertion).aud).toBe(server.tokenEndpoint)
  })
})

describe('A1 A2 A3 the two ways', () => {
  const own = { authentication: clientSecretPost('the own secret') }
  const assertion = (value: string) => ({ type: 'urn:example:custom', value })
  const sent = (form: URLSearchParams | undefined) => Object.fromEntries(form ?? [])

  test('A1 N2.06 an assertion given as request parameter is sent as it is, with its type', async ({
    manage,
    server,
  }) => {
    await manage(own).getToken('api', { clientAssertion: assertion('given') })
    expect(sent(server.requests[0]?.form)).toEqual({
      grant_type: 'client_credentials',
      client_id: 'machine',
      client_assertion_type: 'urn:example:custom',
      client_assertion: 'given',
    })
  })

  test('N2.07 a client assertion is never sent as the assertion of a grant, nor the other way round', async ({
    manage,
    server,
  }) => {
    const tokens = manage(own)
    await tokens.getToken('api', { clientAssertion: assertion('given') })
    expect(server.requests[0]?.form.has('assertion')).toBe(false)
    const error = await rejection(tokens.getToken('api', { parameters: { assertion: 'of a grant' } }))
    expect(error.code).toBe('parameter_reserved')
  })

  test('A1 it is never sent twice for one call, and shares the cache with everybody', async ({ manage, server }) => {
    server.answer = (request) => (request.n === 1 ? { status: 503 } : tokenJson()(request))
    const tokens = manage(own)
    expect((await rejection(tokens.getToken('api', { clientAssertion: assertion('one') }))).status).toBe(503)
    expect(server.requests).toHaveLength(1)
    const token = await tokens.getToken('api', { clientAssertion: assertion('two') })
    expect(await tokens.getToken('api', { clientAssertion: assertion('three') })).toBe(token)
    expect(await tokens.getToken('api')).toBe(token)
  })

  test('A1 a bad assertion of one caller is no other caller’s failure', async ({ manage, server }) => {
    server.answer = (request) =>
      request.form.get('client_assertion') === 'bad' ? errorJson(401, 'invalid_client') : tokenJson()(request)
    const tokens = manage(own)
    const bad = rejection(tokens.getToken('api', { clientAssertion: assertion('bad') }))
    const good = tokens.getToken('api', { clientAssertion: assertion('good') })
    const plain = tokens.getToken('api')
    expect((await bad).error).toBe('invalid_client')
    expect((await good).accessToken).toBe((await plain).accessToken)
  })

  test('A2 the central service is told client, request, issuer and token endpoint; undefined falls through', async ({
    server,
  }) => {
    const asked: unknown[] = []
    const options: TokenManagerOptions<Record<'invoice' | 'other', ClientDefinition>> = {
      clients: { invoice: clientOf(server, { ...own, ...issued }), other: clientOf(server, own) },
      clientAssertion: ({ clientName, clientId, issuer, tokenEndpoint, request }) => {
        asked.push([clientName, clientId, issuer, tokenEndpoint.href, request.scope, request.context?.tenant])
        return clientName === 'invoice' ? { type: JWT_BEARER, value: 'from the service' } : undefined
      },
    }
    const tokens = createTokenManager(options)
    await tokens.getToken('invoice', { scope: 'a', context: { tenant: 7 } })
    await tokens.getToken('other')
    expect(asked).toEqual([
      ['invoice', 'machine', 'https://as.example', server.tokenEndpoint, 'a', 7],
      ['other', 'machine', undefined, server.tokenEndpoint, undefined, undefined],
    ])
    expect(server.requests[0]?.form.get('client_assertion')).toBe('from the service')
    expect(server.requests[0]?.form.has('client_secret')).toBe(false)
    expect(server.requests[1]?.form.get('client_secret')).toBe('the own secret')
    await tokens.close()
  })

  test('A3 request, then service, then the client’s own: never two methods', async ({ manage, server }) => {
    let says: string | undefined = 'service'
    const tokens = manage(own, { clientAssertion: () => (says === undefined ? undefined : assertion(says)) })
    await tokens.getToken('api', { clientAssertion: assertion('request') })
    await tokens.getToken('api', {}, { forceRenewal: true })
    says = undefined
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(({ form }) => [form.get('client_assertion'), form.get('client_secret')])).toEqual([
      ['request', null],
      ['service', null],
      [null, 'the own secret'],
    ])
  })

  test('A4 N2.05 every attempt gets a fresh assertion, from service and key alike', async ({
    manage,
    server,
    clock,
  }) => {
    let n = 0
    const sources = {
      service: manage(own, { clientAssertion: () => ({ type: JWT_BEARER, value: `assertion-${++n}` }) }),
      key: manage({ ...issued, authentication: privateKeyJwt(ec) }),
      function: manage({ authentication: clientAssertion(() => ({ type: JWT_BEARER, value: `made-${++n}` })) }),
    }
    for (const tokens of Object.values(sources)) {
      const from = server.requests.length
      server.answer = (request) => (request.n - from <= 2 ? { status: 500 } : tokenJson()(request))
      let isDone = false
      const pending = tokens.getToken('api').finally(() => {
        isDone = true
      })
      await expect
        .poll(async () => {
          await clock.advance(400)
          return isDone
        })
        .toBe(true)
      await pending
    }
    const values = server.requests.map(({ form }) => form.get('client_assertion'))
    expect(values).toHaveLength(9)
    expect(new Set(values).size).toBe(9)
  })

  test('nothing is signed or asked for on a cache hit', async ({ manage }) => {
    let asked = 0
    const tokens = manage(own, {
      clientAssertion: () => {
        asked++
        return undefined
      },
    })
    for (let call = 0; call < 100; call++) await tokens.getToken('api')
    expect(asked).toBe(1)
  })

  const failures: readonly { readonly name: string; readonly service: () => never; readonly code: string }[] = [
    {
      name: 'throws',
      service: () => {
        throw new Error('no key')
      },
      code: 'client_authentication_failed',
    },
    {
      name: 'rejects',
      service: () => Promise.reject(new Error('no key')) as never,
      code: 'client_authentication_failed',
    },
    {
      name: 'gives an empty value',
      service: () => ({ type: JWT_BEARER, value: '' }) as never,
      code: 'client_assertion_invalid',
    },
    { name: 'gives text', service: () => 'x.y.z' as never, code: 'client_assertion_invalid' },
  ]
  for (const { name, service, code } of failures) {
    test(`F4.09 a service that ${name}: a typed error, nothing sent`, async ({ manage, server }) => {
      const error = await rejection(manage(own, { clientAssertion: service }).getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect(server.requests).toHaveLength(0)
    })
  }

  test('F4.09 a service that hangs: a typed error at the deadline, nothing sent', async ({ manage, server, clock }) => {
    const pending = rejection(manage(own, { clientAssertion: () => new Promise<never>(() => {}) }).getToken('api'))
    await expect
      .poll(async () => {
        await clock.advance(5000)
        return clock.pending
      })
      .toBe(0)
    expect((await pending).code).toBe('timeout')
    expect(server.requests).toHaveLength(0)
  })
})
