import { ConfigurationError } from '../token/index.ts'

/** Bytes of one coordinate, by the ECDSA algorithms of RFC 7518 section 3.4. */
const COORDINATE_BYTES: ReadonlyMap<string, number> = new Map([
  ['ES256', 32],
  ['ES384', 48],
  ['ES512', 66],
])
const SEQUENCE = 0x30
const INTEGER = 0x02

/** How long a signature of an algorithm is, in bytes; `undefined` for RSA, where the key tells. */
export function signatureBytes(alg: string): number | undefined {
  const coordinate = COORDINATE_BYTES.get(alg)
  if (coordinate !== undefined) return 2 * coordinate
  return alg === 'EdDSA' || alg === 'Ed25519' ? 64 : undefined
}

/**
 * Turns an ECDSA signature as most key services give it (DER, RFC 3279 section 2.2.3) into the form that a JWS has: R and S side by
 * side, each as long as the curve's coordinates (RFC 7518 section 3.4).
 *
 * @throws ConfigurationError with code `signature_invalid` when the bytes are no such signature for the algorithm.
 */
export function rawSignatureFromDer(der: Uint8Array, alg: 'ES256' | 'ES384' | 'ES512'): Uint8Array {
  const size = COORDINATE_BYTES.get(alg)
  if (size === undefined) throw invalid('ES256, ES384 or ES512', 'another algorithm')
  const sequence = readValue(der, SEQUENCE)
  const r = sequence?.rest.length === 0 ? readValue(sequence.content, INTEGER) : undefined
  const s = r && readValue(r.rest, INTEGER)
  if (r === undefined || s === undefined || s.rest.length > 0) {
    throw invalid(`a DER signature of two integers for ${alg}`, `${der.length} bytes of something else`)
  }
  const raw = new Uint8Array(2 * size)
  for (const [content, end] of [[r.content, size] as const, [s.content, 2 * size] as const]) {
    const number = magnitude(content)
    if (number === undefined || number.length > size) throw invalid(`integers of at most ${size} bytes`, 'another')
    raw.set(number, end - number.length)
  }
  return raw
}

/** One value with its tag; enough for what a signature can be: lengths below 256 in one or two bytes, in their shortest form. */
function readValue(
  bytes: Uint8Array,
  tag: number,
): { readonly content: Uint8Array; readonly rest: Uint8Array } | undefined {
  const [first, short = 0, long = 0] = bytes
  if (first !== tag || bytes.length < 2) return undefined
  const isLong = short === 0x81
  if (short > 0x81 || short === 0x80 || (isLong && long < 0x80)) return undefined
  const start = isLong ? 3 : 2
  const end = start + (isLong ? long : short)
  if (end > bytes.length) return undefined
  return { content: bytes.subarray(start, end), rest: bytes.subarray(end) }
}

/** A positive INTEGER without the byte that keeps its sign; `undefined` for a negative, empty or padded one. */
function magnitude(content: Uint8Array): Uint8Array | undefined {
  const [first, second] = content
  if (first === undefined || first >= 0x80) return undefined
  if (first !== 0) return content
  if (content.length > 1 && second !== undefined && second < 0x80) return undefined
  return content.subarray(1)
}

function invalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`rawSignatureFromDer: expected ${expected}, got ${came}`, { code: 'signature_invalid' })
}
