import { azureKeyVaultSigner } from '../../../samples/kms/azure-key-vault.ts'
import { type Kms, membersOf } from './stand-in.ts'

const PATH = '/keys/invoice/9885aa558e8d448789683188f8c194b0'
const VERSION = '?api-version=7.4'

const error = (code: string, message: string): unknown => ({ error: { code, message } })

/** Azure Key Vault, with a key that is kept in a hardware module. */
export const azureKeyVault: Kms = {
  name: 'Azure Key Vault',
  algs: ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  answer({ method, path, headers, body }, { alg, publicJwk, sign }, url) {
    if (!headers.authorization?.startsWith('Bearer ')) return { status: 401, body: error('Unauthorized', 'no token') }
    const kid = `${url}${PATH}`
    if (method === 'GET' && path === `${PATH}${VERSION}`) {
      const { kty, crv, x, y, n, e } = publicJwk
      const key = { kid, kty: `${kty}-HSM`, key_ops: ['sign', 'verify'], crv, x, y, n, e }
      return { status: 200, body: { key, attributes: { enabled: true, exportable: false } } }
    }
    if (method !== 'POST' || path !== `${PATH}/sign${VERSION}`) return { status: 404, body: error('KeyNotFound', path) }
    const given = membersOf(body)
    if (given.alg !== alg) return { status: 400, body: error('BadParameter', `alg ${given.alg}`) }
    const value = sign(Buffer.from(String(given.value), 'base64url'), 'ieee-p1363').toString('base64url')
    return { status: 200, body: { kid, value } }
  },
  isSigning: ({ method }) => method === 'POST',
  signer: (url, { alg, secret }) =>
    azureKeyVaultSigner({ keyId: `${url}${PATH}`, accessToken: async () => secret, alg, kid: 'k1' }),
  signing: (digest, alg) => ({
    method: 'POST',
    path: `${PATH}/sign${VERSION}`,
    body: { alg, value: digest.toString('base64url') },
  }),
  refusal: (kind, quoted) =>
    ({
      throttled: { status: 429, body: error('Throttled', `too many requests ${quoted}`) },
      denied: { status: 403, body: error('Forbidden', `the caller has no permission sign ${quoted}`) },
      unavailable: { status: 503, body: error('ServiceUnavailable', `try later ${quoted}`) },
    })[kind],
  wrong: [
    { name: 'no signature', change: ({ kid }) => ({ kid }) },
    { name: 'a signature of another version', change: ({ value, kid }) => ({ value, kid: `${kid}0` }) },
  ],
  wrongKeys: [
    { name: 'a point elsewhere', change: ({ key }) => ({ key: { ...membersOf(key), y: 'AAAA' } }) },
    {
      name: 'another version',
      change: ({ key }) => ({ key: { ...membersOf(key), kid: 'https://vault.example/other' } }),
    },
  ],
  otherKeys: [
    { name: 'secp256k1', change: ({ key }) => ({ key: { ...membersOf(key), kty: 'EC', crv: 'P-256K' } }) },
    { name: 'AES', change: ({ key }) => ({ key: { ...membersOf(key), kty: 'oct-HSM', crv: undefined } }) },
  ],
}
