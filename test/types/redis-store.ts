// Compiled, never run: what a store on Redis has to be told.

import { type RedisClient, redisStore } from 'evertoken/stores/redis'
import type { Cluster, Redis } from 'ioredis'
import type { createClient, createClientPool, createCluster, createSentinel } from 'redis'

declare const client: Redis
declare const encryption: { keys: { id: string; key: Uint8Array }[] }

redisStore(client, { encryption })
redisStore(client, { plaintext: true, prefix: 'app:' })
// @ts-expect-error whether values are encrypted has to be said
redisStore(client, { prefix: 'app:' })
// @ts-expect-error it cannot be both
redisStore(client, { encryption, plaintext: true })
// @ts-expect-error "not in clear" does not say how
redisStore(client, { plaintext: false })
// @ts-expect-error a map is no client
redisStore(new Map(), { encryption })

declare const clients: readonly [
  Redis,
  Cluster,
  ReturnType<typeof createClient>,
  ReturnType<typeof createClientPool>,
  ReturnType<typeof createCluster>,
  ReturnType<typeof createSentinel>,
]
const each: readonly RedisClient[] = clients
void each
