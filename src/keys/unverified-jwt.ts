import { fromBase64url } from '../util/index.ts'
import { signatureBytes } from './raw-signature.ts'

/** A JWT that somebody else made, as far as it can be read without its key. Nothing in it is proved. */
export interface UnverifiedJwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** RSA signatures of 1024 bits and more, in steps of 256 bits. */
const MIN_RSA_BYTES = 128
const STEP_BYTES = 32

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
  return isWhole(String(header.alg), signature.length) ? { header, claims } : undefined
}

function isWhole(alg: string, bytes: number): boolean {
  const exact = alg.startsWith('HS') ? Number(alg.slice(2)) / 8 : signatureBytes(alg)
  if (exact !== undefined) return bytes === exact
  return /^[RP]S/.test(alg) ? bytes >= MIN_RSA_BYTES && bytes % STEP_BYTES === 0 : bytes > 0
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
