export { type PostgresLockOptions, postgresLock } from './postgres-lock.ts'
export type { PostgresClient, PostgresPool } from './postgres-pool.ts'
export {
  createRecordsTable,
  type PostgresRecordsOptions,
  type PostgresRecordsSettings,
  postgresRecords,
} from './postgres-records.ts'
