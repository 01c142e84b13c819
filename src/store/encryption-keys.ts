import { ConfigurationError } from '../token/index.ts'
import { describe, fromBase64url } from '../util/index.ts'
import type { AesKey, KeyUse } from './key-uses.ts'

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
export interface EncryptionRing {
  /** The form of what they encrypt; see `KeyUse`. */
  readonly format: string
  /** The key that encrypts. */
  readonly first: RingKey
  find(id: string): RingKey | undefined
}

const KEY_BYTES = 32
const ID = /^[\w-]{1,64}$/

/**
 * Looks at all keys and uses none.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, which names ids and lengths, never a key.
 */
export function createEncryptionRing(given: EncryptionKeys, use: KeyUse): EncryptionRing {
  const keys: unknown = Object(given).keys
  const invalid = faultsOf(use)
  if (!Array.isArray(keys)) throw invalid('keys to be a list', describe(keys))
  const ring = new Map<string, RingKey>()
  for (const [at, entry] of keys.entries()) {
    const { id, key }: { readonly id?: unknown; readonly key?: unknown } = Object(entry)
    if (typeof id !== 'string' || !ID.test(id)) {
      throw invalid(`keys[${at}].id to be 1 to 64 letters, digits, "-" or "_"`, idFault(id))
    }
    if (ring.has(id)) throw invalid('every id once', `"${id}" twice`)
    const base = once(materialOf({ id, key, encrypts: at === 0 }, use))
    ring.set(id, { id, use: async (name) => use.keyFor(await base(), id, name) })
  }
  const [first] = ring.values()
  if (first === undefined) throw invalid('keys to hold one key or more', 'none')
  return { format: use.format, first, find: (id) => ring.get(id) }
}

interface Candidate {
  readonly id: string
  readonly key: unknown
  readonly encrypts: boolean
}

function materialOf({ id, key, encrypts }: Candidate, use: KeyUse): () => Promise<AesKey> {
  const invalid = faultsOf(use)
  const bytes = typeof key === 'string' ? bytesOfText(key) : copyOf(key)
  if (bytes !== undefined) {
    if (bytes.length !== KEY_BYTES) throw invalid(`key "${id}" to have ${KEY_BYTES} bytes`, `${bytes.length} bytes`)
    return () => use.imported(bytes)
  }
  if (typeof key === 'string') throw invalid(`key "${id}" to be base64 or base64url`, 'another text')
  if (!use.isHandle(key)) throw invalid(`key "${id}" to be bytes, text or ${use.handle}`, describe(key))
  const missing = use.usages(encrypts).find((usage) => !key.usages.some((has) => has === usage))
  if (missing !== undefined) throw invalid(`key "${id}" to have the usage "${missing}"`, 'a key without')
  return () => Promise.resolve(key)
}

/** Keys that a program or a person wrote down often end with a line end. */
function bytesOfText(text: string): Uint8Array<ArrayBuffer> | undefined {
  const unpadded = text.trim().replace(/={1,2}$/, '')
  return fromBase64url(unpadded.replaceAll('+', '-').replaceAll('/', '_'))
}

/** A copy: what the caller does to its bytes afterwards, zeroing them say, must not change the key. */
function copyOf(key: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (!ArrayBuffer.isView(key)) return undefined
  return new Uint8Array(new Uint8Array(key.buffer, key.byteOffset, key.byteLength))
}

/** Not the id itself: somebody may have written the key in its place. */
function idFault(id: unknown): string {
  return typeof id === 'string' && id !== '' ? 'another text' : describe(id)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}

function faultsOf({ subject }: KeyUse): (expected: string, got: string) => ConfigurationError {
  return (expected, got) =>
    new ConfigurationError(`${subject}: expected ${expected}, got ${got}`, { code: 'encryption_key_invalid' })
}
