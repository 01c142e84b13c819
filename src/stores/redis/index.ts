export type {
  IoredisClient,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  RedisClient,
} from './redis-client.ts'
export {
  type IoredisSubscriber,
  type NodeRedisSubscriber,
  type RedisInvalidationsOptions,
  type RedisSubscriber,
  redisInvalidations,
} from './redis-invalidations.ts'
export { type RedisLockOptions, redisLock } from './redis-lock.ts'
export { type RedisRecordsOptions, type RedisRecordsSettings, redisRecords } from './redis-records.ts'
export { type RedisStoreOptions, type RedisStoreSettings, redisStore } from './redis-store.ts'
