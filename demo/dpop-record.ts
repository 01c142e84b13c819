import { createHash } from 'node:crypto'
import type { ReadProof } from './dpop-proof.ts'
import type { Refusal, RefusalError } from './refusal.ts'

/** A proof as a server saw it, without its signature. */
export interface SeenProof {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  /** Thumbprint of its key; `undefined` when the proof was not genuine. */
  readonly jkt: string | undefined
  /** Whether the request was accepted, or by which error it was refused. */
  readonly outcome: 'accepted' | RefusalError
}

/** What has been seen of proofs. */
export interface ProofRecord {
  readonly accepted: number
  /** How many requests were refused with which error. */
  readonly refused: ReadonlyMap<RefusalError, number>
  /** Why requests were refused, and how often. */
  readonly reasons: ReadonlyMap<string, number>
  /** The last ones that could be read, as many as the record keeps. */
  readonly proofs: readonly SeenProof[]
}

/** A record, and how to write it. */
export interface WritableProofRecord extends ProofRecord {
  addAccepted(proof: RecordedProof): void
  addRefused(refusal: Refusal, proof: RecordedProof | undefined): void
}

/** A proof, with its thumbprint if it was genuine. */
export type RecordedProof = ReadProof & { readonly jkt?: string }

/** Starts a record that keeps the last `keeps` proofs. */
export function createProofRecord(keeps: number): WritableProofRecord {
  const refused = new Map<RefusalError, number>()
  const reasons = new Map<string, number>()
  const proofs: SeenProof[] = []
  let accepted = 0

  function keep({ header, claims, jkt }: RecordedProof, outcome: SeenProof['outcome']): void {
    if (keeps === 0) return
    if (proofs.length === keeps) proofs.shift()
    proofs.push({ header, claims, jkt, outcome })
  }

  return {
    get accepted() {
      return accepted
    },
    refused,
    reasons,
    proofs,
    addAccepted(proof) {
      accepted++
      keep(proof, 'accepted')
    },
    addRefused({ error, message }, proof) {
      refused.set(error, (refused.get(error) ?? 0) + 1)
      reasons.set(message, (reasons.get(message) ?? 0) + 1)
      if (proof !== undefined) keep(proof, error)
    },
  }
}

/** Proofs that have been used, for as long as they would still be accepted (RFC 9449 section 11.1). */
export interface UsedProofs {
  /** Whether this proof is used for the first time, as far as is remembered. From then on it is not. */
  use(proof: { readonly jti: string; readonly htu: string }, at: number): boolean
}

/** Remembers proofs for `lifetimeMs`, but never more than `max` of them: the oldest are forgotten then. */
export function createUsedProofs({ lifetimeMs, max }: { lifetimeMs: number; max: number }): UsedProofs {
  const usedAt = new Map<string, number>()
  return {
    use({ jti, htu }, at) {
      // A hash, because a client may choose a jti of any length.
      const key = createHash('sha256')
        .update(JSON.stringify([jti, htu]))
        .digest('base64url')
      if (usedAt.has(key)) return false
      // A Map keeps the order of insertion: the oldest are in front.
      for (const [oldest, then] of usedAt) {
        if (at - then <= lifetimeMs && usedAt.size < max) break
        usedAt.delete(oldest)
      }
      usedAt.set(key, at)
      return true
    },
  }
}
