export { signJwt } from './jwt.ts'
export type { CryptoKeyPair, JsonWebKey, KeyObjectLike, PrivateKey } from './private-key.ts'
export { isSigner, type Signer } from './signer.ts'
export { type KeyOptions, type PreparedKey, prepareKey, signerFrom } from './signer-from.ts'
