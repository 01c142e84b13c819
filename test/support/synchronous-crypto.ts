import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { seededRandom } from './interleaving.ts'

interface Key {
  readonly bytes: Uint8Array
}

interface Derivation {
  readonly salt: Uint8Array
  readonly info: Uint8Array
}

const TAG_BYTES = 16

/**
 * What sessions use of Web Crypto, computed at once instead of in threads, whose order nobody can play again; random numbers follow from a seed. The results are
 * those of the original.
 */
export function synchronousCrypto(seed: number): object {
  const random = seededRandom(seed)
  return {
    randomUUID: () => crypto.randomUUID(),
    getRandomValues(array: Uint8Array | Uint32Array) {
      for (let i = 0; i < array.length; i++) array[i] = random() * 2 ** 32
      return array
    },
    subtle: {
      digest: async (_name: string, bytes: Uint8Array) => arrayBuffer(createHash('sha256').update(bytes).digest()),
      importKey: async (_format: string, bytes: Uint8Array): Promise<Key> => ({ bytes }),
      deriveKey: async ({ salt, info }: Derivation, { bytes }: Key): Promise<Key> => ({
        bytes: new Uint8Array(hkdfSync('sha256', bytes, salt, info, 32)),
      }),
      async encrypt({ iv }: { readonly iv: Uint8Array }, { bytes }: Key, plain: Uint8Array) {
        const cipher = createCipheriv('aes-256-gcm', bytes, iv)
        return arrayBuffer(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]))
      },
      async decrypt({ iv }: { readonly iv: Uint8Array }, { bytes }: Key, sealed: Uint8Array) {
        const decipher = createDecipheriv('aes-256-gcm', bytes, iv)
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
        return arrayBuffer(Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]))
      },
    },
  }
}

function arrayBuffer(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer
}
