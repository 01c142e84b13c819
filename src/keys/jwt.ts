import { type Awaitable, base64url } from '../util/index.ts'
import { assertSignature } from './raw-signature.ts'
import type { Signer } from './signer.ts'
import { isSynchronous } from './synchronous-signer.ts'

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
  return signEncoded(signer, `${encodedHeader(signer, typ)}.${base64url(JSON.stringify(claims))}`, signal)
}

/**
 * Adds the signature to an encoded header and encoded claims: at once where the signer signs at once, since a promise takes longer than the
 * rest of this.
 *
 * @throws ConfigurationError with code `signature_invalid` when the signer gives no signature of its algorithm.
 */
export function signEncoded(signer: JwtSigner, input: string, signal?: AbortSignal): Awaitable<string> {
  const answer = signer.sign(bytesOf(input, signer), { signal })
  if (answer instanceof Uint8Array) return signed(signer, input, answer)
  return Promise.resolve(answer).then((signature) => signed(signer, input, signature))
}

function signed({ alg }: JwtSigner, input: string, signature: Uint8Array): string {
  assertSignature(signature, alg)
  return `${input}.${base64url(signature)}`
}

const encoder = /* @__PURE__ */ new TextEncoder()
/** Where the input of synchronous signers is written: to allocate it anew takes as long as to encode it. */
const scratch = /* @__PURE__ */ new Uint8Array(4096)

/** The bytes of a text in ASCII. */
function bytesOf(text: string, signer: JwtSigner): Uint8Array {
  if (text.length > scratch.length || !isSynchronous(signer)) return encoder.encode(text)
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written)
}

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
