import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeyJwt } from 'evertoken'
import { signJwt } from 'evertoken/keys'
import { type NodeKey, type NodeSignerOptions, nodeSigner, signerFromFile } from 'evertoken/node'
import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SIGNING_ALGS, type TestKey, testKey } from '../support/keys.ts'

const PASSPHRASE = 'correct horse battery staple'
const pem = (key: KeyObject, type: 'pkcs8' | 'sec1' | 'pkcs1' = 'pkcs8'): string =>
  key.export({ format: 'pem', type } as { format: 'pem'; type: 'pkcs8' }).toString()
const locked = (key: KeyObject, type: 'pkcs8' | 'sec1' | 'pkcs1' = 'pkcs8'): string =>
  key
    .export({ format: 'pem', type, cipher: 'aes-256-cbc', passphrase: PASSPHRASE } as { format: 'pem'; type: 'pkcs8' })
    .toString()
const ownType = ({ alg }: TestKey): 'pkcs1' | 'sec1' => (alg.startsWith('ES') ? 'sec1' : 'pkcs1')

interface Form {
  readonly name: string
  readonly key: (test: TestKey) => NodeKey
  readonly passphrase?: string
  readonly isFor?: (alg: string) => boolean
}
const isOld = (alg: string): boolean => alg !== 'EdDSA'
const FORMS: readonly Form[] = [
  { name: 'PKCS #8 PEM', key: ({ pem }) => pem },
  { name: 'PEM with CRLF', key: ({ pem }) => pem.replaceAll('\n', '\r\n') },
  { name: 'PEM as bytes', key: ({ pem }) => Buffer.from(pem) },
  { name: 'PEM after a byte order mark and remarks', key: ({ pem }) => `\uFEFFBag Attributes\n  name: key\n${pem}` },
  { name: 'PEM before its public key', key: ({ pem: text, publicKeyObject }) => text + publicPem(publicKeyObject) },
  { name: 'encrypted PKCS #8 PEM', key: ({ keyObject }) => locked(keyObject), passphrase: PASSPHRASE },
  { name: 'SEC 1 or PKCS #1 PEM', key: (test) => pem(test.keyObject, ownType(test)), isFor: isOld },
  {
    name: 'encrypted SEC 1 or PKCS #1 PEM',
    key: (test) => locked(test.keyObject, ownType(test)),
    passphrase: PASSPHRASE,
    isFor: isOld,
  },
  { name: 'JWK', key: ({ jwk }) => jwk },
  { name: 'JWK without kid and alg', key: ({ keyObject }) => keyObject.export({ format: 'jwk' }) },
  { name: 'KeyObject', key: ({ keyObject }) => keyObject },
]
const publicPem = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' }).toString()

const ROWS = SIGNING_ALGS.flatMap((alg) =>
  FORMS.filter(({ isFor }) => isFor?.(alg) ?? true).map((form) => ({ alg, ...form })),
)

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'evertoken-keys-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function fileOf(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

/** What a function threw; fails when it did not. */
function thrownBy(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error, got a result')
}

describe('nodeSigner', () => {
  it.each(ROWS)('F9.07 $alg from $name: jose verifies what it signs', async ({ alg, key, passphrase }) => {
    const test = await testKey(alg)
    const signer = nodeSigner(key(test), { alg, kid: 'k1', passphrase })
    const jwt = await signJwt(signer, { claims: { sub: 'machine' } })
    await compactVerify(jwt, test.publicKeyObject, { algorithms: [alg] })
    expect(decodeProtectedHeader(jwt)).toEqual({ alg, kid: 'k1' })
    expect(await calculateJwkThumbprint(signer.publicJwk)).toBe(await calculateJwkThumbprint(test.publicJwk))
    expect(Object.keys(signer.publicJwk)).not.toContain('d')
  })

  it.each(SIGNING_ALGS)('%s: a key says itself which algorithm it is for', async (alg) => {
    const { jwk, pem: text } = await testKey(alg)
    expect(nodeSigner(jwk)).toMatchObject({ alg, kid: `key-${alg}` })
    expect(nodeSigner(text)).toMatchObject({ alg: /^[RP]S/.test(alg) ? 'RS256' : alg, kid: undefined })
  })

  it('F9.07 a JWK without kid announces none', async () => {
    const { keyObject } = await testKey('ES256')
    const jwt = await signJwt(nodeSigner(keyObject.export({ format: 'jwk' })), { claims: {} })
    expect(decodeProtectedHeader(jwt)).toEqual({ alg: 'ES256' })
  })

  it('signs at once with an EC key, and in the thread pool with an RSA key', async () => {
    const data = new Uint8Array(8)
    expect(nodeSigner((await testKey('ES256')).pem).sign(data)).toBeInstanceOf(Uint8Array)
    expect(nodeSigner((await testKey('EdDSA')).pem).sign(data)).toBeInstanceOf(Uint8Array)
    expect(await nodeSigner((await testKey('RS256')).pem).sign(data)).toHaveLength(256)
  })

  it('an openssl file with its curve before the key is read', async () => {
    const { keyObject } = await testKey('ES256')
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
    expect(nodeSigner(parameters + pem(keyObject, 'sec1')).alg).toBe('ES256')
  })

  it('is what privateKeyJwt takes', async () => {
    const body = new URLSearchParams()
    const draft = { url: new URL('https://as.example/token'), body, headers: new Headers() }
    const client = { clientName: 'api', clientId: 'machine', issuer: 'https://as.example', tokenEndpoint: draft.url }
    const { pem: text, publicKeyObject } = await testKey('ES384')
    await privateKeyJwt(nodeSigner(text)).apply(draft, client)
    await compactVerify(body.get('client_assertion') ?? '', publicKeyObject)
  })
})

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const curve = (namedCurve: string): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey
const jwk = ec.privateKey.export({ format: 'jwk' })
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
const secret = Buffer.from('a secret of thirty-two bytes, so')

interface Wrong {
  readonly name: string
  readonly key: unknown
  readonly options?: NodeSignerOptions
  readonly says: string
}
/** Whatever may stand in a file, and more. */
const WRONG_TEXTS: readonly Wrong[] = [
  { name: 'a public key', key: publicPem(ec.publicKey), says: 'got PEM of a public key' },
  { name: 'a certificate', key: pemOf('CERTIFICATE'), says: 'got PEM of a certificate' },
  {
    name: 'an encrypted key, no passphrase',
    key: locked(ec.privateKey),
    says: 'got an encrypted one without passphrase',
  },
  {
    name: 'an encrypted key, wrong passphrase',
    key: locked(ec.privateKey),
    options: { passphrase: 'another passphrase' },
    says: 'got one that its passphrase does not open',
  },
  {
    name: 'an encrypted SEC 1 key, no passphrase',
    key: locked(ec.privateKey, 'sec1'),
    says: 'got an encrypted one without passphrase',
  },
  { name: 'an EC key for RS256', key: pem(ec.privateKey), options: { alg: 'RS256' }, says: 'got a P-256 key' },
  { name: 'a P-256 key for ES384', key: pem(ec.privateKey), options: { alg: 'ES384' }, says: 'got a P-256 key' },
  { name: 'an algorithm nobody knows', key: pem(ec.privateKey), options: { alg: 'none' }, says: 'got none' },
  { name: 'RSA of 1024 bits', key: pem(weak), says: 'got one of 1024 bits' },
  { name: 'secp256k1', key: pem(curve('secp256k1')), says: 'another curve (secp256k1)' },
  { name: 'P-224', key: pem(curve('secp224r1')), says: 'another curve (secp224r1)' },
  { name: 'X25519', key: pem(generateKeyPairSync('x25519').privateKey), says: 'type x25519' },
  { name: 'a damaged key', key: pemOf('PRIVATE KEY'), says: 'got PEM of a private key that is damaged' },
  { name: 'half a key', key: pem(ec.privateKey).slice(0, 90), says: 'that is damaged' },
  {
    name: 'garbage',
    key: 'bm90IGEga2V5IGF0IGFsbCwganVzdCBhIGxvbmcgdGV4dCBpbiBiYXNlNjQ',
    says: 'got a text that is not PEM',
  },
]
const WRONG_VALUES: readonly Wrong[] = [
  { name: 'an empty text', key: '', says: 'got an empty text' },
  { name: 'white space', key: ' \r\n', says: 'got an empty text' },
  { name: 'DER', key: ec.privateKey.export({ format: 'der', type: 'pkcs8' }), says: 'got a text that is not PEM' },
  { name: 'a public KeyObject', key: ec.publicKey, says: 'got a public key' },
  { name: 'a secret KeyObject', key: secretKey(), says: 'got a secret key' },
  { name: 'a public JWK', key: ec.publicKey.export({ format: 'jwk' }), says: 'got a JWK without "d"' },
  { name: 'a symmetric JWK', key: { kty: 'oct', k: secret.toString('base64url') }, says: 'got a symmetric JWK' },
  { name: 'a JWK without its curve', key: { ...jwk, crv: undefined }, says: 'got one that does not import' },
  {
    name: 'two halves of two JWKs',
    key: { ...jwk, d: other.privateKey.export({ format: 'jwk' }).d },
    says: 'another key',
  },
  { name: 'another object', key: { key: pem(ec.privateKey) }, says: 'got another object' },
  { name: 'nothing', key: undefined, says: 'got undefined' },
  { name: 'null', key: null, says: 'got null' },
  { name: 'a number', key: 7, says: 'got a number' },
]

function secretKey(): KeyObject {
  return createSecretKey(secret)
}

/** PEM with a label and no sense. */
function pemOf(label: string): string {
  return `-----BEGIN ${label}-----\n${secret.toString('base64')}\n-----END ${label}-----\n`
}

describe('what is no key that can sign', () => {
  it.each([...WRONG_TEXTS, ...WRONG_VALUES])(
    'F9.07 $name is refused at creation, without showing it',
    ({ key, options, says }) => {
      const error = thrownBy(() => nodeSigner(key as NodeKey, options))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
      expect(error.cause).toBeUndefined()
      expect(error.message).toMatch(/^nodeSigner: expected /)
      expect(error.message).toContain(says)
      expect(error.message).not.toMatch(/[\w+/-]{40}|horse|another passphrase/)
    },
  )

  it.each(WRONG_TEXTS.map((row, n) => ({ ...row, file: `wrong-${n}.pem` })))(
    'F9.06 F9.07 a file with $name is refused by its name, without showing what is in it',
    ({ key, options, says, file }) => {
      const path = fileOf(file, String(key))
      const error = thrownBy(() => signerFromFile(path, options))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
      expect(error.cause).toBeUndefined()
      expect(error.message.startsWith(`signerFromFile: "${path}": expected `)).toBe(true)
      expect(error.message).toContain(says)
      expect(error.message.replace(path, '')).not.toMatch(/[\w+/-]{40}|horse|another passphrase/)
    },
  )
})

describe('signerFromFile', () => {
  it('signs with the key of a file that only its owner reads', async () => {
    const { pem: text, publicKeyObject } = await testKey('ES256')
    const signer = signerFromFile(fileOf('key.pem', text), { kid: 'k1' })
    const jwt = await signJwt(signer, { claims: {} })
    expect((await compactVerify(jwt, publicKeyObject)).protectedHeader).toEqual({ alg: 'ES256', kid: 'k1' })
  })

  it('F9.07 opens an encrypted file with its passphrase', async () => {
    const { keyObject, publicKeyObject } = await testKey('PS256')
    const path = fileOf('locked.pem', locked(keyObject).replaceAll('\n', '\r\n'))
    const signer = signerFromFile(path, { alg: 'PS256', passphrase: PASSPHRASE, permissions: 'any' })
    const jwt = await signJwt(signer, { claims: {} })
    expect((await compactVerify(jwt, publicKeyObject)).protectedHeader).toEqual({ alg: 'PS256' })
  })
})
