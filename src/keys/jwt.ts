import { base64url } from '../util/index.ts'
import { assertSignature } from './raw-signature.ts'
import type { Signer } from './signer.ts'

type JwtSigner = Pick<Signer, 'alg' | 'kid' | 'sign'>

/** What shapes a JWT beside its signer. */
export interface JwtOptions {
  readonly typ?: string | undefined
  readonly claims: Readonly<Record<string, unknown>>
  readonly signal?: AbortSignal | undefined
}

/**
 * Signs claims into a compact JWS (RFC 7515 section 3.1, RFC 7519). `alg` and `kid` come from the signer.
 *
 * @throws ConfigurationError with code `signature_invalid` when the signer gives no signature of its algorithm.
 */
export async function signJwt(signer: JwtSigner, { typ, claims, signal }: JwtOptions): Promise<string> {
  const input = `${encodedHeader(signer, typ)}.${base64url(JSON.stringify(claims))}`
  const answer = signer.sign(encoder.encode(input), { signal })
  // What is there is not waited for: an await takes longer than the rest of this function.
  const signature = answer instanceof Uint8Array ? answer : await answer
  assertSignature(signature, signer.alg)
  return `${input}.${base64url(signature)}`
}

const encoder = /* @__PURE__ */ new TextEncoder()

interface EncodedHeader {
  readonly alg: string
  readonly kid: string | undefined
  readonly typ: string | undefined
  readonly encoded: string
}

/** The last header of each signer: it is the same for every assertion of a client. */
const headers = /* @__PURE__ */ new WeakMap<JwtSigner, EncodedHeader>()

function encodedHeader(signer: JwtSigner, typ: string | undefined): string {
  const { alg, kid } = signer
  const known = headers.get(signer)
  if (known !== undefined && known.alg === alg && known.kid === kid && known.typ === typ) return known.encoded
  const encoded = base64url(JSON.stringify({ alg, typ, kid }))
  headers.set(signer, { alg, kid, typ, encoded })
  return encoded
}
