import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'
import { ALGORITHMS, MIN_RSA_BITS } from './algorithms.ts'

/** Bytes of R and of S (RFC 7518 section 3.4). */
const COORDINATE_BYTES: ReadonlyMap<string, number> = new Map([
  ['ES256', 32],
  ['ES384', 48],
  ['ES512', 66],
])

const SEQUENCE = 0x30
const INTEGER = 0x02

/**
 * The raw signature, R || S, of an ECDSA signature in DER (RFC 3279 section 2.2.3): most key management services answer with the
 * latter, and a JWS holds the former (RFC 7518 section 3.4).
 *
 * @throws ConfigurationError with code `signature_invalid` when it is no such DER, to the byte, or its numbers do not fit `alg`.
 */
export function rawSignatureFromDer(der: Uint8Array, alg: string): Uint8Array<ArrayBuffer> {
  const width = COORDINATE_BYTES.get(alg)
  if (width === undefined) throw signatureInvalid(`an algorithm out of ${[...COORDINATE_BYTES.keys()].join(', ')}`, alg)
  if (!isBytes(der)) throw signatureInvalid('bytes', describe(der))
  const sequence = readValue(der, SEQUENCE)
  const r = sequence && readValue(sequence.content, INTEGER)
  const s = r && readValue(r.rest, INTEGER)
  if (sequence === undefined || r === undefined || s === undefined) {
    throw signatureInvalid('a DER sequence of two integers', `${der.length} bytes of something else`)
  }
  const left = sequence.rest.length + s.rest.length
  if (left > 0) throw signatureInvalid('a DER sequence of two integers and nothing after them', `${left} bytes more`)
  const raw = new Uint8Array(2 * width)
  place(r.content, raw.subarray(0, width), alg)
  place(s.content, raw.subarray(width), alg)
  return raw
}

/** Whether a value is a `Uint8Array`, of whatever realm: test runners give a test globals of its own. */
function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]'
}

interface DerValue {
  readonly content: Uint8Array
  readonly rest: Uint8Array
}

/** One value whose length is written as DER demands: in the fewest bytes (X.690 section 10.1). */
function readValue(bytes: Uint8Array, tag: number): DerValue | undefined {
  const [found, first = 0x80, second = 0] = bytes
  const isLong = first === 0x81 && second >= 0x80
  const length = isLong ? second : first
  const start = isLong ? 3 : 2
  // No signature is so long that its length takes two bytes.
  if (found !== tag || (!isLong && first >= 0x80) || start + length > bytes.length) return undefined
  return { content: bytes.subarray(start, start + length), rest: bytes.subarray(start + length) }
}

/** Writes a positive integer, which has no byte too many (X.690 section 8.3.2), at the end of its coordinate. */
function place(integer: Uint8Array, coordinate: Uint8Array, alg: string): void {
  const [first = 0, second = 0] = integer
  const isPositive = integer.length > 0 && first < 0x80 && (first > 0 || integer.length > 1)
  if (!isPositive) throw signatureInvalid('two positive integers', 'one that is zero, negative or empty')
  if (first === 0 && second < 0x80) throw signatureInvalid('integers in the fewest bytes', 'one with a zero too many')
  const digits = first === 0 ? integer.subarray(1) : integer
  if (digits.length > coordinate.length) {
    throw signatureInvalid(`integers of at most ${coordinate.length} bytes for ${alg}`, `one of ${digits.length}`)
  }
  coordinate.set(digits, coordinate.length - digits.length)
}

/** Bytes of an EdDSA signature with Ed25519 (RFC 8032 section 5.1.6). */
const ED25519_BYTES = 64
/** RSA signatures are as long as the modulus. */
const MIN_RSA_BYTES = MIN_RSA_BITS / 8

/** How long a signature of an algorithm is, in bytes; `undefined` for RSA, where the key tells, and for what nobody here knows. */
export function signatureBytes(alg: string): number | undefined {
  const width = COORDINATE_BYTES.get(alg)
  if (width !== undefined) return 2 * width
  return ALGORITHMS.get(alg)?.kind === 'Ed25519' ? ED25519_BYTES : undefined
}

/**
 * Refuses what cannot be the signature of an algorithm: servers would only say that the client is not authenticated.
 *
 * @throws ConfigurationError with code `signature_invalid`, which tells the length and never the bytes.
 */
export function assertSignature(signature: unknown, alg: string): asserts signature is Uint8Array {
  if (!isBytes(signature)) throw signatureInvalid(`bytes for ${alg}`, describe(signature))
  const { length } = signature
  const width = COORDINATE_BYTES.get(alg)
  if (width !== undefined && length !== 2 * width) {
    const came = readValue(signature, SEQUENCE)?.rest.length === 0 ? `${length} bytes of DER` : `${length} bytes`
    throw signatureInvalid(`${2 * width} bytes (R || S) for ${alg}`, came)
  }
  const kind = ALGORITHMS.get(alg)?.kind
  if (kind === 'Ed25519' && length !== ED25519_BYTES) {
    throw signatureInvalid(`${ED25519_BYTES} bytes for ${alg}`, `${length} bytes`)
  }
  if (length >= (kind === 'RSA' ? MIN_RSA_BYTES : 1)) return
  throw signatureInvalid(`at least ${kind === 'RSA' ? MIN_RSA_BYTES : 1} bytes for ${alg}`, `${length} bytes`)
}

/** What a signer gave is not a signature. */
function signatureInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`signature: expected ${expected}, got ${came}`, { code: 'signature_invalid' })
}
