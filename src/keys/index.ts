export { ALGORITHMS, type Algorithm, type KeyKind, type KeySort, sortOfJwk } from './algorithms.ts'
export { type BoundedSignerOptions, boundedSigner } from './bounded-signer.ts'
export { generateSigner } from './generate-signer.ts'
export { type JwksHandler, type JwksHandlerOptions, jwksHandler } from './jwks-handler.ts'
export { type JwtOptions, signEncoded, signJwt } from './jwt.ts'
export {
  isKeyRing,
  type JsonWebKeySet,
  type KeyRing,
  type KeyRingOptions,
  keyRing,
  type RingKey,
  type RingKeys,
  ringKeysOf,
} from './key-ring.ts'
export { type CryptoKeyPair, chooseAlg, type JsonWebKey, type KeyObjectLike, type PrivateKey } from './private-key.ts'
export { jwkThumbprint, publicJwkOf, publicMembers } from './public-jwk.ts'
export { rawSignatureFromDer } from './raw-signature.ts'
export { isSigner, type Signer } from './signer.ts'
export { type KeyOptions, type PreparedKey, prepareKey, signerFrom } from './signer-from.ts'
export { isSynchronous, markSynchronous, nodeCrypto, synchronousSign } from './synchronous-signer.ts'
export { readUnverifiedJwt, type UnverifiedJwt } from './unverified-jwt.ts'
