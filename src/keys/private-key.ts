import type { CryptoKey } from 'jose'
import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'
import { ALGORITHMS, DEFAULT_ALG, type KeyKind, type KeySort, MIN_RSA_BITS, sortOfJwk } from './algorithms.ts'
import { kindFromPkcs8, pkcs8FromPem } from './pkcs8.ts'
import type { Signer } from './signer.ts'

/** A private key as people have it. */
export type PrivateKey = Signer | string | JsonWebKey | CryptoKey | CryptoKeyPair | KeyObjectLike

/** The two halves that `crypto.subtle.generateKey` returns. */
export interface CryptoKeyPair {
  readonly privateKey: CryptoKey
  readonly publicKey: CryptoKey
}

/** JSON Web Key (RFC 7517), private members included. */
export interface JsonWebKey {
  readonly kty?: string | undefined
  readonly kid?: string | undefined
  readonly alg?: string | undefined
  readonly [member: string]: unknown
}

/** What is used of Node's `KeyObject`, so that no import of Node is needed. */
export interface KeyObjectLike {
  readonly type: string
  export(options: { readonly format: 'jwk' }): object
}

/** A key that has been looked at: its form, what kind it is, and how it signs. */
export interface ExaminedKey {
  readonly material:
    | { readonly form: 'jwk'; readonly jwk: JsonWebKey }
    | { readonly form: 'pem'; readonly pem: string }
    | { readonly form: 'crypto-key'; readonly privateKey: CryptoKey; readonly publicKey: CryptoKey | undefined }
  readonly alg: string
  readonly kid: string | undefined
}

/**
 * Looks at a private key without using it, so that a wrong one is refused where it is configured.
 *
 * @throws ConfigurationError with code `key_invalid`, which tells what kind of key came and never the key.
 */
export function examineKey(
  key: Exclude<PrivateKey, Signer>,
  { alg, kid }: { readonly alg?: string | undefined; readonly kid?: string | undefined } = {},
): ExaminedKey {
  const { material, kind, rsaBits, ownAlg, ownKid } = look(key)
  return { material, alg: chooseAlg({ kind, rsaBits }, alg ?? ownAlg), kid: kid ?? ownKid }
}

/**
 * The algorithm that a key of some kind signs with.
 *
 * @throws ConfigurationError with code `key_invalid` when the key does not fit the algorithm or is too short.
 */
export function chooseAlg({ kind, rsaBits }: KeySort, wanted?: string | undefined): string {
  const alg = wanted ?? DEFAULT_ALG[kind]
  if (!Object.hasOwn(DEFAULT_ALG, kind)) throw keyInvalid('an RSA, P-256, P-384, P-521 or Ed25519 key', 'another one')
  const algorithm = ALGORITHMS.get(alg)
  if (algorithm === undefined) throw keyInvalid(`an algorithm out of ${[...ALGORITHMS.keys()].join(', ')}`, shown(alg))
  if (algorithm.kind !== kind) throw keyInvalid(`a ${algorithm.kind} key for ${alg}`, `a ${kind} key`)
  if (rsaBits !== undefined && rsaBits < MIN_RSA_BITS) {
    throw keyInvalid(`an RSA key of at least ${MIN_RSA_BITS} bits`, `one of ${rsaBits} bits`)
  }
  return alg
}

/** An algorithm may come out of a key file, where anything may stand in its place. */
function shown(alg: unknown): string {
  return typeof alg === 'string' && /^[A-Z]{2}\d{3}K?$|^Ed(?:DSA|25519|448)$|^none$/.test(alg) ? alg : 'another'
}

interface Look extends KeySort {
  readonly material: ExaminedKey['material']
  readonly ownAlg?: string | undefined
  readonly ownKid?: string | undefined
}

function look(key: unknown): Look {
  if (typeof key === 'string') return lookAtPem(key)
  if (typeof key !== 'object' || key === null) throw keyInvalid('a private key', describe(key))
  if (isKeyObject(key)) {
    if (key.type !== 'private') throw keyInvalid('a private key', `a ${key.type} KeyObject`)
    return lookAtJwk(key.export({ format: 'jwk' }) as JsonWebKey)
  }
  if ('privateKey' in key && isCryptoKey(key.privateKey)) {
    return lookAtCryptoKey(key.privateKey, 'publicKey' in key && isCryptoKey(key.publicKey) ? key.publicKey : undefined)
  }
  if (isCryptoKey(key)) return lookAtCryptoKey(key, undefined)
  if ('kty' in key) return lookAtJwk(key as JsonWebKey)
  throw keyInvalid('a private key as PEM, JWK, CryptoKey, KeyObject or Signer', 'another object')
}

function lookAtPem(pem: string): Look {
  const der = pkcs8FromPem(pem)
  if (typeof der === 'string') throw keyInvalid('a PKCS #8 private key in PEM ("BEGIN PRIVATE KEY")', der)
  const found = kindFromPkcs8(der)
  if (found === undefined) throw keyInvalid('an RSA, P-256, P-384, P-521 or Ed25519 key', 'a PEM of another key type')
  return { material: { form: 'pem', pem }, ...found }
}

const KIND_BY_CURVE: ReadonlySet<string> = new Set(['P-256', 'P-384', 'P-521', 'Ed25519'])

const EC_MEMBERS = ['x', 'y']
/** What a private JWK has beside "d" (RFC 7518 section 6, RFC 8037 section 2); of RSA keys the platforms take whole ones only. */
const MEMBERS: Readonly<Record<KeyKind, readonly string[]>> = {
  RSA: ['n', 'e', 'p', 'q', 'dp', 'dq', 'qi'],
  'P-256': EC_MEMBERS,
  'P-384': EC_MEMBERS,
  'P-521': EC_MEMBERS,
  Ed25519: ['x'],
}

function lookAtJwk(jwk: JsonWebKey): Look {
  if (jwk.kty === 'oct') throw keyInvalid('an asymmetric private key', 'a symmetric JWK')
  const sort = sortOfJwk(jwk)
  if (sort === undefined) throw keyInvalid('an RSA, EC or Ed25519 JWK', 'a JWK of another type')
  if (typeof jwk.d !== 'string' || jwk.d === '') throw keyInvalid('a private JWK', 'a JWK without "d"')
  assertForSigning(jwk)
  for (const member of MEMBERS[sort.kind]) {
    if (typeof jwk[member] !== 'string' || jwk[member] === '') {
      throw keyInvalid(`a JWK with "${member}"`, `${describe(jwk[member])} in its place`)
    }
  }
  return {
    material: { form: 'jwk', jwk },
    ...sort,
    ownAlg: jwk.alg,
    ownKid: jwk.kid,
  }
}

/** A key that says what it is for is used for nothing else (RFC 7517 sections 4.2 and 4.3). */
function assertForSigning({ use, key_ops: operations }: JsonWebKey): void {
  if (use !== undefined && use !== 'sig') throw keyInvalid('a JWK with "use" "sig"', 'one for another use')
  if (operations === undefined || (Array.isArray(operations) && operations.includes('sign'))) return
  throw keyInvalid('a JWK with "sign" among its "key_ops"', 'one for other operations')
}

function lookAtCryptoKey(privateKey: CryptoKey, publicKey: CryptoKey | undefined): Look {
  if (privateKey.type !== 'private') throw keyInvalid('a private key', `a ${privateKey.type} CryptoKey`)
  if (!privateKey.usages.includes('sign')) throw keyInvalid('a key with usage "sign"', 'a CryptoKey without it')
  const { name, hash, namedCurve, modulusLength } = privateKey.algorithm as CryptoKeyAlgorithm
  const kind = namedCurve ?? (name.startsWith('RSA') ? 'RSA' : name)
  if (kind !== 'RSA' && !KIND_BY_CURVE.has(kind)) throw keyInvalid('an RSA, EC or Ed25519 key', `a ${name} CryptoKey`)
  const prefix = { 'RSASSA-PKCS1-v1_5': 'RS', 'RSA-PSS': 'PS' }[name]
  return {
    material: { form: 'crypto-key', privateKey, publicKey },
    kind: kind as KeyKind,
    rsaBits: modulusLength,
    // An RSA CryptoKey is bound to one scheme and hash.
    ownAlg: prefix !== undefined && hash !== undefined ? prefix + hash.name.slice('SHA-'.length) : undefined,
  }
}

interface CryptoKeyAlgorithm {
  readonly name: string
  readonly hash?: { readonly name: string }
  readonly namedCurve?: string
  readonly modulusLength?: number
}

function isCryptoKey(value: unknown): value is CryptoKey {
  return Object.prototype.toString.call(value) === '[object CryptoKey]'
}

function isKeyObject(value: object): value is KeyObjectLike {
  return 'export' in value && typeof value.export === 'function' && 'type' in value
}

function keyInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
