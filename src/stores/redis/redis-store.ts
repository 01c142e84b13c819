import type { TokenStore } from '../../store/index.ts'
import { assertCount, assertOptions, optionInvalid } from '../../token/index.ts'
import { type Clock, systemClock } from '../../util/index.ts'
import { assertPrefix, DEFAULT_PREFIX } from './options.ts'
import { plainStore } from './plain-store.ts'
import { commandsOf, type RedisClient } from './redis-client.ts'

/** How a {@link redisStore} keeps values, whatever they are. */
export interface RedisStoreSettings {
  /** What the keys begin with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** Values of more bytes than this are neither written nor read. Default 262,144. */
  readonly maxValueBytes?: number | undefined
  readonly clock?: Clock | undefined
}

/** What a {@link redisStore} is told: how values are encrypted, or by name that they are not. */
export type RedisStoreOptions = RedisStoreSettings & { readonly plaintext: true; readonly encryption?: undefined }

/**
 * A store on Redis, for any client of `ioredis` or `redis`. One command an operation, about one key: a cluster will do.
 * Lifetimes are told as lengths of time, so the server's clock may differ from this machine's.
 *
 * What it finds and cannot have written (another type, an oversized or unmarked value) is deleted and counts as not there.
 * Its methods throw StoreError with code `store_unavailable`, and `set` with code `store_value_too_large`.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`, also where neither `encryption` nor
 * `plaintext: true` is given, or both.
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions): TokenStore {
  const given: unknown = options
  assertOptions('redisStore', given, ['encryption', 'plaintext', 'prefix', 'maxValueBytes', 'clock'])
  const { plaintext, prefix = DEFAULT_PREFIX, maxValueBytes = 262_144, clock = systemClock } = options
  assertPrefix('redisStore', prefix)
  assertCount('redisStore', 'maxValueBytes', maxValueBytes)
  const send = commandsOf(client, 'redisStore')
  if (plaintext !== true) throw optionInvalid('redisStore', 'either encryption or plaintext: true, got neither')
  return plainStore({ send, prefix: `${prefix}token:`, maxValueBytes, clock })
}
