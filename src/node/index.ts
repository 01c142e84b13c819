export { type NodeKey, type NodeSignerOptions, nodeSigner } from './node-signer.ts'
