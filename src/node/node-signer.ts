import { constants, createPublicKey, type KeyObject, type SignKeyObjectInput, sign } from 'node:crypto'
import { boundedSigner, chooseAlg, type KeyKind, type KeyOptions, type Signer } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type NodeKey, readPrivateKey } from './read-private-key.ts'

/** How a key is read and used. */
export interface NodeSignerOptions extends KeyOptions {
  /** Opens an encrypted PEM. */
  readonly passphrase?: string | undefined
}

/**
 * Makes a `Signer` on `node:crypto`, several times as fast as Web Cryptography. EC and Ed25519 keys sign at once; RSA keys,
 * which take a hundred times as long, sign on Node's thread pool.
 *
 * @throws ConfigurationError with code `key_invalid` when the key cannot be read or cannot sign with the algorithm; it tells what
 * kind of key came and never the key.
 */
export function nodeSigner(key: NodeKey, options: NodeSignerOptions = {}): Signer {
  return signerNamed('nodeSigner', key, options)
}

/** What {@link nodeSigner} makes, with errors that name where the key came from. */
export function signerNamed(subject: string, key: NodeKey, options: NodeSignerOptions): Signer {
  try {
    return createSigner(key, options)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    throw new ConfigurationError(`${subject}: ${error.message}`, { code: error.code })
  }
}

function createSigner(key: NodeKey, options: NodeSignerOptions): Signer {
  const { keyObject, kind, own } = readPrivateKey(key, options.passphrase)
  const rsaBits = keyObject.asymmetricKeyDetails?.modulusLength
  const alg = chooseAlg({ kind, rsaBits }, options.alg ?? own?.alg)
  const { kty, crv, x, y, n, e } = createPublicKey(keyObject).export({ format: 'jwk' })
  const publicJwk = Object.freeze(kty === 'RSA' ? { kty, n, e } : kty === 'OKP' ? { kty, crv, x } : { kty, crv, x, y })
  const signer: Signer = { alg, kid: options.kid ?? own?.kid, publicJwk, sign: signWith(keyObject, alg, kind) }
  // Only remote keys need bounds: this one never fails to answer, and the thread pool has a queue of its own.
  return boundedSigner(signer, { deadlineMs: Infinity, maxConcurrent: Infinity })
}

function signWith(key: KeyObject, alg: string, kind: KeyKind): Signer['sign'] {
  const hash = kind === 'Ed25519' ? null : `sha${alg.slice(2)}`
  const input: SignKeyObjectInput = {
    key,
    dsaEncoding: 'ieee-p1363',
    ...(alg.startsWith('PS') && {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }),
  }
  if (kind !== 'RSA') return (data) => sign(hash, data, input)
  return (data) =>
    new Promise((resolve, reject) => {
      sign(hash, data, input, (error, signature) => (error === null ? resolve(signature) : reject(error)))
    })
}
