export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export { prefixedStore } from './prefixed-store.ts'
export { assertStore, type TokenStore } from './token-store.ts'
export { type TolerantStoreOptions, tolerantStore, tolerate } from './tolerant-store.ts'
