import {
  type AdaptedRecordsOptions,
  type AdaptedRecordsSettings,
  adaptedRecords,
  type RecordStore,
} from '../../store/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import { lazy } from '../../util/index.ts'
import { plainRecords } from './plain-records.ts'
import { commandsOf, type RedisClient, type SendCommand } from './redis-client.ts'

/** How {@link redisRecords} are kept, encrypted or not. */
export type RedisRecordsSettings = AdaptedRecordsSettings

/** What {@link redisRecords} are told: with which keys records are encrypted, or by name that they are not. */
export type RedisRecordsOptions = AdaptedRecordsOptions

const SUBJECT = 'redisRecords'

/**
 * Records on Redis, for any client of `ioredis` or `redis`. One command an operation, about one key: a cluster will do. Versions are compared on the server,
 * and lifetimes are told as lengths of time, so its clock may differ from this machine's.
 *
 * Records are encrypted and bound to prefix and key, as with `encryptedRecords`. What is found and cannot have been written here counts as missing, and is
 * replaced by the next write. Redis has to keep what it has: with a `maxmemory-policy` other than `noeviction` it throws records away, of which the event
 * `records_evictable` warns.
 *
 * Its methods throw StoreError with code `store_unavailable` or `store_timeout`.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function redisRecords(client: RedisClient, options: RedisRecordsOptions): RecordStore {
  return adaptedRecords(options, {
    subject: SUBJECT,
    createPlain(settings) {
      const send = commandsOf(client, SUBJECT)
      const plain = plainRecords({ ...settings, send })
      const look = lazy(() => lookForEviction(send, settings.telemetry))
      return {
        ...plain,
        put(key, value, write) {
          // Behind the first write, which does not wait for it.
          void look()
          return plain.put(key, value, write)
        },
      }
    },
  })
}

/** Warns where Redis would make room by throwing records away. */
async function lookForEviction(send: SendCommand, telemetry: Telemetry): Promise<void> {
  try {
    const memory = String(await send(['INFO', 'memory']))
    const [, policy = 'noeviction'] = /^maxmemory_policy:(\S+)/m.exec(memory) ?? []
    if (policy !== 'noeviction') telemetry.note({ name: 'records_evictable', policy })
  } catch {
    // Whoever may not ask is not warned: it is no reason not to keep records.
  }
}
