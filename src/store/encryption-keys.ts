import { ConfigurationError } from '../token/index.ts'
import { describe, fromBase64url } from '../util/index.ts'

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
export interface EncryptionRing {
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
export function createEncryptionRing(given: EncryptionKeys): EncryptionRing {
  const keys: unknown = Object(given).keys
  if (!Array.isArray(keys)) throw invalid('keys to be a list', describe(keys))
  const ring = new Map<string, RingKey>()
  for (const [at, entry] of keys.entries()) {
    const { id, key }: { readonly id?: unknown; readonly key?: unknown } = Object(entry)
    if (typeof id !== 'string' || !ID.test(id)) {
      throw invalid(`keys[${at}].id to be 1 to 64 letters, digits, "-" or "_"`, idFault(id))
    }
    if (ring.has(id)) throw invalid('every id once', `"${id}" twice`)
    ring.set(id, { id, use: once(materialOf({ id, key, encrypts: at === 0 })) })
  }
  const [first] = ring.values()
  if (first === undefined) throw invalid('keys to hold one key or more', 'none')
  return { first, find: (id) => ring.get(id) }
}

interface Candidate {
  readonly id: string
  readonly key: unknown
  readonly encrypts: boolean
}

function materialOf({ id, key, encrypts }: Candidate): () => Promise<AesKey> {
  const bytes = typeof key === 'string' ? bytesOfText(key) : copyOf(key)
  if (bytes !== undefined) {
    if (bytes.length !== KEY_BYTES) throw invalid(`key "${id}" to have ${KEY_BYTES} bytes`, `${bytes.length} bytes`)
    return () => crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
  }
  if (typeof key === 'string') throw invalid(`key "${id}" to be base64 or base64url`, 'another text')
  const handle = aesKeyOf(key)
  if (handle === undefined) throw invalid(`key "${id}" to be bytes, text or an AES-GCM key of 256 bits`, describe(key))
  const usages = encrypts ? ['encrypt', 'decrypt'] : ['decrypt']
  const missing = usages.find((usage) => !handle.usages.some((has) => has === usage))
  if (missing !== undefined) throw invalid(`key "${id}" to have the usage "${missing}"`, 'a key without')
  return () => Promise.resolve(handle)
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

function aesKeyOf(key: unknown): AesKey | undefined {
  const { type, algorithm, usages } = Object(key)
  const { name, length } = Object(algorithm)
  const isAes = type === 'secret' && name === 'AES-GCM' && length === KEY_BYTES * 8 && Array.isArray(usages)
  return isAes ? (key as AesKey) : undefined
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

function invalid(expected: string, got: string): ConfigurationError {
  return new ConfigurationError(`encryptedStore: expected ${expected}, got ${got}`, { code: 'encryption_key_invalid' })
}
