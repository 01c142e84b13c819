import { createHash, createPublicKey } from 'node:crypto'
import { GetPublicKeyCommand, type KMSClient, KMSServiceException, SignCommand } from '@aws-sdk/client-kms'
import { ConfigurationError, type Signer, TransportError } from 'evertoken'
import { rawSignatureFromDer } from 'evertoken/keys'

/** What the authorization server knows the key by, and how the key signs. */
export interface AwsKmsSignerOptions {
  readonly kid?: string | undefined
  /** JWS algorithm. Default: the key's own; RS256 for RSA. */
  readonly alg?: string | undefined
}

/** JWS algorithms by preference, and the KMS's names for them. */
const ALGORITHMS = [
  ['ES256', 'ECDSA_SHA_256'],
  ['ES384', 'ECDSA_SHA_384'],
  ['ES512', 'ECDSA_SHA_512'],
  ['RS256', 'RSASSA_PKCS1_V1_5_SHA_256'],
  ['RS384', 'RSASSA_PKCS1_V1_5_SHA_384'],
  ['RS512', 'RSASSA_PKCS1_V1_5_SHA_512'],
  ['PS256', 'RSASSA_PSS_SHA_256'],
  ['PS384', 'RSASSA_PSS_SHA_384'],
  ['PS512', 'RSASSA_PSS_SHA_512'],
] as const

/** A `Signer` on a key of AWS KMS. The public key is read once; every signature is one request. */
export async function awsKmsSigner(
  client: KMSClient,
  keyId: string,
  { kid, alg }: AwsKmsSignerOptions = {},
): Promise<Signer> {
  const {
    PublicKey,
    KeyId,
    KeySpec,
    SigningAlgorithms = [],
  } = await answerOf(client.send(new GetPublicKeyCommand({ KeyId: keyId })))
  if (PublicKey === undefined) throw invalid('a public key')
  // On the curve secp256k1 the KMS signs ECDSA_SHA_256 as well, which is not ES256.
  const usable = KeySpec === 'ECC_SECG_P256K1' ? [] : SigningAlgorithms
  const chosen = ALGORITHMS.find(([jws, name]) => usable.includes(name) && (alg ?? jws) === jws)
  if (chosen === undefined) {
    throw new ConfigurationError(`aws kms: expected a key for ${alg ?? 'a JWS algorithm'}, got ${KeySpec}`, {
      code: 'key_invalid',
    })
  }
  const [jwsAlg, SigningAlgorithm] = chosen
  return {
    alg: jwsAlg,
    kid,
    publicJwk: jwkOf(PublicKey),
    async sign(input, { signal } = {}) {
      // A digest, because the KMS takes no message beyond 4096 bytes.
      const Message = createHash(`sha${jwsAlg.slice(2)}`)
        .update(input)
        .digest()
      // By the ARN that the public key came with: an alias may point to another key by now.
      const command = new SignCommand({ KeyId, Message, MessageType: 'DIGEST', SigningAlgorithm })
      const answer = await answerOf(client.send(command, signal && { abortSignal: signal }), signal)
      if (answer.Signature === undefined || answer.KeyId !== KeyId) throw invalid('a signature of the same key')
      return jwsAlg.startsWith('ES') ? rawSignatureFromDer(answer.Signature, jwsAlg) : answer.Signature
    },
  }
}

/** The answer, or an error that tells who has to act. The cause is left out: it may quote a request. */
async function answerOf<Answer>(sent: Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  try {
    return await sent
  } catch (error) {
    signal?.throwIfAborted()
    if (Object(Object(error).$metadata).httpStatusCode === 200) throw invalid('JSON')
    const name = error instanceof Error ? error.name : 'an error without a name'
    const message = `aws kms: expected an answer, got ${name}`
    const isRefusal =
      error instanceof KMSServiceException ? error.$fault === 'client' : name === 'CredentialsProviderError'
    // Throttled requests come with status 400, like those that no repetition helps.
    if (isRefusal && name !== 'ThrottlingException') throw new ConfigurationError(message, { code: 'signer_refused' })
    throw new TransportError(message, { code: 'signer_failed', retryable: true })
  }
}

function jwkOf(spki: Uint8Array): Signer['publicJwk'] {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({ format: 'jwk' })
  } catch {
    throw invalid('a public key')
  }
}

function invalid(expected: string): TransportError {
  return new TransportError(`aws kms: expected ${expected}, got something else`, {
    code: 'signer_answer_invalid',
    retryable: false,
  })
}
