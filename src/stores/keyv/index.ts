export type { KeyvEvents, KeyvInstance } from './keyv-calls.ts'
export { type KeyvStoreOptions, type KeyvStoreSettings, keyvStore } from './keyv-store.ts'
