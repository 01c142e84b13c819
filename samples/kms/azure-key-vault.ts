import { createHash, createPublicKey } from 'node:crypto'
import { ConfigurationError, type Signer, TransportError } from 'evertoken'

/** Which key signs, and how to reach it. */
export interface AzureKeyVaultKey {
  /** `https://VAULT.vault.azure.net/keys/NAME/VERSION`. */
  readonly keyId: string
  /** Gives an access token with the scope `https://vault.azure.net/.default`; asked for every request. */
  readonly accessToken: (options: { readonly signal?: AbortSignal | undefined }) => Promise<string>
  /** What the authorization server knows the key by. */
  readonly kid?: string | undefined
  /** JWS algorithm. Default: the key's own; RS256 for RSA. */
  readonly alg?: string | undefined
}

/** JWS algorithms by kind of key, the default first. The vault calls them by the same names. */
const ALGS: Readonly<Record<string, readonly string[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  RSA: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
}

/** A `Signer` on a key of Azure Key Vault. The public key is read once; every signature is one request. */
export async function azureKeyVaultSigner(key: AzureKeyVaultKey): Promise<Signer> {
  const { kty, crv, x, y, n, e, kid: keyId } = Object(Object(await ask(key, '')).key)
  if (keyId !== key.keyId) throw invalid('the public key of that version')
  // The key of a hardware module has the kind RSA-HSM or EC-HSM.
  const isRsa = String(kty).startsWith('RSA')
  const algs = ALGS[isRsa ? 'RSA' : String(crv)] ?? []
  const alg = key.alg ?? algs[0]
  if (alg === undefined || !algs.includes(alg)) {
    throw new ConfigurationError(`azure key vault: expected a key for ${alg ?? 'a JWS algorithm'}, got another`, {
      code: 'key_invalid',
    })
  }
  return {
    alg,
    kid: key.kid,
    publicJwk: publicKeyFrom(isRsa ? { kty: 'RSA', n, e } : { kty: 'EC', crv, x, y }),
    async sign(input, { signal } = {}) {
      const digest = createHash(`sha${alg.slice(2)}`)
        .update(input)
        .digest('base64url')
      const { value, kid } = Object(await ask(key, '/sign', { body: { alg, value: digest }, signal }))
      if (typeof value !== 'string' || kid !== keyId) throw invalid('a signature of that version')
      return Buffer.from(value, 'base64url')
    },
  }
}

/** The answer, or an error that tells who has to act. */
async function ask(
  { keyId, accessToken }: AzureKeyVaultKey,
  operation: '' | '/sign',
  { body, signal }: { readonly body?: object; readonly signal?: AbortSignal | undefined } = {},
): Promise<unknown> {
  const authorization = `Bearer ${await accessToken({ signal })}`
  const subject = `azure key vault: expected an answer of ${keyId}${operation}`
  let status: number
  let text: string
  try {
    const response = await fetch(`${keyId}${operation}?api-version=7.4`, {
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

function publicKeyFrom(jwk: Readonly<Record<string, unknown>>): Signer['publicJwk'] {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' })
  } catch {
    throw invalid('a public key')
  }
}

function invalid(expected: string): TransportError {
  return new TransportError(`azure key vault: expected ${expected}, got something else`, {
    code: 'signer_answer_invalid',
    retryable: false,
  })
}
