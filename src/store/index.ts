export { type AdaptedLockOptions, type AdaptedLockSettings, adaptedLock, type LockAdapter } from './adapted-lock.ts'
export {
  type AdaptedRecordsOptions,
  type AdaptedRecordsSettings,
  adaptedRecords,
  type PlainRecords,
} from './adapted-records.ts'
export {
  type AdaptedStoreOptions,
  type AdaptedStoreSettings,
  adaptedStore,
  assertPrefix,
  DEFAULT_PREFIX,
  type PlainStoreSettings,
} from './adapted-store.ts'
export { type EncryptedRecordsOptions, encryptedRecords } from './encrypted-records.ts'
export { type EncryptedStoreOptions, encryptedStore } from './encrypted-store.ts'
export type { EncryptionKey, EncryptionKeys } from './encryption-keys.ts'
export type { Invalidations } from './invalidations.ts'
export type { AesKey } from './key-uses.ts'
export { type LeasedLockOptions, leasedLock } from './leased-lock.ts'
export { localLock } from './local-lock.ts'
export type { Acquired, LockCommands } from './lock-commands.ts'
export { LEASE_OPTIONS, type Lease, type LeaseOptions, leaseFrom } from './lock-options.ts'
export { type MemoryRecordsOptions, memoryRecords } from './memory-records.ts'
export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export { type GivenKey, keyBytes, keyInvalid, type NamedKeys, namedKeys } from './named-keys.ts'
export { observedLock } from './observed-lock.ts'
export { prefixedStore } from './prefixed-store.ts'
export { assertRecordStore, type RecordStore, type RecordWrite } from './record-store.ts'
export { type TimedRecordsOptions, timedRecords } from './timed-records.ts'
export { assertStore, type TokenStore } from './token-store.ts'
export { type TolerantLockOptions, tolerantLock } from './tolerant-lock.ts'
export { createTolerance, type TolerantStoreOptions, type Tolerate, tolerantStore } from './tolerant-store.ts'
export type { Turn, WithLock, WithLockOptions } from './with-lock.ts'
