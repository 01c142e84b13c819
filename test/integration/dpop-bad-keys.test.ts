import { createSecretKey, generateKeyPairSync, type KeyObject, type webcrypto } from 'node:crypto'
import { inspect } from 'node:util'
import { clientSecretBasic, createTokenManager, type PrivateKey, type Signer } from 'evertoken'
import { createProof, dpopKeyRing } from 'evertoken/dpop'
import { signerFrom } from 'evertoken/keys'
import { nodeSigner } from 'evertoken/node'
import { beforeAll, describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { testKey } from '../support/keys.ts'

type Jwk = Readonly<Record<string, string>>

const jwkOf = (key: KeyObject): Jwk => key.export({ format: 'jwk' }) as Jwk
const pemOf = (key: KeyObject): string =>
  String(key.export(key.type === 'public' ? { format: 'pem', type: 'spki' } : { format: 'pem', type: 'pkcs8' }))
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ED = generateKeyPairSync('ed25519')
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const SHORT = generateKeyPairSync('rsa', { modulusLength: 1024 })
const KOBLITZ = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
const [ecJwk, edJwk, rsaJwk, shortJwk] = [EC, ED, RSA, SHORT].map(({ privateKey }) => jwkOf(privateKey)) as [
  Jwk,
  Jwk,
  Jwk,
  Jwk,
]

function without(jwk: Jwk, member: string): Jwk {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => name !== member))
}

function signer(publicJwk: unknown, alg = 'ES256'): Signer {
  return { ...nodeSigner(EC.privateKey), alg, publicJwk } as Signer
}

interface Row {
  readonly name: string
  readonly key: unknown
  readonly says: string
}

const missing = (jwk: Jwk, members: string): Row[] =>
  members.split(' ').flatMap((member) => [
    { name: `a ${jwk.kty} JWK without ${member}`, key: without(jwk, member), says: 'expected' },
    { name: `a ${jwk.kty} JWK with an empty ${member}`, key: { ...jwk, [member]: '' }, says: 'expected' },
    { name: `a ${jwk.kty} JWK with a number for ${member}`, key: { ...jwk, [member]: 7 }, says: 'expected' },
  ])

const KEYS: readonly Row[] = [
  { name: 'a JWK for ES256K', key: { ...ecJwk, alg: 'ES256K' }, says: 'got ES256K' },
  { name: 'a JWK for HS256', key: { ...ecJwk, alg: 'HS256' }, says: 'got HS256' },
  { name: 'a JWK for none', key: { ...ecJwk, alg: 'none' }, says: 'got none' },
  { name: 'an EC JWK for RS256', key: { ...ecJwk, alg: 'RS256' }, says: 'got a P-256 key' },
  { name: 'a symmetric JWK', key: { kty: 'oct', k: ecJwk.d }, says: 'got a symmetric JWK' },
  { name: 'a public JWK', key: without(ecJwk, 'd'), says: 'without "d"' },
  ...missing(ecJwk, 'crv x y d'),
  ...missing(edJwk, 'crv x d'),
  ...missing(rsaJwk, 'n e d p q'),
  { name: 'a P-256 JWK of kty OKP', key: { ...ecJwk, kty: 'OKP' }, says: 'expected' },
  { name: 'a P-256 JWK of kty oct', key: { ...ecJwk, kty: 'oct' }, says: 'symmetric' },
  { name: 'an Ed25519 JWK of kty EC', key: { ...edJwk, kty: 'EC' }, says: 'expected' },
  { name: 'a P-256 JWK of kty constructor', key: { ...ecJwk, kty: 'constructor' }, says: 'expected' },
  { name: 'a P-256 JWK of another kty', key: { ...ecJwk, kty: 'AKP' }, says: 'expected' },
  { name: 'a JWK without kty', key: without(ecJwk, 'kty'), says: 'another object' },
  { name: 'a JWK of another curve', key: jwkOf(KOBLITZ.privateKey), says: 'another type' },
  { name: 'a public KeyObject', key: EC.publicKey, says: 'a public KeyObject' },
  { name: 'a secret KeyObject', key: createSecretKey(Buffer.from(String(ecJwk.d))), says: 'a secret KeyObject' },
  { name: 'a KeyObject of another curve', key: KOBLITZ.privateKey, says: 'another type' },
  { name: 'an RSA KeyObject of 1024 bits', key: SHORT.privateKey, says: '1024 bits' },
  { name: 'an RSA JWK of 1024 bits', key: shortJwk, says: '1024 bits' },
  { name: 'an RSA PEM of 1024 bits', key: pemOf(SHORT.privateKey), says: '1024 bits' },
  { name: 'a PEM of another curve', key: pemOf(KOBLITZ.privateKey), says: 'another key type' },
  { name: 'a public PEM', key: pemOf(EC.publicKey), says: 'PKCS #8' },
  { name: 'a text', key: 'text', says: 'PKCS #8' },
  { name: 'an empty text', key: '', says: 'PKCS #8' },
  { name: 'false', key: false, says: 'boolean' },
  { name: 'null', key: null, says: 'got null' },
  { name: 'a number', key: 7, says: 'number' },
  { name: 'an empty object', key: {}, says: 'another object' },
  { name: 'a list', key: [ecJwk], says: 'another object' },
  { name: 'a signer for HS256', key: signer(jwkOf(EC.publicKey), 'HS256'), says: 'an algorithm out of' },
  { name: 'a signer for ES256K', key: signer(jwkOf(KOBLITZ.publicKey), 'ES256K'), says: 'an algorithm out of' },
  { name: 'a signer with an RSA JWK for ES256', key: signer(jwkOf(RSA.publicKey)), says: 'got a RSA key' },
  { name: 'a signer with an Ed25519 JWK for ES256', key: signer(jwkOf(ED.publicKey)), says: 'got a Ed25519 key' },
  {
    name: 'a signer with a P-256 JWK of kty OKP',
    key: signer({ ...jwkOf(EC.publicKey), kty: 'OKP' }),
    says: 'expected',
  },
  {
    name: 'a signer with an Ed25519 JWK of kty EC',
    key: signer({ ...jwkOf(ED.publicKey), kty: 'EC' }, 'EdDSA'),
    says: 'expected',
  },
  {
    name: 'a signer with an RSA JWK of 1024 bits',
    key: signer(jwkOf(SHORT.publicKey), 'RS256'),
    says: 'expected',
  },
  ...['kty', 'crv', 'x', 'y'].map((member) => ({
    name: `a signer with a JWK without ${member}`,
    key: signer(without(jwkOf(EC.publicKey), member)),
    says: 'expected a signer',
  })),
  ...['n', 'e'].map((member) => ({
    name: `a signer with an RSA JWK without ${member}`,
    key: signer(without(jwkOf(RSA.publicKey), member), 'RS256'),
    says: `"${member}"`,
  })),
  { name: 'a signer with a symmetric JWK', key: signer({ kty: 'oct', k: ecJwk.d }), says: 'expected a signer' },
  { name: 'a signer with no JWK', key: signer(undefined), says: 'expected a signer' },
  { name: 'a signer with a text for a JWK', key: signer('text'), says: 'expected a signer' },
]

/** What must not be told: private members, and the lines of a PEM. */
const SECRETS = [ecJwk, edJwk, rsaJwk, shortJwk]
  .flatMap(({ d = '', p = '', q = '', dp = '', dq = '', qi = '' }) => [d, p, q, dp, dq, qi])
  .concat([SHORT, KOBLITZ].flatMap(({ privateKey }) => pemOf(privateKey).split('\n').slice(1, -2)))
  .filter((text) => text !== '')

function create(dpop: unknown): void {
  createTokenManager({
    clients: {
      billing: {
        tokenEndpoint: 'https://as.example/token',
        clientId: 'machine',
        authentication: clientSecretBasic('a-long-enough-secret'),
        dpop: dpop as PrivateKey,
      },
    },
  })
}

function thrownBy(work: () => unknown): Error & { readonly code?: unknown } {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error, got a result')
}

describe('F9.07 keys that cannot sign proofs', () => {
  it.each(KEYS)('$name is refused at creation; the message names the client and not the key', ({ key, says }) => {
    const error = thrownBy(() => create(key))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
    expect(error.message).toMatch(/^client "billing", dpop: expected /)
    expect(error.message).toContain(says)
    const shown = inspect(error, { depth: 9, showHidden: true })
    for (const secret of SECRETS) expect(shown).not.toContain(secret)
  })

  it.each(KEYS)('$name is refused by a ring and by createProof as well', async ({ key }) => {
    const wrong = { name: 'ConfigurationError', code: 'key_invalid' }
    expect(thrownBy(() => dpopKeyRing(key as PrivateKey))).toMatchObject(wrong)
    const ring = dpopKeyRing(ecJwk)
    const before = await ring.thumbprint()
    expect(thrownBy(() => ring.rotate(key as PrivateKey))).toMatchObject(wrong)
    expect(await ring.thumbprint()).toBe(before)
    const made = createProof(key as PrivateKey, { method: 'GET', url: 'https://api.example/' })
    expect(await rejection(made)).toMatchObject(wrong)
  })

  describe('keys of Web Cryptography', () => {
    let alone: unknown
    let publicKey: unknown
    let short: webcrypto.CryptoKeyPair
    beforeAll(async () => {
      const { cryptoKeyPair } = await testKey('ES256')
      alone = cryptoKeyPair.privateKey
      publicKey = cryptoKeyPair.publicKey
      const publicExponent = new Uint8Array([1, 0, 1])
      const kind = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 1024, publicExponent, hash: 'SHA-256' }
      short = await crypto.subtle.generateKey(kind, false, ['sign', 'verify'])
    })
    it.each([
      { name: 'a private key without its public part', key: () => alone, says: 'public part is out of reach' },
      { name: 'a public key', key: () => publicKey, says: 'private key' },
      { name: 'an RSA pair of 1024 bits', key: () => short, says: '1024 bits' },
    ])('$name is refused at creation', ({ key, says }) => {
      const error = thrownBy(() => create(key()))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
      expect(error.message).toMatch(/^client "billing", dpop: expected /)
      expect(error.message).toContain(says)
    })
  })

  it.each([
    { name: 'EC', jwk: { ...jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey), d: ecJwk.d } },
    { name: 'Ed25519', jwk: { ...jwkOf(generateKeyPairSync('ed25519').publicKey), d: edJwk.d } },
  ])('an $name JWK whose halves are of different keys signs nothing', async ({ jwk }) => {
    const error = await rejection(createProof(jwk, { method: 'GET', url: 'https://api.example/' }))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
    expect(await rejection(signerFrom(jwk))).toMatchObject({ code: 'key_invalid' })
  })
})
