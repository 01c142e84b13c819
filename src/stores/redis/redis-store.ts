import { type AdaptedStoreOptions, adaptedStore, type TokenStore } from '../../store/index.ts'
import { plainStore } from './plain-store.ts'
import { commandsOf, type RedisClient } from './redis-client.ts'

const SUBJECT = 'redisStore'

/**
 * A store on Redis, for any client of `ioredis` or `redis`. One command an operation, about one key: a cluster will do.
 * Lifetimes are told as lengths of time, so the server's clock may differ from this machine's.
 *
 * Values are encrypted and bound to prefix and key, as with `encryptedStore`. What is found and cannot have been written
 * here (another type, an oversized or unmarked value) is deleted and counts as missing.
 *
 * Its methods throw StoreError with code `store_unavailable`.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function redisStore(client: RedisClient, options: AdaptedStoreOptions): TokenStore {
  return adaptedStore(SUBJECT, options, (settings) => plainStore({ ...settings, send: commandsOf(client, SUBJECT) }))
}
