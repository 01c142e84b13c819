import { ConfigurationError } from '../token/index.ts'
import { base64url } from '../util/index.ts'
import { signatureBytes } from './raw-signature.ts'
import type { Signer } from './signer.ts'

/** What is signed, by whom. */
export interface JwtContent {
  readonly typ?: string | undefined
  readonly claims: Readonly<Record<string, unknown>>
  readonly signal?: AbortSignal | undefined
}

/** The least that an RSA signature can have: a modulus of 2048 bits. */
const MIN_RSA_BYTES = 256

const encoder = new TextEncoder()

/**
 * Signs claims into a compact JWS (RFC 7515 section 3.1, RFC 7519). `alg` and `kid` come from the signer.
 *
 * @throws ConfigurationError with code `signature_invalid` when what the signer gives is no raw signature for its algorithm.
 */
export async function signJwt(
  signer: Pick<Signer, 'alg' | 'kid' | 'sign'>,
  { typ, claims, signal }: JwtContent,
): Promise<string> {
  const { alg, kid } = signer
  const input = `${base64url(JSON.stringify({ alg, typ, kid }))}.${base64url(JSON.stringify(claims))}`
  const made = signer.sign(encoder.encode(input), signal && { signal })
  const signature: unknown = made instanceof Uint8Array ? made : await made
  assertSignature(alg, signature)
  return `${input}.${base64url(signature)}`
}

function assertSignature(alg: string, signature: unknown): asserts signature is Uint8Array {
  const bytes = signature instanceof Uint8Array ? signature.length : undefined
  const exact = alg.startsWith('HS') ? bytes : signatureBytes(alg)
  const isRight = bytes !== undefined && (exact === undefined ? bytes >= MIN_RSA_BYTES : bytes === exact)
  if (isRight) return
  const expected = exact === undefined ? `at least ${MIN_RSA_BYTES} bytes` : `${exact} bytes`
  throw new ConfigurationError(
    `signer for ${alg}: expected a raw signature of ${expected}, got ${bytes === undefined ? 'no bytes' : bytes}`,
    { code: 'signature_invalid' },
  )
}
