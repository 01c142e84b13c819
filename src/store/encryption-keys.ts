import { describe } from '../util/index.ts'
import type { AesKey, KeyUse } from './key-uses.ts'
import { type GivenKey, keyBytes, keyInvalid, type NamedKeys, namedKeys } from './named-keys.ts'

/** One key of `EncryptionKeys`. */
export interface EncryptionKey {
  /** Names the key in every entry, readable: 1 to 64 letters, digits, `-` and `_`. Never given to another key. */
  readonly id: string
  /**
   * 32 random bytes, as they are or as text in base64 or base64url. Where they must not be seen, a CryptoKey: for an `encryptedStore` an AES-GCM
   * key of 256 bits, for `encryptedRecords` an HKDF key.
   */
  readonly key: Uint8Array | string | AesKey
}

/** The keys of an `encryptedStore` or of `encryptedRecords`: the first one encrypts, all of them decrypt. */
export interface EncryptionKeys {
  readonly keys: readonly EncryptionKey[]
}

/** A key that has been looked at, ready when it is first needed. */
export interface RingKey {
  readonly id: string
  /** The key for what is kept under a name. */
  use(name: string): Promise<AesKey>
}

/** Keys by their ids. */
export interface EncryptionRing extends NamedKeys<RingKey> {
  /** The form of what they encrypt; see `KeyUse`. */
  readonly format: string
}

const KEY_BYTES = 32

/**
 * Looks at all keys and uses none.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, which names ids and lengths, never a key.
 */
export function createEncryptionRing(given: EncryptionKeys, use: KeyUse): EncryptionRing {
  const ring = namedKeys(use.subject, Object(given).keys, (key): RingKey => {
    const { id } = key
    const base = once(materialOf(key, use))
    return { id, use: async (name) => use.keyFor(await base(), id, name) }
  })
  return { ...ring, format: use.format }
}

function materialOf({ id, key, encrypts }: GivenKey, use: KeyUse): () => Promise<AesKey> {
  const { subject } = use
  const bytes = keyBytes(key)
  if (bytes !== undefined) {
    if (bytes.length !== KEY_BYTES)
      throw keyInvalid(subject, `key "${id}" to have ${KEY_BYTES} bytes`, `${bytes.length} bytes`)
    return () => use.imported(bytes)
  }
  if (typeof key === 'string') throw keyInvalid(subject, `key "${id}" to be base64 or base64url`, 'another text')
  if (!use.isHandle(key)) throw keyInvalid(subject, `key "${id}" to be bytes, text or ${use.handle}`, describe(key))
  const missing = use.usages(encrypts).find((usage) => !key.usages.some((has) => has === usage))
  if (missing !== undefined) throw keyInvalid(subject, `key "${id}" to have the usage "${missing}"`, 'a key without')
  return () => Promise.resolve(key)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
