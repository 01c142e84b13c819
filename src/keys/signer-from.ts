import type { CryptoKey, JWK } from 'jose'
import { ConfigurationError } from '../token/index.ts'
import { lazy } from '../util/index.ts'
import { ALGORITHMS } from './algorithms.ts'
import { boundedSigner, isBounded } from './bounded-signer.ts'
import { type ExaminedKey, examineKey, type PrivateKey } from './private-key.ts'
import { publicMembers } from './public-jwk.ts'
import { isSigner, type Signer } from './signer.ts'
import { isSynchronous, markSynchronous, nodeCrypto, synchronousSign } from './synchronous-signer.ts'

/** How a key is to be used. */
export interface KeyOptions {
  /** JWS algorithm; by default the key's own, ES256/ES384/ES512/EdDSA by its curve, RS256 for RSA. */
  readonly alg?: string | undefined
  /** Key ID to announce; by default the JWK's own, otherwise none. */
  readonly kid?: string | undefined
}

/** A key that has been checked and is made ready when it is first used. */
export interface PreparedKey {
  readonly alg: string
  readonly kid: string | undefined
  /** Whether it can be told which public key it belongs to. */
  readonly hasPublicPart: boolean
  load(): Promise<Signer>
}

/**
 * Checks a private key now, imports it when it is first needed.
 *
 * @throws ConfigurationError with code `key_invalid` when the key cannot sign with the algorithm.
 */
export function prepareKey(key: PrivateKey, options: KeyOptions = {}): PreparedKey {
  if (isSigner(key)) {
    const { alg = key.alg, kid = key.kid } = options
    if (alg !== key.alg) {
      throw new ConfigurationError(`expected a key for ${alg}, got a signer for ${key.alg}`, { code: 'key_invalid' })
    }
    // A stranger may be slow, or answer what is no signature.
    const bounded = isBounded(key) ? key : boundedSigner(key)
    const signer = kid === key.kid ? bounded : renamed(bounded, kid)
    return { alg, kid, hasPublicPart: true, load: async () => signer }
  }
  const examined = examineKey(key, options)
  return {
    alg: examined.alg,
    kid: examined.kid,
    hasPublicPart: hasPublicPart(examined.material),
    load: lazy(() => importKey(examined)),
  }
}

/** The same signer under another key ID. Its public part may be out of reach, and is looked at by those alone who need it. */
function renamed(signer: Signer, kid: string | undefined): Signer {
  const sign = signer.sign.bind(signer)
  const named: Signer = {
    alg: signer.alg,
    kid,
    get publicJwk() {
      return signer.publicJwk
    },
    sign: (input, options) => sign(input, options),
  }
  return isSynchronous(signer) ? markSynchronous(named) : named
}

function hasPublicPart(material: ExaminedKey['material']): boolean {
  return material.form !== 'crypto-key' || material.publicKey !== undefined || material.privateKey.extractable
}

/**
 * Makes a {@link Signer} from a private key in memory: PKCS #8 PEM, JWK, `CryptoKey` (alone or as a pair) or Node's
 * `KeyObject`.
 *
 * @throws ConfigurationError with code `key_invalid` when the key cannot sign with the algorithm.
 */
export async function signerFrom(key: PrivateKey, options?: KeyOptions): Promise<Signer> {
  return prepareKey(key, options).load()
}

async function importKey({ material, alg, kid }: ExaminedKey): Promise<Signer> {
  const { privateKey, publicJwk, privateJwk } = await readMaterial(material, alg)
  const parameters = ALGORITHMS.get(alg)?.sign
  if (parameters === undefined)
    throw new ConfigurationError(`algorithm ${alg} is not supported`, { code: 'key_invalid' })
  const atOnce = privateJwk && signAtOnce(privateJwk, alg)
  const signer: Signer = {
    alg,
    kid,
    get publicJwk() {
      if (publicJwk !== undefined) return publicJwk
      throw new ConfigurationError(
        'expected a key pair or an extractable key, got a private key whose public part is out of reach',
        {
          code: 'key_invalid',
        },
      )
    },
    sign: atOnce ?? (async (input) => new Uint8Array(await crypto.subtle.sign(parameters, privateKey, input as Bytes))),
  }
  return atOnce === undefined ? signer : markSynchronous(signer)
}

type Bytes = Uint8Array<ArrayBuffer>

/** The faster way, on Node and for keys that it takes. RSA takes a hundred times as long, and nobody is to wait for it on the main thread. */
function signAtOnce(privateJwk: object, alg: string): ((input: Uint8Array) => Uint8Array) | undefined {
  const node = ALGORITHMS.get(alg)?.kind === 'RSA' ? undefined : nodeCrypto()
  try {
    return node && synchronousSign(node.sign, node.createPrivateKey({ key: privateJwk, format: 'jwk' }), alg)
  } catch {
    // Web Cryptography has taken the key, and does what Node's crypto will not.
    return undefined
  }
}

interface KeyMaterial {
  readonly privateKey: CryptoKey
  readonly publicJwk: Signer['publicJwk'] | undefined
  /** Where the key may be seen. */
  readonly privateJwk?: object | undefined
}

async function readMaterial(material: ExaminedKey['material'], alg: string): Promise<KeyMaterial> {
  try {
    if (material.form === 'crypto-key') {
      const { privateKey, publicKey } = material
      const privateJwk = privateKey.extractable ? await crypto.subtle.exportKey('jwk', privateKey) : undefined
      const readable = publicKey === undefined ? privateJwk : await crypto.subtle.exportKey('jwk', publicKey)
      return { privateKey, publicJwk: readable && publicMembers(readable), privateJwk }
    }
    // Loaded here so that a program whose clients need no key never pays for it.
    const { importJWK, importPKCS8 } = await import('jose/key/import')
    if (material.form === 'jwk') {
      const privateKey = (await importJWK({ ...material.jwk, ext: false, key_ops: ['sign'] } as JWK, alg)) as CryptoKey
      return { privateKey, publicJwk: publicMembers(material.jwk), privateJwk: material.jwk }
    }
    const exportable = await importPKCS8(material.pem, alg, { extractable: true })
    const privateKey = await importPKCS8(material.pem, alg)
    const privateJwk = await crypto.subtle.exportKey('jwk', exportable)
    return { privateKey, publicJwk: publicMembers(privateJwk), privateJwk }
  } catch {
    // The cause is left out: it may quote the key.
    throw new ConfigurationError(`expected a private key for ${alg}, got one that does not import`, {
      code: 'key_invalid',
    })
  }
}
