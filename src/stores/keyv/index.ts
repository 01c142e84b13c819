export type {
  AdaptedStoreOptions as KeyvStoreOptions,
  AdaptedStoreSettings as KeyvStoreSettings,
} from '../../store/index.ts'
export type { KeyvEvents, KeyvInstance } from './keyv-calls.ts'
export { type KeyvRecordsOptions, type KeyvRecordsSettings, keyvRecords } from './keyv-records.ts'
export { keyvStore } from './keyv-store.ts'
