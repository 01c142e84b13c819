import { createHmac } from 'node:crypto'
import { calculateJwkThumbprint, decodeJwt } from 'jose'
import { describe, expect, it } from 'vitest'
import { createDPoPCheck } from '../../demo/dpop-check.ts'
import { noNonces, nonces, type RotatingNonces } from '../../demo/nonce-policy.ts'
import { checked, JKT, NOW, PUBLIC_JWK, proof, rawProof, URL_ASKED } from './handmade-proofs.ts'
import { createTestKey, SIGNING_ALGS, testKey } from './keys.ts'
import { athOf } from './proofs.ts'

const { jwk: privateJwk } = await testKey('ES256')
const other = await createTestKey('ES256', 'other')

interface Row {
  readonly name: string
  readonly dpop: () => Promise<string | string[] | undefined> | string | string[] | undefined
  readonly reason: string
  readonly error?: string
  readonly authorization?: string
  /** What the token is bound to; nothing, if that is empty. */
  readonly jkt?: string
  readonly nonces?: () => RotatingNonces
}

const rows: readonly Row[] = [
  { name: '1 no proof', dpop: () => undefined, reason: 'there is no DPoP header' },
  {
    name: '1 two header lines',
    dpop: async () => [await proof(), await proof()],
    reason: 'there is more than one DPoP header',
  },
  {
    name: '1 two header lines, joined',
    dpop: async () => `${await proof()}, ${await proof()}`,
    reason: 'there is more than one DPoP header',
  },
  { name: '2 an empty header', dpop: () => '', reason: 'the proof is not a JWT' },
  { name: '2 two parts', dpop: async () => (await proof()).replace(/\.[^.]*$/, ''), reason: 'the proof is not a JWT' },
  { name: '2 four parts', dpop: async () => `${await proof()}.x`, reason: 'the proof is not a JWT' },
  { name: '2 padding', dpop: async () => `${await proof()}==`, reason: 'the proof is not a JWT' },
  { name: '2 no JSON', dpop: () => 'e30.bm90IGpzb24.x', reason: 'the proof is not a JWT' },
  ...['jti', 'htm', 'htu'].map((name) => ({
    name: `3 no ${name}`,
    dpop: () => proof({ claims: { [name]: undefined } }),
    reason: `${name} is not a string`,
  })),
  { name: '3 an empty jti', dpop: () => proof({ claims: { jti: '' } }), reason: 'jti is not a string' },
  { name: '3 no iat', dpop: () => proof({ claims: { iat: undefined } }), reason: 'iat is not a number' },
  { name: '3 an ath of another type', dpop: () => proof({ claims: { ath: 1 } }), reason: 'ath is not a string' },
  { name: '3 a nonce of another type', dpop: () => proof({ claims: { nonce: 1 } }), reason: 'nonce is not a string' },
  { name: '4 no typ', dpop: () => proof({ header: { typ: undefined } }), reason: 'typ is not dpop+jwt' },
  { name: '4 typ JWT', dpop: () => proof({ header: { typ: 'JWT' } }), reason: 'typ is not dpop+jwt' },
  { name: '4 typ DPoP+JWT', dpop: () => proof({ header: { typ: 'DPoP+JWT' } }), reason: 'typ is not dpop+jwt' },
  {
    name: '4 typ with application/',
    dpop: () => proof({ header: { typ: 'application/dpop+jwt' } }),
    reason: 'typ is not dpop+jwt',
  },
  {
    name: '5 alg none',
    dpop: () => rawProof({ alg: 'none' }, () => ''),
    reason: 'alg is not one that is taken here',
  },
  {
    name: '5 an HMAC with the key that is told',
    dpop: () =>
      rawProof({ alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } }, (input) =>
        createHmac('sha256', 'secret').update(input).digest('base64url'),
      ),
    reason: 'alg is not one that is taken here',
  },
  { name: '6 no jwk', dpop: () => proof({ header: { jwk: undefined } }), reason: 'there is no jwk' },
  {
    name: '6 signed with another key',
    dpop: () => proof({ signedBy: other.keyObject }),
    reason: 'the signature is not one of the key in jwk',
  },
  {
    name: '6 claims that were changed after signing',
    dpop: async () => {
      const [header, , signature] = (await proof()).split('.')
      const [, claims] = (await proof()).split('.')
      return `${header}.${claims}.${signature}`
    },
    reason: 'the signature is not one of the key in jwk',
  },
  {
    name: '6 a jwk that is no key',
    dpop: () => proof({ header: { jwk: { kty: 'EC', crv: 'P-256' } } }),
    reason: 'the signature is not one of the key in jwk',
  },
  {
    name: '6 an extension that must be understood',
    dpop: () => rawProof({ alg: 'ES256', crit: ['x'], x: 1 }, () => 'AA'),
    reason: 'the signature is not one of the key in jwk',
  },
  {
    name: '7 a private key in jwk',
    dpop: () => proof({ header: { jwk: { ...PUBLIC_JWK, d: privateJwk.d } } }),
    reason: 'jwk has private members',
  },
  { name: '8 another method', dpop: () => proof({ claims: { htm: 'POST' } }), reason: 'htm is another method' },
  {
    name: '8 the method in lower case',
    dpop: () => proof({ claims: { htm: 'get' } }),
    reason: 'htm is another method',
  },
  ...[
    { name: 'with the query', htu: URL_ASKED },
    { name: 'with a fragment', htu: 'https://api.test/list#x' },
    { name: 'of another path', htu: 'https://api.test/lists' },
    { name: 'of another host', htu: 'https://other.test/list' },
    { name: 'of another scheme', htu: 'http://api.test/list' },
    { name: 'with the default port', htu: 'https://api.test:443/list' },
    { name: 'encoded in another way', htu: 'https://api.test/%6Cist' },
  ].map(({ name, htu }) => ({
    name: `9 htu ${name}`,
    dpop: () => proof({ claims: { htu } }),
    reason: 'htu is another target',
  })),
  {
    name: '10 no nonce where one is demanded',
    nonces,
    dpop: () => proof(),
    error: 'use_dpop_nonce',
    reason: 'there is no nonce',
  },
  {
    name: '10 a nonce that was never issued',
    nonces,
    dpop: () => proof({ claims: { nonce: 'invented' } }),
    error: 'use_dpop_nonce',
    reason: 'nonce is not a current one',
  },
  {
    name: '10 a nonce where there are none',
    dpop: () => proof({ claims: { nonce: 'invented' } }),
    reason: 'there are no nonces here',
  },
  { name: '11 too old', dpop: () => proof({ claims: { iat: NOW / 1000 - 61 } }), reason: 'iat is too far from now' },
  { name: '11 too new', dpop: () => proof({ claims: { iat: NOW / 1000 + 61 } }), reason: 'iat is too far from now' },
  { name: '12 no ath', dpop: () => proof({ claims: { ath: undefined } }), reason: 'there is no ath' },
  {
    name: '12 ath of another token',
    dpop: () => proof({ claims: { ath: athOf('U') } }),
    reason: 'ath is of another token',
  },
  {
    name: '12 a token of another key',
    jkt: await calculateJwkThumbprint(other.publicJwk),
    dpop: () => proof(),
    error: 'invalid_token',
    reason: 'the token is bound to another key',
  },
  {
    name: '12 a token that is bound to no key',
    jkt: '',
    dpop: () => proof(),
    error: 'invalid_token',
    reason: 'the token is bound to another key',
  },
  {
    name: 'a token that is not good',
    authorization: 'DPoP U',
    dpop: () => proof({ claims: { ath: athOf('U') } }),
    error: 'invalid_token',
    reason: 'the token is not valid here',
  },
  {
    name: 'a bound token as Bearer, with a proof',
    authorization: 'Bearer T',
    dpop: () => proof(),
    error: 'invalid_token',
    reason: 'the token is not sent with the scheme DPoP',
  },
  {
    name: 'a bound token as Bearer, alone',
    authorization: 'Bearer T',
    dpop: () => undefined,
    error: 'invalid_token',
    reason: 'the token is not sent with the scheme DPoP',
  },
]

describe('the rules of RFC 9449 section 4.3', () => {
  it.each(rows)('refuses $name', async ({ dpop, reason, error = 'invalid_dpop_proof', authorization, ...row }) => {
    const policy = row.nonces?.()
    const { send, record } = checked({ nonces: policy ?? noNonces(), algs: ['ES256', 'EdDSA'], jkt: row.jkt })
    const { refusal, headers } = await send(await dpop(), authorization)
    expect(refusal).toMatchObject({ error, message: reason, status: 401 })
    expect(headers).toEqual({
      'www-authenticate': `DPoP error="${error}", error_description="${reason}", algs="ES256 EdDSA"`,
      ...(policy !== undefined && { 'dpop-nonce': policy.current }),
    })
    expect([...record.refused]).toEqual([[error, 1]])
    expect([...record.reasons]).toEqual([[reason, 1]])
    expect(record.accepted).toBe(0)
  })

  it.each([
    { name: 'as it should be', authorization: 'DPoP T', claims: {} },
    { name: 'with the scheme in odd case', authorization: 'dPoP T', claims: {} },
    { name: 'at the old end of the window', authorization: 'DPoP T', claims: { iat: NOW / 1000 - 60 } },
    { name: 'at the new end of the window', authorization: 'DPoP T', claims: { iat: NOW / 1000 + 60 } },
    { name: 'with further claims', authorization: 'DPoP T', claims: { tenant: 'a' } },
  ])('accepts a genuine proof $name', async ({ authorization, claims }) => {
    const { send, record } = checked()
    const jwt = await proof({ claims })
    expect(await send(jwt, authorization)).toMatchObject({
      refusal: undefined,
      proof: { jkt: JKT },
      token: { cnf: { jkt: JKT } },
      headers: {},
    })
    expect(record).toMatchObject({ accepted: 1, proofs: [{ jkt: JKT, claims: decodeJwt(jwt), outcome: 'accepted' }] })
  })

  it.each(SIGNING_ALGS.map((alg) => ({ alg })))('accepts proofs with $alg', async ({ alg }) => {
    const key = await testKey(alg)
    const { kty, crv, x, y, n, e } = key.publicJwk
    const { send } = checked({ jkt: await calculateJwkThumbprint(key.publicJwk) })
    const header = { alg, jwk: { kty, crv, x, y, n, e } }
    expect(await send(await proof({ header, signedBy: key.keyObject }))).toMatchObject({ refusal: undefined })
  })

  it('asks for a token where there is none, and tells no error then', async () => {
    const { send } = checked({ algs: ['ES256'] })
    expect(await send(undefined, '')).toMatchObject({ headers: { 'www-authenticate': 'DPoP algs="ES256"' } })
  })

  it('checks a proof by itself, as a token endpoint does', async () => {
    const { checkProof } = createDPoPCheck({ now: () => NOW })
    const request = async (claims: object) => ({
      method: 'GET',
      url: URL_ASKED,
      headers: { dpop: await proof({ claims: { ath: undefined, ...claims } }) },
    })
    expect(await checkProof(await request({}))).toMatchObject({ refusal: undefined, proof: { jkt: JKT } })
    expect(await checkProof(await request({ htm: 'POST' }))).toMatchObject({ refusal: { error: 'invalid_dpop_proof' } })
  })
})
