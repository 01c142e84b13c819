import type { CryptoKey, JWK } from 'jose'
import { ConfigurationError } from '../token/index.ts'
import { ALGORITHMS } from './algorithms.ts'
import { boundedSigner, isBounded } from './bounded-signer.ts'
import { type ExaminedKey, examineKey, type PrivateKey } from './private-key.ts'
import { isSigner, type Signer } from './signer.ts'

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
    return { alg, kid, load: async () => signer }
  }
  const examined = examineKey(key, options)
  let signer: Promise<Signer> | undefined
  return {
    alg: examined.alg,
    kid: examined.kid,
    load() {
      signer ??= importKey(examined)
      return signer
    },
  }
}

/** The same signer under another key ID. Its public part may be out of reach, and is looked at by those alone who need it. */
function renamed(signer: Signer, kid: string | undefined): Signer {
  return {
    alg: signer.alg,
    kid,
    get publicJwk() {
      return signer.publicJwk
    },
    sign: (...input) => signer.sign(...input),
  }
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
  const { privateKey, publicJwk } = await readMaterial(material, alg)
  const parameters = ALGORITHMS.get(alg)?.sign
  if (parameters === undefined)
    throw new ConfigurationError(`algorithm ${alg} is not supported`, { code: 'key_invalid' })
  return {
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
    async sign(input) {
      return new Uint8Array(await crypto.subtle.sign(parameters, privateKey, input as Uint8Array<ArrayBuffer>))
    },
  }
}

interface KeyMaterial {
  readonly privateKey: CryptoKey
  readonly publicJwk: Signer['publicJwk'] | undefined
}

async function readMaterial(material: ExaminedKey['material'], alg: string): Promise<KeyMaterial> {
  try {
    if (material.form === 'crypto-key') {
      const readable = material.publicKey ?? (material.privateKey.extractable ? material.privateKey : undefined)
      const publicJwk = readable && publicPart(await crypto.subtle.exportKey('jwk', readable))
      return { privateKey: material.privateKey, publicJwk }
    }
    // Loaded here so that a program whose clients need no key never pays for it.
    const { importJWK, importPKCS8 } = await import('jose/key/import')
    if (material.form === 'jwk') {
      const privateKey = (await importJWK({ ...material.jwk, ext: false, key_ops: ['sign'] } as JWK, alg)) as CryptoKey
      return { privateKey, publicJwk: publicPart(material.jwk) }
    }
    const exportable = await importPKCS8(material.pem, alg, { extractable: true })
    const privateKey = await importPKCS8(material.pem, alg)
    return { privateKey, publicJwk: publicPart(await crypto.subtle.exportKey('jwk', exportable)) }
  } catch {
    // The cause is left out: it may quote the key.
    throw new ConfigurationError(`expected a private key for ${alg}, got one that does not import`, {
      code: 'key_invalid',
    })
  }
}

function publicPart(jwk: object): Signer['publicJwk'] {
  const { kty, crv, x, y, n, e } = jwk as Record<string, unknown>
  return Object.freeze(kty === 'RSA' ? { kty, n, e } : kty === 'OKP' ? { kty, crv, x } : { kty, crv, x, y })
}
