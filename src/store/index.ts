export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export type { TokenStore } from './token-store.ts'
export { type TolerantStoreOptions, tolerantStore, tolerate } from './tolerant-store.ts'
