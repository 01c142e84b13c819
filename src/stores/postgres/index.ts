export { type PostgresLockOptions, postgresLock } from './postgres-lock.ts'
export type { PostgresClient, PostgresPool } from './postgres-pool.ts'
