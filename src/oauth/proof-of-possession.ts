import { ConfigurationError } from '../token/index.ts'
import { type Awaitable, aheadOf } from '../util/index.ts'
import type { OAuthClient } from './oauth-client.ts'
import type { ServerMetadata } from './server-metadata.ts'

/** Proves that a client holds the keys that its tokens are bound to (RFC 9449 section 5). */
export interface ProofOfPossession {
  /** Whether the key is there. */
  finds(jkt: string): Promise<boolean>
  /** Proves one request. */
  prove(request: ProvedRequest): Awaitable<RequestProof>
}

/** A request to an endpoint that takes proofs. */
export interface ProvedRequest {
  /** RFC 7638 thumbprint of the key. */
  readonly jkt: string
  readonly role: 'authorization_server'
  readonly method: string
  readonly url: URL
  /** Of the URL. */
  readonly origin: string
  /** When it is made, in milliseconds since the epoch, by the server's clock as far as that is known. */
  readonly wallTime: number
  readonly signal?: AbortSignal | undefined
}

/** A proof, good for one request. */
export interface RequestProof {
  /** Value of the header `DPoP`. */
  readonly value: string
  /** JWS algorithm that it is signed with. */
  readonly alg: string
  /** Takes note of the answer's `DPoP-Nonce`, and tells whether another proof would carry another nonce than this one. */
  learn(nonce: string | undefined, isDemanded: boolean): boolean
}

/** Errors of a server that wants another proof (RFC 9449 sections 5 and 8). */
export function isProofRefusal(error: string): boolean {
  return error === 'use_dpop_nonce' || error === 'invalid_dpop_proof'
}

/** What one attempt is to prove. */
export interface ProofTarget {
  /** Thumbprint of the key that what is asked for is bound to, where it is bound to one. */
  readonly jkt?: string | undefined
  readonly url: URL
  readonly metadata: ServerMetadata
  readonly signal: AbortSignal
}

/**
 * The proof of one attempt, where there is something to prove.
 *
 * @throws ConfigurationError with code `proof_missing` without the key, and with `dpop_alg_unsupported` when the server does not take its
 * algorithm; what the signer throws.
 */
export async function proofFor(
  { clientName, proofs, clock }: OAuthClient,
  { jkt, url, metadata, signal }: ProofTarget,
  datedWithMs: number,
): Promise<RequestProof | undefined> {
  if (jkt === undefined) return undefined
  if (proofs === undefined) {
    throw new ConfigurationError(`client "${clientName}": expected a key for proofs, got none`, {
      code: 'proof_missing',
    })
  }
  await proofs.finds(jkt)
  const wallTime = aheadOf(clock, datedWithMs).wallTime()
  const { origin } = url
  const proof = await proofs.prove({ jkt, role: 'authorization_server', method: 'POST', url, origin, wallTime, signal })
  const { dpopAlgs } = metadata
  if (dpopAlgs === undefined || dpopAlgs.includes(proof.alg)) return proof
  throw new ConfigurationError(
    `client "${clientName}": expected a DPoP key for one of the server's algorithms, got one for ${proof.alg}`,
    { code: 'dpop_alg_unsupported' },
  )
}
