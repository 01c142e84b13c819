import { googleCloudKmsSigner } from '../../../samples/kms/google-cloud-kms.ts'
import type { SigningAlg } from '../../support/keys.ts'
import { type Kms, membersOf } from './stand-in.ts'

const VERSION = 'projects/shop/locations/europe-west3/keyRings/clients/cryptoKeys/invoice/cryptoKeyVersions/1'

const error = (code: number, status: string, message: string): unknown => ({ error: { code, message, status } })

function algorithmOf(alg: SigningAlg): string {
  const bits = alg.slice(2)
  if (alg.startsWith('ES')) return `EC_SIGN_P${bits}_SHA${bits}`
  return `RSA_SIGN_${alg.startsWith('PS') ? 'PSS' : 'PKCS1'}_2048_SHA${bits}`
}

/** Google Cloud KMS over REST. A version of a key has one algorithm. */
export const googleCloudKms: Kms = {
  name: 'Google Cloud KMS',
  algs: ['ES256', 'ES384', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  answer({ method, path, headers, body }, { alg, hash, publicKeyObject, sign }) {
    if (!headers.authorization?.startsWith('Bearer '))
      return { status: 401, body: error(401, 'UNAUTHENTICATED', 'no token') }
    if (method === 'GET' && path === `/v1/${VERSION}/publicKey`) {
      const pem = publicKeyObject.export({ format: 'pem', type: 'spki' })
      return { status: 200, body: { pem, algorithm: algorithmOf(alg), name: VERSION, protectionLevel: 'HSM' } }
    }
    if (method !== 'POST' || path !== `/v1/${VERSION}:asymmetricSign`)
      return { status: 404, body: error(404, 'NOT_FOUND', path) }
    const digest = membersOf(membersOf(body).digest)[hash]
    if (typeof digest !== 'string') return { status: 400, body: error(400, 'INVALID_ARGUMENT', 'no such digest') }
    const signature = sign(Buffer.from(digest, 'base64'), 'der').toString('base64')
    return { status: 200, body: { signature, name: VERSION, protectionLevel: 'HSM' } }
  },
  isSigning: ({ method }) => method === 'POST',
  // The algorithm is the version's, and nobody else's to choose.
  signer: (endpoint, { secret }) =>
    googleCloudKmsSigner({ keyVersion: VERSION, accessToken: async () => secret, kid: 'k1', endpoint }),
  signing: (digest, alg) => ({
    method: 'POST',
    path: `/v1/${VERSION}:asymmetricSign`,
    body: { digest: { [`sha${alg.slice(2)}`]: digest.toString('base64') } },
  }),
  refusal: (kind, quoted) =>
    ({
      throttled: { status: 429, body: error(429, 'RESOURCE_EXHAUSTED', `quota exceeded ${quoted}`) },
      denied: { status: 403, body: error(403, 'PERMISSION_DENIED', `useToSign denied ${quoted}`) },
      unavailable: { status: 503, body: error(503, 'UNAVAILABLE', `try later ${quoted}`) },
    })[kind],
  wrong: [
    { name: 'no signature', change: ({ name }) => ({ name }) },
    { name: 'a signature of another version', change: (body) => ({ ...body, name: VERSION.replace(/1$/, '2') }) },
  ],
  wrongKeys: [
    { name: 'another text', change: (body) => ({ ...body, pem: 'no key' }) },
    { name: 'nothing', change: (body) => ({ ...body, pem: undefined }) },
    { name: 'another version', change: (body) => ({ ...body, name: VERSION.replace(/1$/, '2') }) },
  ],
  otherKeys: [
    { name: 'secp256k1', change: (body) => ({ ...body, algorithm: 'EC_SIGN_SECP256K1_SHA256' }) },
    { name: 'RSA without a hash', change: (body) => ({ ...body, algorithm: 'RSA_SIGN_RAW_PKCS1_2048' }) },
    { name: 'decryption', change: (body) => ({ ...body, algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }) },
  ],
}
