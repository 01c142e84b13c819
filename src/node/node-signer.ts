import { constants, createPublicKey, type KeyObject, type SignKeyObjectInput, sign } from 'node:crypto'
import {
  boundedSigner,
  chooseAlg,
  type KeyOptions,
  markSynchronous,
  publicMembers,
  type Signer,
  synchronousSign,
} from '../keys/index.ts'
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
  const publicJwk = publicMembers(createPublicKey(keyObject).export({ format: 'jwk' }))
  const described = { alg, kid: options.kid ?? own?.kid, publicJwk }
  const signer: Signer =
    kind === 'RSA'
      ? { ...described, sign: signRsa(keyObject, alg) }
      : markSynchronous({ ...described, sign: synchronousSign(sign, keyObject, alg) })
  // Only remote keys need bounds: this one never fails to answer, and the thread pool has a queue of its own.
  return boundedSigner(signer, { deadlineMs: Infinity, maxConcurrent: Infinity })
}

function signRsa(key: KeyObject, alg: string): Signer['sign'] {
  const input: SignKeyObjectInput = {
    key,
    ...(alg.startsWith('PS') && {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }),
  }
  return (data) =>
    new Promise((resolve, reject) => {
      sign(`sha${alg.slice(2)}`, data, input, (error, signature) =>
        error === null ? resolve(signature) : reject(error),
      )
    })
}
