import { describe } from '../util/index.ts'
import { type GivenKey, keyBytes, keyInvalid, type NamedKeys, namedKeys } from './named-keys.ts'

/** An AES-GCM key of 256 bits as `crypto.subtle` makes and imports it. */
export type AesKey = Extract<Awaited<ReturnType<typeof crypto.subtle.generateKey>>, { readonly type: string }>

/** One key of `EncryptionKeys`. */
export interface EncryptionKey {
  /** Names the key in every entry, readable: 1 to 64 letters, digits, `-` and `_`. Never given to another key. */
  readonly id: string
  /** 32 random bytes, as they are or as text in base64 or base64url, or an AES-GCM key of 256 bits. */
  readonly key: Uint8Array | string | AesKey
}

/** The keys of an `encryptedStore`: the first one encrypts, all of them decrypt. */
export interface EncryptionKeys {
  readonly keys: readonly EncryptionKey[]
}

/** A key that has been looked at, ready when it is first needed. */
export interface RingKey {
  readonly id: string
  /** Imported once, at the first call. */
  use(): Promise<AesKey>
}

/** Keys by their ids. */
export type EncryptionRing = NamedKeys<RingKey>

const SUBJECT = 'encryptedStore'
const KEY_BYTES = 32

/**
 * Looks at all keys and uses none.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, which names ids and lengths, never a key.
 */
export function createEncryptionRing(given: EncryptionKeys): EncryptionRing {
  return namedKeys(SUBJECT, Object(given).keys, (key) => ({ id: key.id, use: once(materialOf(key)) }))
}

function materialOf({ id, key, encrypts }: GivenKey): () => Promise<AesKey> {
  const bytes = keyBytes(key)
  if (bytes !== undefined) {
    if (bytes.length !== KEY_BYTES)
      throw keyInvalid(SUBJECT, `key "${id}" to have ${KEY_BYTES} bytes`, `${bytes.length} bytes`)
    return () => crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
  }
  if (typeof key === 'string') throw keyInvalid(SUBJECT, `key "${id}" to be base64 or base64url`, 'another text')
  const handle = aesKeyOf(key)
  if (handle === undefined)
    throw keyInvalid(SUBJECT, `key "${id}" to be bytes, text or an AES-GCM key of 256 bits`, describe(key))
  const usages = encrypts ? ['encrypt', 'decrypt'] : ['decrypt']
  const missing = usages.find((usage) => !handle.usages.some((has) => has === usage))
  if (missing !== undefined) throw keyInvalid(SUBJECT, `key "${id}" to have the usage "${missing}"`, 'a key without')
  return () => Promise.resolve(handle)
}

function aesKeyOf(key: unknown): AesKey | undefined {
  const { type, algorithm, usages } = Object(key)
  const { name, length } = Object(algorithm)
  const isAes = type === 'secret' && name === 'AES-GCM' && length === KEY_BYTES * 8 && Array.isArray(usages)
  return isAes ? (key as AesKey) : undefined
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
