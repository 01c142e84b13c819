import { createHash, createPublicKey } from 'node:crypto'
import { ConfigurationError, type Signer, TransportError } from 'evertoken'
import { rawSignatureFromDer } from 'evertoken/keys'

/** Which key signs, and how to reach it. */
export interface GoogleCloudKmsKey {
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`. */
  readonly keyVersion: string
  /** Gives a Google access token with the scope `https://www.googleapis.com/auth/cloudkms`; asked for every request. */
  readonly accessToken: (options: { readonly signal?: AbortSignal | undefined }) => Promise<string>
  /** What the authorization server knows the key by. */
  readonly kid?: string | undefined
  readonly endpoint?: string | undefined
}

/** A `Signer` on a key of Google Cloud KMS. The public key is read once; every signature is one request. */
export async function googleCloudKmsSigner(key: GoogleCloudKmsKey): Promise<Signer> {
  const { pem, algorithm, name } = Object(await ask(key, '/publicKey'))
  if (typeof pem !== 'string' || name !== key.keyVersion) throw invalid('the public key of that version')
  const alg = jwsAlgorithm(algorithm)
  const hash = `sha${alg.slice(2)}`
  return {
    alg,
    kid: key.kid,
    publicJwk: jwkOf(pem),
    async sign(input, { signal } = {}) {
      const digest = { [hash]: createHash(hash).update(input).digest('base64') }
      const { signature, name } = Object(await ask(key, ':asymmetricSign', { body: { digest }, signal }))
      if (typeof signature !== 'string' || name !== key.keyVersion) throw invalid('a signature of that version')
      const bytes = Buffer.from(signature, 'base64')
      return alg.startsWith('ES') ? rawSignatureFromDer(bytes, alg) : bytes
    },
  }
}

/** A version has one algorithm, which its name spells out: `EC_SIGN_P256_SHA256`, `RSA_SIGN_PSS_2048_SHA256`. */
function jwsAlgorithm(algorithm: unknown): string {
  const [, kind = '', bits] =
    /^(EC|RSA)_SIGN_(?:P256|P384|PSS_\d+|PKCS1_\d+)_SHA(256|384|512)$/.exec(String(algorithm)) ?? []
  if (bits === undefined) {
    throw new ConfigurationError(
      'google cloud kms: expected a key that signs RSA or ECDSA on P-256 or P-384, got another',
      {
        code: 'key_invalid',
      },
    )
  }
  if (kind === 'EC') return `ES${bits}`
  return String(algorithm).includes('_PSS_') ? `PS${bits}` : `RS${bits}`
}

/** The answer, or an error that tells who has to act. */
async function ask(
  { keyVersion, accessToken, endpoint = 'https://cloudkms.googleapis.com' }: GoogleCloudKmsKey,
  method: ':asymmetricSign' | '/publicKey',
  { body, signal }: { readonly body?: object; readonly signal?: AbortSignal | undefined } = {},
): Promise<unknown> {
  const authorization = `Bearer ${await accessToken({ signal })}`
  const subject = `google cloud kms: expected an answer of ${keyVersion}${method}`
  let status: number
  let text: string
  try {
    const response = await fetch(`${endpoint}/v1/${keyVersion}${method}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization, 'content-type': 'application/json' },
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
  return new TransportError(`google cloud kms: expected ${expected}, got something else`, {
    code: 'signer_answer_invalid',
    retryable: false,
  })
}
