export { type AdaptedLockOptions, type AdaptedLockSettings, adaptedLock, type LockAdapter } from './adapted-lock.ts'
export {
  type AdaptedStoreOptions,
  type AdaptedStoreSettings,
  adaptedStore,
  assertPrefix,
  DEFAULT_PREFIX,
  type PlainStoreSettings,
} from './adapted-store.ts'
export { type EncryptedStoreOptions, encryptedStore } from './encrypted-store.ts'
export type { AesKey, EncryptionKey, EncryptionKeys } from './encryption-keys.ts'
export type { Invalidations } from './invalidations.ts'
export { type LeasedLockOptions, leasedLock } from './leased-lock.ts'
export { localLock } from './local-lock.ts'
export type { Acquired, LockCommands } from './lock-commands.ts'
export { LEASE_OPTIONS, type Lease, type LeaseOptions, leaseFrom } from './lock-options.ts'
export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export { prefixedStore } from './prefixed-store.ts'
export { assertStore, type TokenStore } from './token-store.ts'
export { type TolerantLockOptions, tolerantLock } from './tolerant-lock.ts'
export { createTolerance, type TolerantStoreOptions, type Tolerate, tolerantStore } from './tolerant-store.ts'
export type { Turn, WithLock, WithLockOptions } from './with-lock.ts'
