import { createHash, createPublicKey } from 'node:crypto'
import { ConfigurationError, type Signer, TransportError } from 'evertoken'

/** Which key signs, and how to reach it. */
export interface VaultTransitKey {
  /** For example `https://vault.example:8200`. */
  readonly address: string
  readonly name: string
  /** Gives a Vault token; asked for every request. */
  readonly token: () => Promise<string>
  /** Default: the latest version, and it stays that one until another signer is made. */
  readonly version?: number | undefined
  /** What the authorization server knows the key by. Default: `NAME:VERSION`. */
  readonly kid?: string | undefined
  /** JWS algorithm. Default: the key's own; RS256 for RSA. */
  readonly alg?: string | undefined
  /** Where the secrets engine is mounted. Default: `transit`. */
  readonly mount?: string | undefined
}

/** JWS algorithms by type of key, the default first. */
const ALGS: Readonly<Record<string, readonly string[]>> = {
  'ecdsa-p256': ['ES256'],
  'ecdsa-p384': ['ES384'],
  'ecdsa-p521': ['ES512'],
  rsa: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
}

/** A `Signer` on a key of Vault's transit secrets engine. The public key is read once; every signature is one request. */
export async function vaultTransitSigner(key: VaultTransitKey): Promise<Signer> {
  const { type, keys, latest_version } = Object(Object(await ask(key, 'keys')).data)
  const version = key.version ?? latest_version
  const { public_key } = Object(Object(keys)[version])
  const algs = ALGS[String(type).startsWith('rsa-') ? 'rsa' : String(type)] ?? []
  const alg = key.alg ?? algs[0]
  if (alg === undefined || !algs.includes(alg)) {
    throw new ConfigurationError(`vault transit: expected a key for ${alg ?? 'a JWS algorithm'}, got another`, {
      code: 'key_invalid',
    })
  }
  if (typeof public_key !== 'string') throw invalid('the public key of that version')
  const bits = alg.slice(2)
  return {
    alg,
    kid: key.kid ?? `${key.name}:${version}`,
    publicJwk: jwkOf(public_key),
    async sign(input, { signal } = {}) {
      const body = {
        input: createHash(`sha${bits}`).update(input).digest('base64'),
        prehashed: true,
        hash_algorithm: `sha2-${bits}`,
        key_version: version,
        marshaling_algorithm: 'jws',
        signature_algorithm: alg.startsWith('PS') ? 'pss' : 'pkcs1v15',
        // By default the salt is as long as fits; RFC 7518 section 3.5 wants it as long as the hash.
        salt_length: 'hash',
      }
      const { signature } = Object(Object(await ask(key, 'sign', { body, signal })).data)
      const prefix = `vault:v${version}:`
      if (typeof signature !== 'string' || !signature.startsWith(prefix)) throw invalid('a signature of that version')
      return Buffer.from(signature.slice(prefix.length), 'base64url')
    },
  }
}

/** The answer, or an error that tells who has to act. */
async function ask(
  { address, mount = 'transit', name, token }: VaultTransitKey,
  operation: 'keys' | 'sign',
  { body, signal }: { readonly body?: object; readonly signal?: AbortSignal | undefined } = {},
): Promise<unknown> {
  const path = `/v1/${mount}/${operation}/${name}`
  const vaultToken = await token()
  const subject = `vault transit: expected an answer of ${path}`
  let status: number
  let text: string
  try {
    const response = await fetch(`${address}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'x-vault-token': vaultToken, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'error',
      signal: signal ?? null,
    })
    status = response.status
    text = await response.text()
  } catch {
    signal?.throwIfAborted()
    // The cause is left out: it may quote a header.
    throw new TransportError(`${subject}, got none`, { code: 'signer_failed', retryable: true })
  }
  if (status === 429 || status >= 500) {
    throw new TransportError(`${subject}, got status ${status}`, { code: 'signer_failed', retryable: true })
  }
  if (status !== 200) throw new ConfigurationError(`${subject}, got status ${status}`, { code: 'signer_refused' })
  try {
    return JSON.parse(text)
  } catch {
    throw invalid('JSON')
  }
}

function jwkOf(pem: string): Signer['publicJwk'] {
  try {
    return createPublicKey(pem).export({ format: 'jwk' })
  } catch {
    throw invalid('a public key in PEM')
  }
}

function invalid(expected: string): TransportError {
  return new TransportError(`vault transit: expected ${expected}, got something else`, {
    code: 'signer_answer_invalid',
    retryable: false,
  })
}
