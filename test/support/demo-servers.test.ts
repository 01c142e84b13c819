import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose'
import { describe, expect } from 'vitest'
import { type ResourceServer, startResourceServer } from '../../demo/resource-server.ts'
import { test } from './fixtures.ts'
import { testKey } from './keys.ts'

const SECRET = 'a secret of sixty-four bytes, which is enough for any of the hashes'
const RESOURCES = {
  'urn:rsa': { scope: 'read write', lifetimeSeconds: 60 },
  'urn:ec': { scope: 'read', lifetimeSeconds: 7, alg: 'ES256' },
  'urn:opaque': { scope: 'read', lifetimeSeconds: 60, format: 'opaque' },
} as const
const OPTIONS = { clients: [{ client_id: 'machine', client_secret: SECRET }], resources: RESOURCES }
const BASIC = { authorization: `Basic ${btoa(`machine:${SECRET.replaceAll(' ', '+').replace(',', '%2C')}`)}` }

function post(url: string, { form, headers = {} }: { form: Record<string, string>; headers?: Record<string, string> }) {
  return fetch(url, { method: 'POST', headers, body: new URLSearchParams(form) })
}

async function tokenFor(issuer: string, resource: keyof typeof RESOURCES, scope = 'read'): Promise<string> {
  const form = { grant_type: 'client_credentials', resource, scope }
  const response = await post(`${issuer}/token`, { form, headers: BASIC })
  const { access_token } = (await response.json()) as { access_token: string }
  return access_token
}

describe('the authorization server', () => {
  for (const { resource, alg, lifetime } of [
    { resource: 'urn:rsa', alg: 'RS256', lifetime: 60 },
    { resource: 'urn:ec', alg: 'ES256', lifetime: 7 },
  ] as const) {
    test(`issues ${alg} access tokens as RFC 9068 describes them`, async ({ startProvider }) => {
      const { issuer } = await startProvider(OPTIONS)
      const token = await tokenFor(issuer, resource)
      expect(decodeProtectedHeader(token)).toMatchObject({ alg, typ: 'at+jwt' })
      const { iss, aud, scope, exp = 0, iat = 0, client_id } = decodeJwt(token)
      expect({ iss, aud, scope, client_id }).toEqual({
        iss: issuer,
        aud: resource,
        scope: 'read',
        client_id: 'machine',
      })
      expect(exp - iat).toBe(lifetime)
    })
  }

  test('tells how a client authenticated and what it got, without its secret', async ({ startProvider }) => {
    const provider = await startProvider(OPTIONS)
    const token = await tokenFor(provider.issuer, 'urn:rsa')
    const body = { grant_type: 'client_credentials', client_id: 'machine', client_secret: 'wrong' }
    await post(`${provider.issuer}/token`, { form: body })
    await post(`${provider.issuer}/token`, { form: body, headers: BASIC })
    const [good, wrong, twice] = provider.tokenRequests
    expect(good).toMatchObject({
      clientId: 'machine',
      authentication: ['client_secret_basic'],
      status: 200,
      issued: { jti: decodeJwt(token).jti, clientId: 'machine', scope: 'read', resource: 'urn:rsa' },
    })
    expect(wrong).toMatchObject({ authentication: ['client_secret_post'], status: 401, issued: undefined })
    expect(wrong?.parameters).toEqual({ grant_type: 'client_credentials', client_id: 'machine' })
    expect(twice).toMatchObject({ authentication: ['client_secret_basic', 'client_secret_post'], status: 400 })
  })

  for (const { strictAudience, audience, status } of [
    { strictAudience: true, audience: (issuer: string) => issuer, status: 200 },
    { strictAudience: true, audience: (issuer: string) => [issuer], status: 401 },
    { strictAudience: true, audience: (issuer: string) => `${issuer}/token`, status: 401 },
    { strictAudience: false, audience: (issuer: string) => `${issuer}/token`, status: 200 },
  ]) {
    test(`${strictAudience ? 'strict' : 'lax'}: an assertion for ${JSON.stringify(audience('issuer'))} gets ${status}`, async ({
      startProvider,
    }) => {
      const { publicJwk, keyObject } = await testKey('ES256')
      const client = { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt' as const }
      const provider = await startProvider({
        clients: [{ ...client, jwks: { keys: [publicJwk] } }],
        resources: RESOURCES,
        strictAudience,
      })
      const assertion = await new SignJWT({
        iss: 'machine',
        sub: 'machine',
        jti: 'one',
        aud: audience(provider.issuer),
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'client-authentication+jwt' })
        .setExpirationTime('60 s')
        .sign(keyObject)
      const form = {
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      }
      await post(`${provider.issuer}/token`, { form: { ...form, client_id: 'machine' } })
      expect(provider.tokenRequests[0]).toMatchObject({
        authentication: ['private_key_jwt'],
        status,
        assertion: { header: { typ: 'client-authentication+jwt' }, claims: { jti: 'one' } },
      })
    })
  }

  test('revokes opaque tokens', async ({ startProvider }) => {
    const { issuer } = await startProvider(OPTIONS)
    const token = await tokenFor(issuer, 'urn:opaque')
    expect((await post(`${issuer}/token/revocation`, { form: { token }, headers: BASIC })).status).toBe(200)
  })

  test('is gone while it is paused, and back at the same address', async ({ startProvider }) => {
    const provider = await startProvider(OPTIONS)
    await provider.pause()
    await expect(tokenFor(provider.issuer, 'urn:rsa')).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await provider.resume()
    expect(await tokenFor(provider.issuer, 'urn:rsa')).toMatch(/^eyJ/)
  })
})

describe('the resource server', () => {
  const call = (api: ResourceServer, authorization?: string) =>
    fetch(api.url, { headers: authorization === undefined ? {} : { authorization } }).then(({ status, headers }) => ({
      status,
      challenge: headers.get('www-authenticate'),
    }))

  test('takes tokens for itself with its scope, and says what is wrong with others', async ({ startProvider }) => {
    const { issuer } = await startProvider(OPTIONS)
    await using api = await startResourceServer({ issuer, audience: 'urn:rsa', scope: 'read' })
    const invalid = { status: 401, challenge: expect.stringMatching(/^Bearer error="invalid_token", error_descr/) }
    const rows = [
      { authorization: `Bearer ${await tokenFor(issuer, 'urn:rsa')}`, answer: { status: 200, challenge: null } },
      { authorization: `bearer ${await tokenFor(issuer, 'urn:rsa')}`, answer: { status: 200, challenge: null } },
      { authorization: undefined, answer: { status: 401, challenge: 'Bearer' } },
      { authorization: `Bearer ${await tokenFor(issuer, 'urn:ec')}`, answer: invalid },
      { authorization: 'Bearer not.a.token', answer: invalid },
      {
        authorization: `Bearer ${await tokenFor(issuer, 'urn:rsa', 'write')}`,
        answer: { status: 403, challenge: 'Bearer error="insufficient_scope", scope="read"' },
      },
    ]
    for (const { authorization, answer } of rows) expect(await call(api, authorization)).toEqual(answer)
    expect(Object.fromEntries(api.answers)).toEqual({ 200: 2, 401: 3, 403: 1 })
  })

  test('refuses the current token, a named one, or all of them', async ({ startProvider }) => {
    const { issuer } = await startProvider(OPTIONS)
    await using api = await startResourceServer({ issuer, audience: 'urn:rsa', scope: 'read' })
    const tokens = await Promise.all(Array.from({ length: 3 }, () => tokenFor(issuer, 'urn:rsa')))
    const statuses = async (): Promise<number[]> => {
      const all: number[] = []
      for (const token of tokens) all.push((await call(api, `Bearer ${token}`)).status)
      return all
    }
    expect(await statuses()).toEqual([200, 200, 200])
    api.rejectCurrent()
    expect(await statuses()).toEqual([200, 200, 401])
    api.reject(String(decodeJwt(tokens[0] ?? '').jti))
    expect(await statuses()).toEqual([401, 200, 401])
    api.rejectAll(true)
    expect(await statuses()).toEqual([401, 401, 401])
    api.rejectAll(false)
    expect(await statuses()).toEqual([401, 200, 401])
  })
})
