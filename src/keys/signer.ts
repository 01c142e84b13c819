import type { Awaitable } from '../util/index.ts'

/** One private key that can sign: in memory, in a KMS, in an HSM. Serves client assertions and DPoP proofs alike. */
export interface Signer {
  /** JWS algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1), for example `ES256`. */
  readonly alg: string
  /** Key ID (RFC 7515 section 4.1.4), where the other side knows the key by one. */
  readonly kid?: string | undefined
  /** Public part, as it goes into a proof's header or a published JWKS. */
  readonly publicJwk: Readonly<Record<string, unknown>>
  /** Raw JWS signature (R || S for ECDSA) over the signing input. */
  sign(input: Uint8Array, options?: { readonly signal?: AbortSignal | undefined }): Awaitable<Uint8Array>
}

/** Whether a value is a {@link Signer}. */
export function isSigner(value: unknown): value is Signer {
  return (
    typeof value === 'object' &&
    value !== null &&
    'sign' in value &&
    typeof value.sign === 'function' &&
    'alg' in value &&
    typeof value.alg === 'string'
  )
}
