export type { PostgresRecordsClient, PostgresRecordsPool } from './postgres-queries.ts'
export {
  createRecordsTable,
  type PostgresRecordsOptions,
  type PostgresRecordsSettings,
  postgresRecords,
} from './postgres-records.ts'
