import { type Awaitable, canonicalText } from '../util/index.ts'

/** An AES-GCM key of 256 bits as `crypto.subtle` makes and imports it. */
export type AesKey = Extract<Awaited<ReturnType<typeof crypto.subtle.generateKey>>, { readonly type: string }>

/** What is done with the keys of a ring. */
export interface KeyUse {
  /** Whose ring it is, for messages. */
  readonly subject: string
  /** What stands before everything that is encrypted in this way: a letter for the kind, a number for the version. */
  readonly format: string
  /** What a key that cannot be exported has to be, in words. */
  readonly handle: string
  isHandle(key: unknown): key is AesKey
  /** What such a key has to be allowed for. */
  usages(encrypts: boolean): readonly string[]
  imported(bytes: Uint8Array<ArrayBuffer>): Promise<AesKey>
  /** The key that encrypts what is kept under a name. */
  keyFor(base: AesKey, id: string, name: string): Awaitable<AesKey>
}

const BITS = 256
const BOTH = ['encrypt', 'decrypt'] as const

/** The keys themselves encrypt: at most 2^32 times each (NIST SP 800-38D section 8.3). */
export function oneKey(subject: string): KeyUse {
  return {
    subject,
    format: 'v1',
    handle: `an AES-GCM key of ${BITS} bits`,
    isHandle: (key): key is AesKey => isSecret(key, 'AES-GCM') && Object(key.algorithm).length === BITS,
    usages: (encrypts) => (encrypts ? BOTH : ['decrypt']),
    imported: (bytes) => crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, BOTH),
    keyFor: (base) => base,
  }
}

/** Of each key comes one for every name (HKDF-SHA-256, RFC 5869), so that no name's writes count together with those of another. */
export function keyPerName(subject: string): KeyUse {
  const format = 'r1'
  return {
    subject,
    format,
    handle: 'an HKDF key, of which every record gets a key of its own',
    isHandle: (key): key is AesKey => isSecret(key, 'HKDF'),
    usages: () => ['deriveKey'],
    imported: (bytes) => crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveKey']),
    async keyFor(base, id, name) {
      const whole = new TextEncoder().encode(canonicalText([format, id, name]))
      // Hashed, since platforms take no more than a kilobyte of it.
      const info = await crypto.subtle.digest('SHA-256', whole)
      const derivation = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info }
      return crypto.subtle.deriveKey(derivation, base, { name: 'AES-GCM', length: BITS }, false, BOTH)
    },
  }
}

function isSecret(key: unknown, algorithm: string): key is AesKey {
  const { type, algorithm: own, usages } = Object(key)
  return type === 'secret' && Object(own).name === algorithm && Array.isArray(usages)
}
