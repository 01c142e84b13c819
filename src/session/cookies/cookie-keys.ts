import type { CryptoKey } from 'jose'
import { keyBytes, keyInvalid, type NamedKeys, namedKeys } from '../../store/index.ts'
import { describe, lazy } from '../../util/index.ts'

/** One key of `cookieSessions`. */
export interface CookieKey {
  /** Names the key in every cookie, readable: 1 to 64 letters, digits, `-` and `_`. Never given to another key. */
  readonly id: string
  /** 32 random bytes or more, as they are or as text in base64 or base64url. */
  readonly key: Uint8Array | string
}

/** A key that has been looked at. */
export interface CookieRingKey {
  readonly id: string
  /** The key of one session, for cookies of one name. */
  keyOf(session: string, purpose: string): Promise<CryptoKey>
}

const SUBJECT = 'cookieSessions'
/** HKDF cannot make more of a key than there is in it (RFC 5869 section 4). */
const MIN_BYTES = 32
const encoder = new TextEncoder()

/**
 * Looks at all keys and uses none.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, which names ids and lengths, never a key.
 */
export function createCookieRing(keys: unknown): NamedKeys<CookieRingKey> {
  return namedKeys(SUBJECT, keys, ({ id, key }) => {
    const bytes = keyBytes(key)
    if (bytes === undefined) {
      const got = typeof key === 'string' ? 'another text' : describe(key)
      throw keyInvalid(SUBJECT, `key "${id}" to be bytes, or text in base64 or base64url`, got)
    }
    if (bytes.length < MIN_BYTES) {
      throw keyInvalid(SUBJECT, `key "${id}" to have ${MIN_BYTES} bytes or more`, `${bytes.length} bytes`)
    }
    const material = lazy(() => crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveKey']))
    return { id, keyOf: async (session, purpose) => derived(await material(), session, purpose) }
  })
}

/** RFC 5869: no key of a session encrypts more than its cookies, and none of them serves for anything else. */
function derived(material: CryptoKey, session: string, purpose: string): Promise<CryptoKey> {
  const derivation = { name: 'HKDF', hash: 'SHA-256', salt: encoder.encode(session), info: encoder.encode(purpose) }
  return crypto.subtle.deriveKey(derivation, material, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
}
