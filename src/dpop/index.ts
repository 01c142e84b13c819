export { type CreateProofOptions, createProof } from './create-proof.ts'
export {
  type DPoPKeyRing,
  type DPoPKeyRingOptions,
  dpopKeyRing,
  isDPoPKeyRing,
  type ProofKeys,
  proofKeysOf,
} from './dpop-key-ring.ts'
export type { NonceKey, NonceStore } from './nonce-store.ts'
export { createNonces, type Nonces } from './nonces.ts'
export { assertProofClaims, type ProofClaims } from './proof.ts'
export { createProver, type Proof, type ProofRequest, type Prover } from './prover.ts'
export { type SharedNonceStoreOptions, sharedNonceStore } from './shared-nonce-store.ts'
