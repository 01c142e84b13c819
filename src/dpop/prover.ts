import { type AccessToken, ConfigurationError } from '../token/index.ts'
import type { Awaitable } from '../util/index.ts'
import type { DPoPKey } from './dpop-key.ts'
import type { ProofKeys } from './dpop-key-ring.ts'
import type { NonceKey } from './nonce-store.ts'
import type { Nonces } from './nonces.ts'
import { type ProofClaims, proofOf } from './proof.ts'
import { athOf } from './token-hash.ts'

/** A request that is to prove that its sender holds a key. */
export interface ProofRequest {
  /** Thumbprint of the key. */
  readonly jkt: string
  readonly role: NonceKey['role']
  readonly method: string
  readonly url: URL
  /** Of the URL. */
  readonly origin: string
  /** When it is made, in milliseconds since the epoch, by the clock that the server goes by. */
  readonly wallTime: number
  /** The access token that goes along; none at the authorization server. */
  readonly token?: AccessToken | undefined
  readonly claims?: ProofClaims | undefined
  readonly signal?: AbortSignal | undefined
}

/** A proof, good for one request. */
export interface Proof {
  /** Value of the header `DPoP`. */
  readonly value: string
  /** JWS algorithm that it is signed with. */
  readonly alg: string
  /** Takes note of the answer's `DPoP-Nonce`, and tells whether another proof would carry another nonce than this one. */
  learn(nonce: string | undefined, isDemanded: boolean): boolean
}

/** Makes proofs with the keys of one client. */
export interface Prover {
  /** Whether the key is still there. */
  holds(jkt: string): boolean
  /**
   * Whether the key is there, used already or not: a grant outlives the process that began it. Where there is a token of it, it is kept until that expires, in
   * milliseconds since the epoch.
   */
  finds(jkt: string, expiresAt?: number): Promise<boolean>
  /**
   * Proves one request; at once where nothing has to be waited for.
   *
   * @throws ConfigurationError with code `proof_missing` for a key that is not there; what the signer throws.
   */
  prove(request: ProofRequest): Awaitable<Proof>
}

/** Makes the proofs of one client: keys of its ring, nonces of the servers. */
export function createProver(keys: ProofKeys, nonces: Nonces): Prover {
  return {
    holds: (jkt) => keys.keyOf(jkt) !== undefined,
    async finds(jkt, expiresAt) {
      if (keys.keyOf(jkt) === undefined) await keys.current()
      const key = keys.keyOf(jkt)
      if (key !== undefined && expiresAt !== undefined) keys.obtained(key, expiresAt)
      return key !== undefined
    },
    prove(request) {
      const key = keys.keyOf(request.jkt)
      if (key === undefined) {
        throw new ConfigurationError('expected the key that the token is bound to, got a ring without it', {
          code: 'proof_missing',
        })
      }
      const { role, origin, token } = request
      const nonceKey: NonceKey = { role, origin, jkt: key.jkt }
      const nonce = nonces.current(nonceKey)
      const ath = token && athOf(token)
      const parts = { key, nonces, nonceKey }
      if (isThere(nonce) && isThere(ath)) return madeProof(request, parts, { nonce, ath })
      return Promise.all([nonce, ath]).then(([nonce, ath]) => madeProof(request, parts, { nonce, ath }))
    },
  }
}

interface ProofParts {
  readonly key: DPoPKey
  readonly nonces: Nonces
  readonly nonceKey: NonceKey
}

interface ProofInputs {
  readonly nonce: string | undefined
  readonly ath: string | undefined
}

function madeProof(request: ProofRequest, parts: ProofParts, { nonce, ath }: ProofInputs): Awaitable<Proof> {
  const { method, url, wallTime, claims, signal } = request
  const value = proofOf(parts.key, { method, url, wallTime, nonce, ath, claims }, signal)
  if (typeof value === 'string') return new MadeProof(value, nonce, parts)
  return value.then((made) => new MadeProof(made, nonce, parts))
}

function isThere(value: Awaitable<string | undefined>): value is string | undefined {
  return typeof value !== 'object'
}

class MadeProof implements Proof {
  readonly value: string
  readonly #nonce: string | undefined
  readonly #parts: ProofParts

  constructor(value: string, nonce: string | undefined, parts: ProofParts) {
    this.value = value
    this.#nonce = nonce
    this.#parts = parts
  }

  get alg(): string {
    return this.#parts.key.signer.alg
  }

  learn(nonce: string | undefined, isDemanded: boolean): boolean {
    const { nonces, nonceKey } = this.#parts
    // A demand that was made of an older proof is late: it must not bring back a nonce that was replaced since.
    const isTimelyDemand = isDemanded && nonces.known(nonceKey) === this.#nonce
    // Most answers bring nothing, or what the proof had.
    const isSaid = nonce !== undefined && (isDemanded || nonce !== this.#nonce)
    if (isSaid) nonces.learn(nonceKey, nonce, isTimelyDemand)
    const known = nonces.known(nonceKey)
    return known !== undefined && known !== this.#nonce
  }
}
