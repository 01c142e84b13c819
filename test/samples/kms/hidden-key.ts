import { constants, createHash, sign } from 'node:crypto'
import { type SigningAlg, type TestKey, testKey } from '../../support/keys.ts'

/** A key as a service keeps it: it signs digests. */
export interface HiddenKey extends Pick<TestKey, 'alg' | 'publicJwk' | 'publicKeyObject'> {
  /** JWS hash of the key's algorithm, as Node calls it. */
  readonly hash: string
  /** Node signs texts only: what is to be signed is told here, so that its digest can be. */
  learn(input: Uint8Array): void
  /** Throws for a digest that is of nothing learnt. */
  sign(digest: Buffer, encoding: 'der' | 'ieee-p1363'): Buffer
}

/** The key of this process for an algorithm. */
export async function hiddenKey(alg: SigningAlg): Promise<HiddenKey> {
  const { publicJwk, publicKeyObject, keyObject } = await testKey(alg)
  const hash = `sha${alg.slice(2)}`
  const known = new Map<string, Uint8Array>()
  return {
    alg,
    publicJwk,
    publicKeyObject,
    hash,
    learn: (input) => void known.set(createHash(hash).update(input).digest('hex'), input),
    sign(digest, dsaEncoding) {
      const input = known.get(digest.toString('hex'))
      if (input === undefined)
        throw new Error(`expected a ${hash} digest of the input, got ${digest.length} other bytes`)
      const padding = alg.startsWith('PS') && {
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      }
      return sign(hash, input, { key: keyObject, dsaEncoding, ...padding })
    },
  }
}
