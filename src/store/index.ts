export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export type { TokenStore } from './token-store.ts'
export { type TolerantStoreOptions, tolerantStore } from './tolerant-store.ts'
