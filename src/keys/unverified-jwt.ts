import { fromBase64url } from '../util/index.ts'
import { signatureBytes } from './raw-signature.ts'

/** A JWT that somebody else made, as far as it can be read without its key. Nothing in it is proved. */
export interface UnverifiedJwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** RSA with 1024 bits, weaker keys are nobody's; sizes are whole words. */
const MIN_RSA_BYTES = 128
const WORD_BYTES = 8
/** EdDSA with Ed448 (RFC 8037 section 3.1). */
const ED448_BYTES = 114

/**
 * Reads a JWT (RFC 7519) without verifying it; `undefined` when it is none, or not whole: a signature that is shorter or longer than its
 * algorithm makes it.
 */
export function readUnverifiedJwt(text: string): UnverifiedJwt | undefined {
  const parts = text.split('.')
  if (parts.length !== 3) return undefined
  const [header, claims] = parts.map(objectIn)
  const signature = fromBase64url(parts[2] ?? '')
  if (header === undefined || claims === undefined || signature === undefined) return undefined
  const { alg } = header
  return typeof alg === 'string' && isWhole(alg, signature.length) ? { header, claims } : undefined
}

function isWhole(alg: string, bytes: number): boolean {
  const exact = alg.startsWith('HS') ? Number(alg.slice(2)) / 8 : signatureBytes(alg)
  if (exact !== undefined) return bytes === exact || (alg === 'EdDSA' && bytes === ED448_BYTES)
  return /^[RP]S/.test(alg) ? bytes >= MIN_RSA_BYTES && bytes % WORD_BYTES === 0 : bytes > 0
}

function objectIn(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = fromBase64url(part)
  if (bytes === undefined) return undefined
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  } catch {
    return undefined
  }
}
