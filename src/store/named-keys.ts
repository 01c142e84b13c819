import { ConfigurationError } from '../token/index.ts'
import { describe, fromBase64url } from '../util/index.ts'

/** Keys by their ids. */
export interface NamedKeys<Key> {
  /** The key that encrypts. */
  readonly first: Key
  find(id: string): Key | undefined
}

/** One key as it was given. */
export interface GivenKey {
  readonly id: string
  readonly key: unknown
  readonly encrypts: boolean
}

const ID = /^[\w-]{1,64}$/

/**
 * Looks at all keys of a list: the first one encrypts, and no id is there twice.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, which names ids and lengths, never a key.
 */
export function namedKeys<Key>(subject: string, keys: unknown, make: (given: GivenKey) => Key): NamedKeys<Key> {
  if (!Array.isArray(keys)) throw keyInvalid(subject, 'keys to be a list', describe(keys))
  const ring = new Map<string, Key>()
  for (const [at, entry] of keys.entries()) {
    const { id, key }: { readonly id?: unknown; readonly key?: unknown } = Object(entry)
    if (typeof id !== 'string' || !ID.test(id)) {
      throw keyInvalid(subject, `keys[${at}].id to be 1 to 64 letters, digits, "-" or "_"`, idFault(id))
    }
    if (ring.has(id)) throw keyInvalid(subject, 'every id once', `"${id}" twice`)
    ring.set(id, make({ id, key, encrypts: at === 0 }))
  }
  const [first] = ring.values()
  if (first === undefined) throw keyInvalid(subject, 'keys to hold one key or more', 'none')
  return { first, find: (id) => ring.get(id) }
}

/** The bytes of a key: bytes as they are, or text in base64 or base64url; `undefined` for anything else. */
export function keyBytes(key: unknown): Uint8Array<ArrayBuffer> | undefined {
  return typeof key === 'string' ? bytesOfText(key) : copyOf(key)
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

/** A key that cannot be used, told without it. */
export function keyInvalid(subject: string, expected: string, got: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}, got ${got}`, { code: 'encryption_key_invalid' })
}
