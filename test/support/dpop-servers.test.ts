import { request } from 'node:http'
import { decodeJwt, SignJWT } from 'jose'
import { describe, expect } from 'vitest'
import { createDPoPCheck, type DPoPCheck } from '../../demo/dpop-check.ts'
import { nonces } from '../../demo/nonce-policy.ts'
import { startResourceServer } from '../../demo/resource-server.ts'
import { test } from './fixtures.ts'
import { JKT, PUBLIC_JWK } from './handmade-proofs.ts'
import { testKey } from './keys.ts'
import { athOf } from './proofs.ts'

const RESOURCES = { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } }
const MACHINE = { client_id: 'machine', client_secret: 'a-long-enough-secret', dpop_bound_access_tokens: true }
const GRANT = { grant_type: 'client_credentials', resource: 'urn:api', scope: 'read' }

/** A proof of this moment for one request. */
async function proofFor(
  { method, url }: { method: string; url: string },
  claims: { readonly nonce?: string | undefined; readonly ath?: string } = {},
): Promise<string> {
  const { keyObject } = await testKey('ES256')
  return new SignJWT({ jti: crypto.randomUUID(), htm: method, htu: url, ...claims })
    .setIssuedAt()
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: PUBLIC_JWK as { kty: string } })
    .sign(keyObject)
}

interface TokenAnswer {
  readonly status: number
  readonly nonce: string | undefined
  readonly body: Readonly<Record<string, string>>
}

/** Asks for a token, with or without a nonce. */
async function askForToken(
  issuer: string,
  form: Readonly<Record<string, string>>,
  nonce?: string,
): Promise<TokenAnswer> {
  const url = `${issuer}/token`
  const { client_id, client_secret } = MACHINE
  const response = await fetch(url, {
    method: 'POST',
    headers: { dpop: await proofFor({ method: 'POST', url }, { nonce }) },
    body: new URLSearchParams({ client_id, client_secret, ...form }),
  })
  const body = (await response.json()) as TokenAnswer['body']
  return { status: response.status, nonce: response.headers.get('dpop-nonce') ?? undefined, body }
}

/** Asks for a token, once more with the nonce that is demanded. */
async function tokenFor(issuer: string, form: Readonly<Record<string, string>> = GRANT): Promise<TokenAnswer> {
  const { nonce } = await askForToken(issuer, form)
  return askForToken(issuer, form, nonce)
}

function apiOf(issuer: string, dpop: DPoPCheck) {
  return startResourceServer({ issuer, audience: 'urn:api', scope: 'read', dpop })
}

describe('the authorization server with DPoP', () => {
  test('demands a nonce and binds the token to the key', async ({ startProvider }) => {
    const { issuer } = await startProvider({ clients: [MACHINE], resources: RESOURCES, requireDPoPNonce: true })
    const demand = await askForToken(issuer, GRANT)
    expect(demand).toMatchObject({ status: 400, nonce: expect.any(String), body: { error: 'use_dpop_nonce' } })
    const answer = await askForToken(issuer, GRANT, demand.nonce)
    expect(answer).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    expect(decodeJwt(answer.body.access_token ?? '')).toMatchObject({ cnf: { jkt: JKT }, aud: 'urn:api' })
  })

  test('binds the tokens of a code and of its refresh token', async ({ startProvider }) => {
    const client = {
      ...MACHINE,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code' as const],
      redirect_uris: ['https://app.test/callback'],
    }
    const { issuer, issueCode } = await startProvider({
      clients: [client],
      resources: RESOURCES,
      requireDPoPNonce: true,
    })
    const redirect_uri = 'https://app.test/callback'
    const code = await issueCode({ clientId: 'machine', redirectUri: redirect_uri, resource: 'urn:api', dpopJkt: JKT })
    const first = await tokenFor(issuer, { grant_type: 'authorization_code', code, redirect_uri })
    expect(first).toMatchObject({ status: 200, body: { token_type: 'DPoP', refresh_token: expect.any(String) } })
    expect(decodeJwt(first.body.access_token ?? '')).toMatchObject({ cnf: { jkt: JKT }, scope: 'read' })
    const second = await tokenFor(issuer, {
      grant_type: 'refresh_token',
      refresh_token: first.body.refresh_token ?? '',
    })
    expect(second).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    expect(decodeJwt(second.body.access_token ?? '')).toMatchObject({ cnf: { jkt: JKT }, aud: 'urn:api' })
  })
})

describe('the resource server with DPoP', () => {
  test('takes a bound token with a proof, asks for its nonce, and tells of the next one', async ({ startProvider }) => {
    const { issuer } = await startProvider({ clients: [MACHINE], resources: RESOURCES, requireDPoPNonce: true })
    const token = (await tokenFor(issuer)).body.access_token ?? ''
    const policy = nonces({ accepted: 2 })
    const dpop = createDPoPCheck({ nonces: policy })
    await using api = await apiOf(issuer, dpop)
    const call = async (nonce?: string) => {
      const headers = {
        authorization: `DPoP ${token}`,
        dpop: await proofFor({ method: 'GET', url: `${api.url}list` }, { nonce, ath: athOf(token) }),
      }
      const response = await fetch(`${api.url}list?page=2`, { headers })
      const { status } = response
      return { status, nonce: response.headers.get('dpop-nonce'), challenge: response.headers.get('www-authenticate') }
    }
    const first = policy.current
    expect(await call()).toMatchObject({
      status: 401,
      nonce: first,
      challenge: expect.stringMatching(/^DPoP error="use_dpop_nonce", error_description=".*", algs="ES256 /),
    })
    expect(await call(first)).toEqual({ status: 200, nonce: null, challenge: null })
    policy.rotate()
    expect(await call(first)).toEqual({ status: 200, nonce: policy.current, challenge: null })
    api.rejectCurrent()
    expect(await call(policy.current)).toMatchObject({
      status: 401,
      challenge: expect.stringMatching(/^DPoP error="invalid_token", error_description="the token is revoked"/),
    })
    expect(Object.fromEntries(dpop.record.refused)).toEqual({ use_dpop_nonce: 1, invalid_token: 1 })
    expect(dpop.record.proofs.map(({ jkt }) => jkt)).toEqual([JKT, JKT, JKT, JKT])
  })

  test('refuses two lines of proofs, the token as Bearer, and no token', async ({ startProvider }) => {
    const { issuer } = await startProvider({ clients: [MACHINE], resources: RESOURCES })
    const token = (await tokenFor(issuer)).body.access_token ?? ''
    const dpop = createDPoPCheck()
    await using api = await apiOf(issuer, dpop)
    const prove = () => proofFor({ method: 'GET', url: api.url }, { ath: athOf(token) })
    const statusOf = (headers: Record<string, string | string[]>) =>
      new Promise((resolve, reject) => {
        request(api.url, { headers, agent: false }, (response) => resolve(response.resume().statusCode))
          .on('error', reject)
          .end()
      })
    expect(await statusOf({ authorization: `DPoP ${token}`, dpop: [await prove(), await prove()] })).toBe(401)
    expect(await statusOf({ authorization: `Bearer ${token}`, dpop: await prove() })).toBe(401)
    expect(await statusOf({ dpop: await prove() })).toBe(401)
    expect(await statusOf({ authorization: `DPoP ${token}`, dpop: await prove() })).toBe(200)
    expect([...dpop.record.reasons.keys()]).toEqual([
      'there is more than one DPoP header',
      'the token is not sent with the scheme DPoP',
      'there is no token',
    ])
  })

  test('dates its answers by the clock that it checks with', async ({ startProvider }) => {
    const { issuer } = await startProvider({ clients: [MACHINE], resources: RESOURCES })
    const token = (await tokenFor(issuer)).body.access_token ?? ''
    await using api = await apiOf(issuer, createDPoPCheck({ now: () => Date.UTC(2030, 0, 1) }))
    const dpop = await proofFor({ method: 'GET', url: api.url }, { ath: athOf(token) })
    const { status, headers } = await fetch(api.url, { headers: { authorization: `DPoP ${token}`, dpop } })
    expect([status, headers.get('date')]).toEqual([401, 'Tue, 01 Jan 2030 00:00:00 GMT'])
  })
})
