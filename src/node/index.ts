export { type NodeSignerOptions, nodeSigner } from './node-signer.ts'
export { type Pkcs11Signer, type Pkcs11SignerOptions, pkcs11Signer } from './pkcs11-signer.ts'
export type { NodeKey } from './read-private-key.ts'
export { type SignerFromFileOptions, signerFromFile } from './signer-from-file.ts'
