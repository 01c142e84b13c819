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

const VERSION = 'v1'
const IV_BYTES = 12
/** Version, key id, IV and ciphertext with its tag. None of their characters is a separator. */
const ENVELOPE = /^v1\.([\w-]{1,64})\.([\w-]{16})\.([\w-]+)$/
const OTHER_VERSION = /^v\d{1,9}\./

/** An entry as the store gets it, bound to its key there. */
export async function seal(key: string, entry: Entry, { first }: EncryptionRing): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  // JSON, because it keeps every string as it is, half a surrogate pair too.
  const text = JSON.stringify([entry.generation, entry.expiresAt, entry.value])
  const plaintext = new TextEncoder().encode(text)
  const ciphertext = await crypto.subtle.encrypt(parameters(iv, first.id, key), await first.use(), plaintext)
  return [VERSION, first.id, base64url(iv), base64url(new Uint8Array(ciphertext))].join('.')
}

/** What `seal` was given, or why the text does not tell. */
export async function unseal(key: string, text: string, ring: EncryptionRing): Promise<Entry | EntryFault> {
  const [, id = '', ivText = '', ciphertextText = ''] = ENVELOPE.exec(text) ?? []
  const iv = bytesOf(ivText)
  const ciphertext = bytesOf(ciphertextText)
  if (id === '' || iv === undefined || ciphertext === undefined) {
    return OTHER_VERSION.test(text) && !text.startsWith(`${VERSION}.`) ? 'unknown_version' : 'malformed'
  }
  const ringKey = ring.find(id)
  if (ringKey === undefined) return 'unknown_key'
  const aesKey = await ringKey.use()
  let plaintext: ArrayBuffer
  try {
    plaintext = await crypto.subtle.decrypt(parameters(iv, id, key), aesKey, ciphertext)
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
function parameters(iv: Uint8Array<ArrayBuffer>, id: string, key: string): AesGcmParams {
  return { name: 'AES-GCM', iv, additionalData: new TextEncoder().encode(canonicalText([VERSION, id, key])) }
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
