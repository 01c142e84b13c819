export type { KeyvEvents, KeyvInstance } from './keyv-calls.ts'
export { type KeyvRecordsOptions, type KeyvRecordsSettings, keyvRecords } from './keyv-records.ts'
export { type KeyvStoreOptions, type KeyvStoreSettings, keyvStore } from './keyv-store.ts'
