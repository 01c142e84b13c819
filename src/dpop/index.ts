export type { NonceKey, NonceStore } from './nonce-store.ts'
