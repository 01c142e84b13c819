import { vaultTransitSigner } from '../../../samples/kms/vault-transit.ts'
import type { SigningAlg } from '../../support/keys.ts'
import { type Kms, membersOf } from './stand-in.ts'

const TYPES: Readonly<Record<string, string>> = { ES256: 'ecdsa-p256', ES384: 'ecdsa-p384', ES512: 'ecdsa-p521' }
const VERSION = 3

const typeOf = (alg: SigningAlg): string => TYPES[alg] ?? 'rsa-2048'

/** The transit secrets engine of Vault, mounted at `transit`. Its keys are of one type each, and have versions. */
export const vaultTransit: Kms = {
  name: 'Vault transit',
  algs: ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  answer({ method, path, headers, body }, key) {
    if (!headers['x-vault-token']) return { status: 400, body: { errors: ['missing client token'] } }
    const { input, ...given } = membersOf(body)
    if (method === 'GET' && path === '/v1/transit/keys/invoice') {
      const public_key = key.publicKeyObject.export({ format: 'pem', type: 'spki' })
      const one = { name: 'invoice', creation_time: '2026-01-01T00:00:00Z', certificate_chain: '' }
      const keys = { 2: { ...one, public_key: 'an older one' }, [VERSION]: { ...one, public_key } }
      return {
        status: 200,
        body: { data: { type: typeOf(key.alg), name: 'invoice', keys, latest_version: VERSION, exportable: false } },
      }
    }
    if (method !== 'POST' || path !== '/v1/transit/sign/invoice') return { status: 404, body: { errors: [] } }
    // By default the signature is DER.
    const raw = key.sign(
      Buffer.from(String(input), 'base64'),
      given.marshaling_algorithm === 'jws' ? 'ieee-p1363' : 'der',
    )
    const signature = `vault:v${given.key_version ?? VERSION}:${raw.toString('base64url')}`
    return { status: 200, body: { data: { signature, key_version: given.key_version ?? VERSION } } }
  },
  isSigning: ({ method }) => method === 'POST',
  signer: (address, { alg, secret }) =>
    vaultTransitSigner({ address, name: 'invoice', token: async () => secret, alg, kid: 'k1' }),
  signing: (digest, alg) => ({
    method: 'POST',
    path: '/v1/transit/sign/invoice',
    body: {
      input: digest.toString('base64'),
      prehashed: true,
      hash_algorithm: `sha2-${alg.slice(2)}`,
      key_version: VERSION,
      marshaling_algorithm: 'jws',
      signature_algorithm: alg.startsWith('PS') ? 'pss' : 'pkcs1v15',
      salt_length: 'hash',
    },
  }),
  refusal: (kind, quoted) =>
    ({
      throttled: { status: 429, body: { errors: [`request path "sign": rate limit quota exceeded ${quoted}`] } },
      denied: { status: 403, body: { errors: [`permission denied ${quoted}`] } },
      unavailable: { status: 503, body: { errors: [`Vault is sealed ${quoted}`] } },
    })[kind],
  wrong: [
    { name: 'no signature', change: () => ({ data: {} }) },
    { name: 'a signature of another version', change: () => ({ data: { signature: 'vault:v2:AAAA' } }) },
    { name: 'no data', change: () => ({}) },
  ],
  wrongKeys: [
    {
      name: 'another text',
      change: ({ data }) => ({ data: { ...membersOf(data), keys: { [VERSION]: { public_key: 'no key' } } } }),
    },
    { name: 'other versions only', change: ({ data }) => ({ data: { ...membersOf(data), latest_version: 4 } }) },
  ],
  otherKeys: [
    { name: 'aes256-gcm96', change: ({ data }) => ({ data: { ...membersOf(data), type: 'aes256-gcm96' } }) },
    { name: 'ed25519', change: ({ data }) => ({ data: { ...membersOf(data), type: 'ed25519' } }) },
  ],
}
