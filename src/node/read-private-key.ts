import { createPrivateKey, createPublicKey, KeyObject, sign, verify } from 'node:crypto'
import type { JsonWebKey, KeyKind } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'

/** A private key in any form that Node reads: PEM (PKCS #8, encrypted PKCS #8, SEC 1, PKCS #1), JWK or `KeyObject`. */
export type NodeKey = string | Uint8Array | JsonWebKey | KeyObject

/** A private key that has been read. */
export interface ReadKey {
  readonly keyObject: KeyObject
  readonly kind: KeyKind
  /** The JWK that it came as, whose `alg` and `kid` hold unless others are given. */
  readonly own: JsonWebKey | undefined
}

/** What Node calls curves, in the words of JWK; other curves keep their names, and are refused by them. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

/** Reads a private key, or throws ConfigurationError with code `key_invalid`, which tells what kind of thing came instead. */
export function readPrivateKey(key: NodeKey, passphrase: string | undefined): ReadKey {
  if (key instanceof KeyObject) return { keyObject: key, kind: kindOf(key), own: undefined }
  if (typeof key === 'string') return readPem(key, passphrase)
  if (key instanceof Uint8Array) return readPem(new TextDecoder().decode(key), passphrase)
  return readJwk(key)
}

function kindOf(key: KeyObject): KeyKind {
  if (key.type !== 'private') throw keyInvalid('a private key', `a ${key.type} key`)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const curve = details?.namedCurve ?? 'one without name'
  const kind = { rsa: 'RSA', ec: CURVES[curve], ed25519: 'Ed25519' }[String(type)]
  if (kind !== undefined) return kind as KeyKind
  const came = type === 'ec' ? `an EC key on another curve (${curve})` : `a key of type ${type}`
  throw keyInvalid('an RSA, P-256, P-384, P-521 or Ed25519 key', came)
}

function readPem(text: string, passphrase: string | undefined): ReadKey {
  let keyObject: KeyObject
  try {
    keyObject = createPrivateKey({ key: text, format: 'pem', ...(passphrase !== undefined && { passphrase }) })
  } catch {
    // The cause is left out: it may quote the key.
    throw keyInvalid('a private key in PEM', whatIs(text, passphrase))
  }
  return { keyObject, kind: kindOf(keyObject), own: undefined }
}

export const LABELS: RegExp = /-----BEGIN ([A-Z0-9 ]+)-----/g

/** A few words on a text that is no private key, or none that opens. */
export function whatIs(text: string, passphrase: string | undefined): string {
  const labels = Array.from(text.matchAll(LABELS), ([, label = '']) => label)
  // Parameters and certificates may stand before a key.
  const label = labels.find((one) => one.endsWith('PRIVATE KEY')) ?? labels[0]
  if (label === undefined) return text.trim() === '' ? 'an empty text' : 'a text that is not PEM'
  if (label === 'ENCRYPTED PRIVATE KEY' || text.includes('Proc-Type: 4,ENCRYPTED')) {
    return passphrase === undefined ? 'an encrypted one without passphrase' : 'one that its passphrase does not open'
  }
  const kind = `PEM of a ${label.toLowerCase()}`
  return label.endsWith('PRIVATE KEY') ? `${kind} that is damaged` : kind
}

function readJwk(jwk: JsonWebKey): ReadKey {
  if (typeof jwk !== 'object' || jwk === null) throw keyInvalid('a private key', describe(jwk))
  const { kty, d } = jwk
  if (kty === 'oct') throw keyInvalid('an asymmetric private key', 'a symmetric JWK')
  if (typeof kty !== 'string') throw keyInvalid('a private key as PEM, JWK or KeyObject', 'another object')
  if (typeof d !== 'string') throw keyInvalid('a private JWK', 'a JWK without "d"')
  let keyObject: KeyObject
  try {
    keyObject = createPrivateKey({ key: jwk as import('node:crypto').JsonWebKey, format: 'jwk' })
  } catch {
    throw keyInvalid('a private JWK', 'one that does not import')
  }
  const kind = kindOf(keyObject)
  if (!isWhole(keyObject)) throw keyInvalid('a private JWK', 'one whose public half belongs to another key')
  return { keyObject, kind, own: jwk }
}

/** Node takes the public members of a JWK on trust; servers would only say that the client is not authenticated. */
function isWhole(key: KeyObject): boolean {
  const data = new Uint8Array(1)
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  try {
    return verify(hash, data, createPublicKey(key), sign(hash, data, key))
  } catch {
    return false
  }
}

function keyInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
