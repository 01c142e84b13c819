import { constants, createPrivateKey, createPublicKey, KeyObject, type SignKeyObjectInput, sign } from 'node:crypto'
import { chooseAlg, type JsonWebKey, type KeyKind, type KeyOptions, type Signer } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'

/** A private key in any form that Node reads: PEM (PKCS #8, encrypted PKCS #8, SEC 1, PKCS #1), JWK or `KeyObject`. */
export type NodeKey = string | Uint8Array | JsonWebKey | KeyObject

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
  const keyObject = read(key, options.passphrase)
  const { kty, crv, x, y, n, e } = createPublicKey(keyObject).export({ format: 'jwk' })
  const kind = (kty === 'RSA' ? kty : crv) as KeyKind
  const own = key instanceof KeyObject || typeof key === 'string' || key instanceof Uint8Array ? undefined : key
  const rsaBits = keyObject.asymmetricKeyDetails?.modulusLength
  const alg = chooseAlg({ kind, rsaBits }, options.alg ?? own?.alg)
  const publicJwk = Object.freeze(kty === 'RSA' ? { kty, n, e } : kty === 'OKP' ? { kty, crv, x } : { kty, crv, x, y })
  return { alg, kid: options.kid ?? own?.kid, publicJwk, sign: signWith(keyObject, alg, kind) }
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

const KINDS: ReadonlySet<string | undefined> = new Set(['rsa', 'ec', 'ed25519'])

function read(key: NodeKey, passphrase: string | undefined): KeyObject {
  const keyObject = key instanceof KeyObject ? key : parse(key, passphrase)
  if (keyObject.type !== 'private') throw keyInvalid('a private key', `a ${keyObject.type} key`)
  if (!KINDS.has(keyObject.asymmetricKeyType)) {
    throw keyInvalid('an RSA, EC or Ed25519 key', `a key of type ${keyObject.asymmetricKeyType}`)
  }
  return keyObject
}

function parse(key: Exclude<NodeKey, KeyObject>, passphrase: string | undefined): KeyObject {
  const text = typeof key === 'string' ? key : key instanceof Uint8Array ? new TextDecoder().decode(key) : undefined
  try {
    if (text === undefined) return createPrivateKey({ key: key as import('node:crypto').JsonWebKey, format: 'jwk' })
    return createPrivateKey({ key: text, format: 'pem', ...(passphrase !== undefined && { passphrase }) })
  } catch {
    // The cause is left out: it may quote the key.
    throw keyInvalid('a private key', text === undefined ? 'another object' : whatIs(text, passphrase))
  }
}

/** What PEM says that it holds. */
export const LABEL: RegExp = /-----BEGIN ([A-Z0-9 ]+)-----/

/** A few words on a text that is no private key, or none that opens. */
export function whatIs(text: string, passphrase: string | undefined): string {
  const label = LABEL.exec(text)?.[1]
  if (label === undefined) return text.trim() === '' ? 'an empty text' : 'a text that is not PEM'
  const isEncrypted = label === 'ENCRYPTED PRIVATE KEY' || text.includes('Proc-Type: 4,ENCRYPTED')
  if (isEncrypted) return passphrase === undefined ? 'an encrypted one without passphrase' : 'one that does not open'
  return label.endsWith('PRIVATE KEY')
    ? `PEM of a ${label.toLowerCase()} that is damaged`
    : `PEM of a ${label.toLowerCase()}`
}

function keyInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`nodeSigner: expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
