import type { Handle, Template } from 'pkcs11js'
import type { KeyKind, Signer } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { ckrOf, type Pkcs11Library } from './pkcs11-library.ts'

/** How a key is named on its token. */
export interface Pkcs11KeyName {
  readonly keyLabel?: string | undefined
  /** In hexadecimal. */
  readonly keyId?: string | undefined
}

/** A library and a session in it. */
export interface Pkcs11Session {
  readonly library: Pkcs11Library
  readonly handle: Handle
}

/** What the public part of a key on a token tells. */
export interface Pkcs11PublicKey {
  readonly kind: KeyKind
  readonly rsaBits?: number | undefined
  readonly publicJwk: Signer['publicJwk']
}

/** The one private key of a name. */
export function findPrivateKey(session: Pkcs11Session, { keyLabel, keyId }: Pkcs11KeyName): Handle {
  const { names } = session.library
  const keys = find(session, [
    { type: names.CKA_CLASS, value: names.CKO_PRIVATE_KEY },
    ...(keyLabel === undefined ? [] : [{ type: names.CKA_LABEL, value: keyLabel }]),
    ...(keyId === undefined ? [] : [{ type: names.CKA_ID, value: Buffer.from(keyId, 'hex') }]),
  ])
  const [key] = keys
  if (key !== undefined && keys.length === 1) return key
  const wanted = [keyLabel === undefined ? '' : ` label "${keyLabel}"`, keyId === undefined ? '' : ` id ${keyId}`]
  throw keyNotFound(`one private key with${wanted.join('')}`, String(keys.length))
}

/** Reads the public part of a key: of the private object where that has it, of the public object beside it otherwise. */
export function readPublicKey(session: Pkcs11Session, key: Handle): Pkcs11PublicKey {
  const { names } = session.library
  const type = read(session, key, names.CKA_KEY_TYPE)?.readUInt32LE(0)
  if (type === names.CKK_RSA) return readRsa(session, key)
  if (type === names.CKK_EC) return readEc(session, key)
  throw keyInvalid('an RSA or EC key', 'a key of another type')
}

function readRsa(session: Pkcs11Session, key: Handle): Pkcs11PublicKey {
  const { names } = session.library
  const publicKey = read(session, key, names.CKA_PUBLIC_EXPONENT) === undefined ? publicOf(session, key) : key
  const n = significant(read(session, publicKey, names.CKA_MODULUS))
  const e = significant(read(session, publicKey, names.CKA_PUBLIC_EXPONENT))
  return {
    kind: 'RSA',
    rsaBits: n.length * 8,
    publicJwk: Object.freeze({ kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }),
  }
}

function significant(integer: Buffer | undefined): Buffer {
  if (integer === undefined) throw keyNotFound('an RSA public key beside the private one', 'one without its numbers')
  return integer.subarray(
    Math.max(
      integer.findIndex((byte) => byte !== 0),
      0,
    ),
  )
}

interface Curve {
  readonly kind: KeyKind
  readonly bytes: number
}

/** Curves by the DER of their object identifier (RFC 5480 section 2.1.1.1). */
const CURVES: Readonly<Record<string, Curve>> = {
  '06082a8648ce3d030107': { kind: 'P-256', bytes: 32 },
  '06052b81040022': { kind: 'P-384', bytes: 48 },
  '06052b81040023': { kind: 'P-521', bytes: 66 },
}

function readEc(session: Pkcs11Session, key: Handle): Pkcs11PublicKey {
  const { names } = session.library
  const publicKey = publicOf(session, key)
  const curve = CURVES[read(session, publicKey, names.CKA_EC_PARAMS)?.toString('hex') ?? '']
  if (curve === undefined) throw keyInvalid('a P-256, P-384 or P-521 key', 'an EC key on another curve')
  const { kind, bytes } = curve
  // An uncompressed point (SEC 1 section 2.3.3), in an OCTET STRING by the standard and without one by some vendors.
  const point = read(session, publicKey, names.CKA_EC_POINT)?.subarray(-(2 * bytes + 1))
  if (point?.length !== 2 * bytes + 1 || point[0] !== 4) throw keyInvalid('an uncompressed EC point', 'another one')
  const [x, y] = [point.subarray(1, bytes + 1), point.subarray(bytes + 1)].map((half) => half.toString('base64url'))
  return { kind, publicJwk: Object.freeze({ kty: 'EC', crv: kind, x, y }) }
}

/** The one public object that belongs to a private one: with its id, or with its label where it has none. */
function publicOf(session: Pkcs11Session, key: Handle): Handle {
  const { names } = session.library
  const id = read(session, key, names.CKA_ID)
  const type = id === undefined ? names.CKA_LABEL : names.CKA_ID
  const value = id ?? read(session, key, names.CKA_LABEL)
  const isPublic = { type: names.CKA_CLASS, value: names.CKO_PUBLIC_KEY }
  const found = value === undefined ? [] : find(session, [isPublic, { type, value }])
  const [publicKey] = found
  if (publicKey !== undefined && found.length === 1) return publicKey
  const name = id === undefined ? 'label' : 'id'
  throw keyNotFound(`one public key with the ${name} of the private one`, String(found.length))
}

function find({ library: { module }, handle }: Pkcs11Session, template: Template): readonly Handle[] {
  module.C_FindObjectsInit(handle, template)
  try {
    // Two are enough to know that it is not one.
    return module.C_FindObjects(handle, 2)
  } finally {
    module.C_FindObjectsFinal(handle)
  }
}

const ABSENT: ReadonlySet<string | undefined> = new Set(['CKR_ATTRIBUTE_TYPE_INVALID', 'CKR_ATTRIBUTE_SENSITIVE'])

function read({ library: { module }, handle }: Pkcs11Session, object: Handle, type: number): Buffer | undefined {
  try {
    const value = module.C_GetAttributeValue(handle, object, [{ type }])[0]?.value
    return value === undefined || value.length === 0 ? undefined : value
  } catch (error) {
    if (ABSENT.has(ckrOf(error))) return undefined
    throw error
  }
}

/** No key, or not the one that is meant. */
export function keyNotFound(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`pkcs11Signer: expected ${expected}, got ${came}`, { code: 'hsm_key_not_found' })
}

/** A key that is not made for this. */
export function keyInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`pkcs11Signer: expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
