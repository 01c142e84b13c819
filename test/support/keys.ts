import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { CryptoKey } from 'jose'

/** Every JWS algorithm that a key can be made for. */
export const SIGNING_ALGS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const
export type SigningAlg = (typeof SIGNING_ALGS)[number]

/** One private key in each form that people have it in; all of them are the same key. */
export interface TestKey {
  readonly alg: SigningAlg
  readonly kid: string
  /** With `kid` and `alg`. */
  readonly jwk: Readonly<Record<string, unknown>>
  /** The public part of `jwk`, with `kid`, `alg` and `use`, as a server registers it. */
  readonly publicJwk: Readonly<Record<string, unknown>>
  /** PKCS #8. */
  readonly pem: string
  readonly keyObject: KeyObject
  readonly publicKeyObject: KeyObject
  /** Its private half cannot be exported. */
  readonly cryptoKeyPair: { readonly privateKey: CryptoKey; readonly publicKey: CryptoKey }
}

interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const generate = promisify(generateKeyPair)
const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }
const keys = new Map<SigningAlg, Promise<TestKey>>()
let rsaPair: Promise<KeyPair> | undefined

/** The key of this process for an algorithm, made when it is first asked for. */
export function testKey(alg: SigningAlg): Promise<TestKey> {
  const known = keys.get(alg)
  if (known !== undefined) return known
  const made = pairFor(alg).then((pair) => formsOf(pair, alg, `key-${alg}`))
  keys.set(alg, made)
  return made
}

function pairFor(alg: SigningAlg): Promise<KeyPair> {
  if (!isRsa(alg)) return generatePair(alg)
  // One pair for six algorithms: RSA keys take long to make.
  rsaPair ??= generatePair(alg)
  return rsaPair
}

/** Another key each time, for rotation and for keys that nobody knows. */
export async function createTestKey(alg: SigningAlg, kid: string): Promise<TestKey> {
  return formsOf(await generatePair(alg), alg, kid)
}

function generatePair(alg: SigningAlg): Promise<KeyPair> {
  if (isRsa(alg)) return generate('rsa', { modulusLength: 2048 })
  return alg === 'EdDSA' ? generate('ed25519') : generate('ec', { namedCurve: CURVES[alg] ?? alg })
}

async function formsOf({ privateKey, publicKey }: KeyPair, alg: SigningAlg, kid: string): Promise<TestKey> {
  return {
    alg,
    kid,
    jwk: { ...privateKey.export({ format: 'jwk' }), alg, kid },
    publicJwk: { ...publicKey.export({ format: 'jwk' }), alg, kid, use: 'sig' },
    pem: String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    keyObject: privateKey,
    publicKeyObject: publicKey,
    cryptoKeyPair: {
      privateKey: await crypto.subtle.importKey(
        'pkcs8',
        privateKey.export({ format: 'der', type: 'pkcs8' }),
        importParameters(alg),
        false,
        ['sign'],
      ),
      publicKey: await crypto.subtle.importKey(
        'spki',
        publicKey.export({ format: 'der', type: 'spki' }),
        importParameters(alg),
        true,
        ['verify'],
      ),
    },
  }
}

function importParameters(alg: SigningAlg): { name: string; hash?: string; namedCurve?: string } {
  if (alg === 'EdDSA') return { name: 'Ed25519' }
  if (!isRsa(alg)) return { name: 'ECDSA', namedCurve: CURVES[alg] ?? alg }
  return { name: alg.startsWith('PS') ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5', hash: `SHA-${alg.slice(2)}` }
}

function isRsa(alg: SigningAlg): boolean {
  return alg.startsWith('RS') || alg.startsWith('PS')
}
