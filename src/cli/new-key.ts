import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { ALGORITHMS, type JsonWebKey, jwkThumbprint, type KeyKind, publicJwkOf } from '../keys/index.ts'
import { nodeSigner } from '../node/index.ts'

/** A key that has just been made. */
export interface NewKey {
  /** PKCS #8 (RFC 5958) in PEM. */
  readonly privatePem: string
  /** With `kid`, `alg` and `use`, as it is registered. */
  readonly publicJwk: JsonWebKey
}

/** As strong as P-256: 128 bits (NIST SP 800-57 part 1, table 2). */
const RSA_BITS = 3072

const generate = promisify(generateKeyPair)

/** Makes a key for an algorithm out of `ALGORITHMS`. Its `kid` is its thumbprint (RFC 7638) unless one is given. */
export async function newKey(alg: string, kid: string | undefined): Promise<NewKey> {
  const kind = ALGORITHMS.get(alg)?.kind ?? 'P-256'
  const privateKey = await generatePrivateKey(kind)
  const signer = nodeSigner(privateKey, { alg })
  return {
    privatePem: String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    publicJwk: publicJwkOf({ ...signer, kid: kid ?? (await jwkThumbprint(signer.publicJwk)) }),
  }
}

async function generatePrivateKey(kind: KeyKind): Promise<KeyObject> {
  const { privateKey } =
    kind === 'RSA'
      ? await generate('rsa', { modulusLength: RSA_BITS })
      : kind === 'Ed25519'
        ? await generate('ed25519')
        : await generate('ec', { namedCurve: kind })
  return privateKey
}
