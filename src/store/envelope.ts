import type { EntryFault } from '../telemetry/index.ts'
import { base64url, canonicalText, fromBase64url } from '../util/index.ts'
import type { EncryptionRing } from './encryption-keys.ts'

/** What an entry holds, readable to nobody without the key. */
export interface Entry {
  readonly value: string
  /** Milliseconds since the epoch, whatever the store believes. */
  readonly expiresAt: number
  /** Grows with every write of the entry. */
  readonly generation: number
}

/** The longest token three times. A longer text is not worth decoding. */
export const MAX_SEALED_LENGTH = 262_144
const IV_BYTES = 12
/** Format, key id, IV and ciphertext with its tag. None of their characters is a separator. */
const ENVELOPE = /^([a-z]\d{1,9})\.([\w-]{1,64})\.([\w-]{16})\.([\w-]+)$/
const FORMAT = /^([a-z])\d{1,9}(?=\.)/

/** An entry as the store gets it, bound to its key there. */
export async function seal(key: string, entry: Entry, { first, format }: EncryptionRing): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  // JSON, because it keeps every string as it is, half a surrogate pair too; instants beyond all whole numbers are none to it.
  const expiresAt = Math.min(entry.expiresAt, Number.MAX_SAFE_INTEGER)
  const text = JSON.stringify([entry.generation, expiresAt, entry.value])
  const plaintext = new TextEncoder().encode(text)
  const associated = [format, first.id, key]
  const ciphertext = await crypto.subtle.encrypt(parameters(iv, associated), await first.use(key), plaintext)
  return [format, first.id, base64url(iv), base64url(new Uint8Array(ciphertext))].join('.')
}

/** What `seal` was given, or why the text does not tell. */
export async function unseal(key: string, text: string, ring: EncryptionRing): Promise<Entry | EntryFault> {
  const [, format = '', id = '', ivText = '', ciphertextText = ''] = ENVELOPE.exec(text) ?? []
  const iv = bytesOf(ivText)
  const ciphertext = bytesOf(ciphertextText)
  if (format !== ring.format || iv === undefined || ciphertext === undefined) {
    return isOtherVersion(text, ring.format) ? 'unknown_version' : 'malformed'
  }
  const ringKey = ring.find(id)
  if (ringKey === undefined) return 'unknown_key'
  const aesKey = await ringKey.use(key)
  let plaintext: ArrayBuffer
  try {
    plaintext = await crypto.subtle.decrypt(parameters(iv, [format, id, key]), aesKey, ciphertext)
  } catch {
    // All that an AEAD says, and all that may be told.
    return 'not_authentic'
  }
  return entryOf(new TextDecoder().decode(plaintext)) ?? 'malformed'
}

/**
 * Everything that stands beside the ciphertext is authenticated with it, and so is the place that it was written for: an
 * entry that is copied over another one does not decrypt.
 */
function parameters(iv: Uint8Array<ArrayBuffer>, associated: readonly string[]): AesGcmParams {
  return { name: 'AES-GCM', iv, additionalData: new TextEncoder().encode(canonicalText(associated)) }
}

/** Of the same letter and another number. */
function isOtherVersion(text: string, format: string): boolean {
  const [found, letter] = FORMAT.exec(text) ?? []
  return found !== undefined && found !== format && letter === format[0]
}

/** The bytes of the one text that stands for them; the last character of another one may differ in bits that are not read. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = fromBase64url(text)
  return bytes === undefined || base64url(bytes) !== text ? undefined : bytes
}

function entryOf(text: string): Entry | undefined {
  const members: unknown = JSON.parse(text)
  if (!Array.isArray(members)) return undefined
  const [generation, expiresAt, value] = members as readonly unknown[]
  if (typeof generation !== 'number' || typeof expiresAt !== 'number' || typeof value !== 'string') return undefined
  return { generation, expiresAt, value }
}
